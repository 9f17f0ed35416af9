"""The row: a prompt of turns and its completion, with a digest of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from undertow.data.files import atomic_file
from undertow.errors import DataError


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


class EmptyTextError(ValueError):
    """A completion without text."""

    reason = "empty-completion"


class SurrogateError(ValueError):
    """Text with half a surrogate pair, which no encoding can write."""

    reason = "surrogate"


class TokensError(ValueError):
    """A row with tokens of its own: what a trainer would read is not its text."""

    reason = "tokens"


SHAPES: tuple[tuple[str, ...], ...] = (
    ("messages",),
    ("prompt", "completion"),
    ("prompt", "chosen", "rejected"),
    ("text",),
)
"""Columns of each shape."""

TOKENS = ("input_ids", "labels", "completion_mask", "assistant_masks", "attention_mask")
"""Columns that trainers read in place of a row's text."""

_TOKENS = frozenset(TOKENS)
_COLUMNS = frozenset(name for shape in SHAPES for name in shape)


def from_record(record: object) -> Row:
    """
    A row from one parsed JSON object or Parquet record; columns of no shape are ignored.

    Raises:
        ValueError: saying what was found, and the shapes that are allowed.
    """
    return shaped(record)[1]


def shaped(record: object) -> tuple[tuple[str, ...], Row]:
    """
    The same, behind the columns of its shape.

    Raises:
        ValueError: saying what was found, and the shapes that are allowed.
    """
    if not _is_object(record):
        raise ValueError(f"found {_kind(record)}; allowed: an object with {shapes_text()}")
    named = _COLUMNS.intersection(record)
    if any(record[name] is None for name in named):
        named = frozenset(name for name in named if record[name] is not None)
    fitting = _shapes_in(named)
    if len(fitting) != 1:
        problem = "more than one shape" if fitting else "no known shape"
        present = [key for key, value in record.items() if value is not None]
        columns = ", ".join(f"'{name}'" for name in present) or "none"
        raise ValueError(f"found the columns {columns}, {problem}; allowed: {shapes_text()}")
    row = _row(record, fitting[0])
    _refuse_surrogates(row)
    return fitting[0], row


def to_record(row: Row) -> dict[str, object]:
    """The row as a JSON object that `from_record` reads back."""
    texts = {"completion": row.completion}
    if row.rejected is not None:
        texts = {"chosen": row.completion, "rejected": row.rejected}
    record: dict[str, object]
    if row.chat:
        record = {"prompt": [_turn(turn.role, turn.content) for turn in row.prompt]}
        record |= {name: [_turn("assistant", text)] for name, text in texts.items()}
    elif row.prompt or row.rejected is not None:
        record = {"prompt": "".join(turn.content for turn in row.prompt), **texts}
    else:
        record = {"text": row.completion}
    return record if row.source is None else record | {"source": row.source}


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """
    Write rows to a `.jsonl` or `.parquet` file, atomically, in the shape `prompt` + `completion`.

    Preference pairs have `prompt` + `chosen` + `rejected`; plain text keeps its strings.

    Raises:
        DataError: if the suffix is another, or a Parquet file would mix chat and plain text.
        UndertowError: if the file cannot be written; what stood there before is untouched.
    """
    suffix = Path(path).suffix
    if suffix not in (".jsonl", ".parquet"):
        raise DataError(f"cannot write rows to '{path}'; allowed suffixes: .jsonl, .parquet")
    records = (to_record(row) for row in rows)
    with atomic_file(path) as file:
        if suffix == ".parquet":
            _write_parquet(file, list(records), str(path))
        else:
            file.writelines(json_line(record) for record in records)


def json_line(record: object) -> bytes:
    """One line of a JSON Lines file."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n"


def tokens_in(record: Mapping[str, object]) -> str:
    """The columns of a record that hold tokens, as a text; empty where there are none."""
    if _TOKENS.isdisjoint(record):  # true of most rows, and far quicker
        return ""
    return ", ".join(f"'{name}'" for name in TOKENS if isinstance(record.get(name), list))


def shapes_text() -> str:
    """The allowed shapes, for an error."""
    return "; or ".join(" + ".join(f"'{name}'" for name in shape) for shape in SHAPES)


@cache
def _shapes_in(columns: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(shape for shape in SHAPES if columns.issuperset(shape))


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _row(record: Mapping[str, object], shape: tuple[str, ...]) -> Row:
    source = record.get("source")
    source = source if isinstance(source, str) else None
    if shape == ("text",):
        return Row((), _written(record["text"], "text"), source=source, chat=False)
    if shape == ("messages",):
        *prompt, last = _messages(record["messages"], "messages")
        return Row(tuple(prompt), _last_turn(last, "messages"), source=source)
    chat = not isinstance(record["prompt"], str)
    for name in shape:
        if isinstance(record[name], str) == chat:
            raise ValueError(
                f"'prompt' is {_kind(record['prompt'])} but '{name}' is {_kind(record[name])}; "
                "allowed: all strings, or all lists of messages"
            )
    texts = [_completion(record[name], name) for name in shape[1:]]
    rejected = texts[1] if len(texts) > 1 else None
    return Row(_prompt(record["prompt"]), texts[0], rejected, source, chat)


def _prompt(value: object) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", value),) if value else ()
    return _messages(value, "prompt") if value else ()


def _completion(value: object, name: str) -> str:
    if isinstance(value, str):
        return _written(value, name)
    messages = _messages(value, name)
    if len(messages) != 1:
        raise ValueError(f"'{name}' holds {len(messages)} messages; allowed: one, of the assistant")
    return _last_turn(messages[0], name)


def _last_turn(message: Message, name: str) -> str:
    if message.role != "assistant":
        raise ValueError(
            f"'{name}' ends with a message of role '{message.role}'; allowed: 'assistant'"
        )
    return _written(message.content, name)


def _messages(value: object, name: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        found = "an empty list" if isinstance(value, list) else _kind(value)
        raise ValueError(f"'{name}' is {found}; allowed: a list of messages")
    return tuple([_message(item, name) for item in value])


def _message(value: object, name: str) -> Message:
    role, content = (value.get("role"), value.get("content")) if _is_object(value) else (None, None)
    if not isinstance(role, str) or not isinstance(content, str):
        raise ValueError(
            f"'{name}' holds {_kind(value)} that is no message; "
            "allowed: an object with 'role' and 'content', both strings"
        )
    return Message(role, content)


def _is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    # Asking the abstract class first is most of the time that a short row takes.
    return type(value) is dict or isinstance(value, Mapping)


def _written(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is {_kind(value)}; allowed: a string")
    if not value.strip():
        raise EmptyTextError(f"'{name}' is empty; allowed: a completion with some text")
    return value


def _refuse_surrogates(row: Row) -> None:
    texts = [row.completion, row.rejected or "", row.source or ""]
    for turn in row.prompt:
        texts += (turn.role, turn.content)
    joined = "".join(texts)
    if joined.isascii():
        return
    for text in texts:  # one by one: two halves that meet in the joined text are no pair either
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SurrogateError(f"found half a surrogate pair, {text[error.start]!r}") from error


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def _write_parquet(file: BinaryIO, records: list[dict[str, Any]], path: str) -> None:
    import pyarrow
    from pyarrow import parquet

    named = dict.fromkeys(name for record in records for name in record)
    columns = list(named) or ["prompt", "completion"]  # no rows is still a readable file
    texts = {name for name in columns if any(isinstance(r.get(name), str) for r in records)}
    turns = pyarrow.list_(
        pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    )
    for number, record in enumerate(records, start=1):
        if any(name in texts and isinstance(value, list) for name, value in record.items()):
            raise DataError(
                f"cannot write '{path}': row {number} is chat and others are plain text, "
                "which one Parquet column cannot hold; allowed: .jsonl"
            )
    schema = pyarrow.schema(
        [(name, pyarrow.string() if name in texts else turns) for name in columns]
    )
    parquet.write_table(pyarrow.Table.from_pylist(records, schema=schema), file)


def with_completion(record: Mapping[str, Any], text: str) -> dict[str, Any]:
    """
    The record with another completion (not of a preference pair); of its turn only role and name stay, since templates
    render other fields, such as reasoning, as well.
    """
    if _has(record, "messages"):
        *before, last = record["messages"]
        return {**record, "messages": [*before, _said(last, text)]}
    name = "completion" if _has(record, "completion") else "text"
    old = record[name]
    return {**record, name: text if isinstance(old, str) else [_said(old[0], text)]}


def with_prompt(record: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """The record with the prompt of a row; turns that it has already are as they were."""
    if _has(record, "messages"):
        *before, last = record["messages"]
        return {**record, "messages": [*_turns(before, row.prompt), last]}
    if not row.chat:
        return {**record, "prompt": "".join(turn.content for turn in row.prompt)}
    old = record.get("prompt") or []
    return {**record, "prompt": _turns([] if isinstance(old, str) else old, row.prompt)}


def _said(turn: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {name: turn[name] for name in ("role", "name") if name in turn} | {"content": text}


def _turns(old: Sequence[Mapping[str, Any]], turns: Sequence[Message]) -> list[dict[str, Any]]:
    known = {(turn["role"], turn["content"]): dict(turn) for turn in old}
    return [
        known.get((turn.role, turn.content), {"role": turn.role, "content": turn.content})
        for turn in turns
    ]


def _has(record: Mapping[str, Any], name: str) -> bool:
    return record.get(name) is not None
