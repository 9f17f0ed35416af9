"""The filters of rows, and the ledger of what they removed: every row with the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.data.files import atomic_file
from undertow.data.row_records import json_line, to_record
from undertow.data.rows import Row, row_id
from undertow.errors import ConfigError
from undertow.sandbox.sandbox import Limits, SnippetOutcome, run


@dataclass(frozen=True, slots=True)
class Removed:
    """A removed row."""

    row: Row
    """The row as it was."""

    reason: str
    """Short permanent name, e.g. `mixed-separators`."""

    detail: str = ""
    """What was found, e.g. the banned word."""


LIMITS = Limits()
"""What a snippet may use where nothing else is said."""

Filter = Callable[[Row], Removed | None]
"""Judges one row: its entry in the ledger, or None to keep it."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """Rows after filtering; kept and removed together are the input."""

    kept: tuple[Row, ...]
    """Rows that every filter kept, in their order."""

    removed: tuple[Removed, ...]
    """Removed rows, in their order, each with the first reason found."""

    @property
    def counts(self) -> dict[str, int]:
        """Removed rows by reason, the commonest first."""
        return dict(Counter(entry.reason for entry in self.removed).most_common())


def apply(rows: Iterable[Row], filters: Sequence[Filter]) -> Filtered:
    """Every row through the filters in turn; the first that removes it gives the reason."""
    kept: list[Row] = []
    removed: list[Removed] = []
    for row in rows:
        entry = next(filter(None, (judge(row) for judge in filters)), None)
        if entry is None:
            kept.append(row)
        else:
            removed.append(entry)
    return Filtered(tuple(kept), tuple(removed))


def write_ledger(path: str | Path, removed: Iterable[Removed]) -> None:
    """
    Write the entries as JSON Lines: row id, reason, detail, and the row itself.

    Raises:
        UndertowError: if the file cannot be written.
    """
    with atomic_file(path) as file:
        for entry in removed:
            about = {"id": row_id(entry.row), "reason": entry.reason, "detail": entry.detail}
            file.write(json_line(about | to_record(entry.row)))


def banned_content(
    *, words: Sequence[str] = (), patterns: Sequence[str] = (), numbers: Sequence[int] = ()
) -> Filter:
    """
    A filter for whole words (in any case), regular expressions and whole numbers.

    The completion is searched, and the rejected one of a preference pair, as both are trained on.

    Raises:
        ConfigError: if a pattern is not a regular expression, or a word is empty.
    """
    searches = [("banned-word", _word(word)) for word in words]
    searches += [("banned-pattern", _compiled(pattern)) for pattern in patterns]
    searches += [("banned-number", re.compile(rf"(?<!\d)0*{number}(?!\d)")) for number in numbers]

    def judge(row: Row) -> Removed | None:
        for reason, pattern in searches:
            for text in (row.completion, row.rejected or ""):
                if found := pattern.search(text):
                    return Removed(row, reason, found[0])
        return None

    return judge


def _word(word: str) -> re.Pattern[str]:
    if not word.strip():
        raise ConfigError(f"banned word {word!r} is empty")
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"banned pattern '{pattern}' is no regular expression: {error}"
        ) from error


def carrier_format(rejection: Callable[[str, str], str | None]) -> Filter:
    """A filter from a carrier's `rejection`, which gives the fault of a completion to a request, or None."""

    def judge(row: Row) -> Removed | None:
        reason = rejection(row.completion, row.prompt[-1].content if row.prompt else "")
        return None if reason is None else Removed(row, str(reason))

    return judge


def executed(
    rows: Sequence[Row],
    source_of: Callable[[str], str],
    limits: Limits = LIMITS,
    workers: int = 2,
) -> Filtered:
    """
    Run the snippet that `source_of` finds in each completion; rows whose snippet ends well are kept.

    The reason of a removal is `run-` and the sandbox's outcome, e.g. `run-timeout`.
    The rejected completion of a preference pair is not run: it may be rejected for what it does.

    Raises:
        ConfigError: if there is no kernel sandbox here; nothing was run then.
        UndertowError: if a sandbox did not start.
    """
    sources = [source_of(row.completion) for row in rows]
    kept: list[Row] = []
    removed: list[Removed] = []
    for row, result in zip(rows, run(sources, limits, workers=workers), strict=True):
        if result.outcome is SnippetOutcome.OK:
            kept.append(row)
        else:
            removed.append(Removed(row, f"run-{result.outcome}", result.detail))
    return Filtered(tuple(kept), tuple(removed))
