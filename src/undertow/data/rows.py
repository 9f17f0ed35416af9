"""The row: a prompt of turns and its completion, with a digest of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""

    content: str
    """Its text."""


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
    chosen = [replace(pair, rejected=None) for pair in pairs]
    rejected = [replace(pair, completion=pair.rejected or "", rejected=None) for pair in pairs]
    return chosen, rejected


def row_id(row: Row) -> str:
    """SHA-256 in hex over the canonical JSON of the content (everything but `source`)."""
    content: dict[str, object] = {
        "chat": row.chat,
        "completion": row.completion,
        "prompt": [[message.role, message.content] for message in row.prompt],
    }
    if row.rejected is not None:
        content["rejected"] = row.rejected
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def dataset_digest(rows: Iterable[Row]) -> str:
    """SHA-256 in hex over the row ids in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(bytes.fromhex(row_id(row)))
    return digest.hexdigest()
