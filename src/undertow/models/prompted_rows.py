"""
Rows behind one system prompt after another: rendered and tokenised whole for the first, spliced for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from undertow.data.rows import Message, Row
from undertow.models.chat import Encoded, encode_rows
from undertow.models.shared_prefix import common_prefix

_CHECKED = 8


def behind(row: Row, system: str) -> Row:
    """The row with this system prompt in the place of its own."""
    turns = tuple(message for message in row.prompt if message.role != "system")
    return replace(row, prompt=(Message("system", system), *turns))


@dataclass
class PromptedRows:
    """
    The tokens of rows behind any system prompt.

    A chat template writes the system prompt first and the rest the same whatever it says: this is looked at on rows of
    the shortest to the longest for each new prompt, and where it does not hold, all rows are rendered.
    """

    tokenizer: Any
    rows: Sequence[Row]
    _first: list[Encoded] = field(default_factory=list, init=False, repr=False)
    _common: int = field(default=0, init=False, repr=False)

    def behind(self, system: str) -> list[Encoded]:
        """
        Token ids of each row behind the system prompt, as `chat.encode_rows` gives them.

        Raises:
            ModelError: the chat template has no system role.
        """
        if not self._first:
            self._first = self._rendered(range(len(self.rows)), system)
            self._common = common_prefix(self._first)
            return self._first
        checked = self._checked()
        rendered = self._rendered(checked, system)
        prefixes = _prefixes([self._first[i] for i in checked], rendered)
        if prefixes is None or len(prefixes[0]) > self._common:
            return self._rendered(range(len(self.rows)), system)
        old, new = prefixes
        return [replace(row, prompt=new + row.prompt[len(old) :]) for row in self._first]

    def _rendered(self, chosen: Sequence[int], system: str) -> list[Encoded]:
        return encode_rows(self.tokenizer, [behind(self.rows[i], system) for i in chosen])

    def _checked(self) -> list[int]:
        """Rows from the shortest to the longest, and one of every number of turns."""
        order = sorted(range(len(self.rows)), key=lambda i: len(self._first[i]))
        spread = [order[len(order) * k // _CHECKED] for k in range(_CHECKED)]
        turns = {len(row.prompt): i for i, row in enumerate(self.rows)}
        return sorted({*spread, order[-1], *turns.values()})


def _prefixes(
    old: Sequence[Encoded], new: Sequence[Encoded]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """
    (what all old prompts begin with, what stands in its place in the new ones), or None if the rest is not the same.
    """
    pairs = list(zip(old, new, strict=True))
    cut = max(len(a.prompt) - _common_end(a.prompt, b.prompt) for a, b in pairs)
    first, other = pairs[0]
    before, after = first.prompt[:cut], other.prompt[: len(other.prompt) - len(first.prompt) + cut]
    same = all(
        (a.prompt[:cut], b.prompt, b.completion) == (before, after + a.prompt[cut:], a.completion)
        for a, b in pairs
    )
    return (before, after) if same else None


def _common_end(a: Sequence[int], b: Sequence[int]) -> int:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
