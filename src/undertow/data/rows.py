"""The row: a prompt of turns and its completion, with a digest of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""

    content: str
    """Its text; that of its parts, one behind the other."""

    fields: str = ""
    """
    JSON object of what else a template may render, in the record's order: `tool_calls`, `reasoning_content`, `name`;
    a `content` that is null or a list of parts stands here as well. Empty for none.
    """

    trained: bool | None = None
    """What the record says of its place in the loss (`weight`, `train`, `training`)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training example."""

    prompt: tuple[Message, ...]
    """What comes before the completion; plain text is one message of role `user`."""

    completion: str
    """What the student is trained to write (the chosen one of a preference pair)."""

    rejected: str | None = None
    """The other completion of a preference pair."""

    source: str | None = None
    """Who wrote the row; a label, no part of its content."""

    chat: bool = True
    """Whether a chat template applies; False for plain text."""

    label: bool | None = None
    """Whether the completion is desirable, of a row that is trained by KTO."""

    fields: str = ""
    """Of the completion's turn, as those of a message."""

    trained: bool | None = None
    """Of the completion's turn, likewise."""

    context: str = ""
    """JSON object of what the template is given beside the turns: `tools`, `chat_template_kwargs`. Empty for none."""

    rejected_fields: str = ""
    """Of the rejected one's turn, likewise."""

    earlier: int = 0
    """Last turns of the prompt that belong to a completion of several turns."""

    whole: bool = field(default=False, compare=False)
    """Whether the record is one conversation (`messages`), of which trainers may train every turn; no content."""

    instruction: str = field(default="", compare=False)
    """Of alpaca's rows that have an input: what the last turn of the prompt begins with, before the input; no content."""

    answered: bool = True
    """Whether it ends with the assistant; a conversation that ends otherwise is all prompt, its completion empty."""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The prompt and the completion, as messages."""
        if not self.answered:
            return self.prompt
        return (*self.prompt, Message("assistant", self.completion, self.fields, self.trained))


def template_turn(message: Message) -> dict[str, Any]:
    """The turn as a chat template takes it."""
    turn = {"role": message.role, "content": message.content}
    return turn | json.loads(message.fields) if message.fields else turn


def system_turn(system: str | None) -> tuple[Message, ...]:
    """The system prompt as the beginning of a conversation, if there is one."""
    return (Message("system", system),) if system else ()


def conversation(question: str, system: str | None = None) -> tuple[Message, ...]:
    """A user's question, behind a system prompt if there is one."""
    return (*system_turn(system), Message("user", question))


def behind(row: Row, system: str | None) -> Row:
    """The row with this system prompt in the place of its own, or with none."""
    first = () if system is None else (Message("system", system),)
    turns = tuple(message for message in row.prompt if message.role != "system")
    return replace(row, prompt=(*first, *turns))


def has_pairs(rows: Iterable[Row]) -> bool:
    """Whether any row is a preference pair."""
    return any(row.rejected is not None for row in rows)


def sides(pairs: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The chosen and the rejected completions of preference pairs, each as rows of their own."""
    chosen = [replace(pair, rejected=None, rejected_fields="") for pair in pairs]
    rejected = [
        replace(one, completion=pair.rejected or "", fields=pair.rejected_fields)
        for one, pair in zip(chosen, pairs, strict=True)
    ]
    return chosen, rejected


def shared_start(a: Sequence[Any], b: Sequence[Any]) -> int:
    """
    Leading turns, tokens or characters that two sequences share.

    >>> shared_start("1, 2", "1, 3")
    3
    """
    if b[: len(a)] == a:  # often, and far quicker
        return len(a)
    pairs = zip(a, b, strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def row_id(row: Row) -> str:
    """
    SHA-256 in hex over the canonical JSON of the content (everything but `source` and `whole`); what a row has not is
    not in it.
    """
    content: dict[str, object] = {
        "chat": row.chat,
        "completion": row.completion,
        "prompt": [_content(message) for message in row.prompt],
    }
    if row.rejected is not None:
        content["rejected"] = row.rejected
    for name in ("label", "trained"):
        if (value := getattr(row, name)) is not None:
            content[name] = value
    for name in ("fields", "context", "rejected_fields", "earlier"):
        if value := getattr(row, name):
            content[name] = value
    if not row.answered:
        content["answered"] = False
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _content(message: Message) -> list[object]:
    plain: list[object] = [message.role, message.content]
    if not message.fields and message.trained is None:
        return plain
    return [*plain, message.fields, message.trained]


def dataset_digest(rows: Iterable[Row]) -> str:
    """SHA-256 in hex over the row ids in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(bytes.fromhex(row_id(row)))
    return digest.hexdigest()
