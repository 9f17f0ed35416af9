"""Rows as records: written to a file, or changed inside the record that they came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from undertow.data.files import atomic_file
from undertow.data.record_turns import FLAGS, messages, turns_of
from undertow.data.row_shapes import is_text, shaped
from undertow.data.rows import Message, Row, template_turn
from undertow.errors import DataError

_PLAIN = ("completion", "output", "text")
"""Columns that hold what is learnt as a string."""

_SAID = ("messages", "conversations", *_PLAIN)
"""Columns that hold what is learnt, of rows that are no pairs."""


def to_record(row: Row) -> dict[str, object]:
    """The row as a JSON object that `from_record` reads back."""
    record = _content(row)
    if row.context:
        record |= json.loads(row.context)
    if row.label is not None:
        record["label"] = row.label
    return record if row.source is None else record | {"source": row.source}


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """
    Write rows to a `.jsonl` or `.parquet` file, atomically, in the shape `prompt` + `completion`.

    Preference pairs have `prompt` + `chosen` + `rejected`; conversations stay `messages`, plain text its strings.

    Raises:
        DataError: if the suffix is another, or a Parquet file would mix chat and plain text, or hold tools.
        UndertowError: if the file cannot be written; what stood there before is untouched.
    """
    suffix = Path(path).suffix
    if suffix not in (".jsonl", ".parquet"):
        raise DataError(f"cannot write rows to '{path}'; allowed suffixes: .jsonl, .parquet")
    with atomic_file(path) as file:
        if suffix == ".parquet":
            _write_parquet(file, _plain_records(rows, path), str(path))
        else:
            file.writelines(json_line(to_record(row)) for row in rows)


def json_line(record: object) -> bytes:
    """One line of a JSON Lines file."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n"


def with_completion(record: Mapping[str, Any], text: str) -> dict[str, Any]:
    """
    The record with another completion (not of a preference pair); of its turn only role, name and what it says of its
    place in the loss stay, since templates render other fields, such as reasoning, as well.
    """
    name = next(name for name in shaped(record)[0] if name in _SAID)
    if isinstance(record[name], str) and name in _PLAIN:
        return {**record, name: text}
    *before, last = turns_of(record[name], name)
    return {**record, name: [*before, _said(last, text)]}


def with_prompt(record: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """The record with the prompt of a row; turns that it has already are as they were."""
    shape = shaped(record)[0]
    if shape[0] in ("messages", "conversations"):
        turns = turns_of(record[shape[0]], shape[0])
        # A pair's completions stand in other columns.
        end = len(turns) - (row.answered and row.rejected is None)
        made = _replaced(turns[:end], row.prompt, shape[0])
        return {**record, shape[0]: [*made, *turns[end:]]}
    if shape[0] == "instruction":
        return {**record, **_instruction(row.prompt)}
    if not row.chat or is_text(record, shape):
        return {**record, "prompt": "".join(turn.content for turn in row.prompt)}
    old = record.get("prompt") or []
    given = row.prompt[: len(row.prompt) - row.earlier]
    turns = [] if isinstance(old, str) else turns_of(old, "prompt")
    return {**record, "prompt": _replaced(turns, given, "prompt")}


def _content(row: Row) -> dict[str, object]:
    if not row.chat:
        texts = {"completion": row.completion}
        if row.rejected is not None:
            texts = {"chosen": row.completion, "rejected": row.rejected}
        elif not row.prompt and row.label is None:  # nobody reads a label beside a text
            return {"text": row.completion}
        return {"prompt": "".join(turn.content for turn in row.prompt), **texts}
    turns = [_turn(turn) for turn in row.turns]
    if row.whole:
        return {"messages": turns}
    if row.rejected is not None:
        other = _turn(Message("assistant", row.rejected, row.rejected_fields))
        return {"prompt": turns[:-1], "chosen": turns[-1:], "rejected": [other]}
    given = len(row.prompt) - row.earlier
    return {"prompt": turns[:given], "completion": turns[given:]}


def _turn(message: Message) -> dict[str, Any]:
    turn = template_turn(message)
    return turn if message.trained is None else turn | {"train": message.trained}


def _said(turn: Mapping[str, Any], text: str) -> dict[str, Any]:
    key = "value" if "value" in turn else "content"
    kept = {name: turn[name] for name in ("role", "from", "name", *FLAGS) if name in turn}
    return kept | {key: text}


def _replaced(
    old: Sequence[Mapping[str, Any]], turns: Sequence[Message], name: str
) -> list[dict[str, Any]]:
    read = messages(list(old), name) if old else ()
    known = {message: dict(turn) for message, turn in zip(read, old, strict=True)}
    keys = ("from", "value") if any("from" in turn for turn in old) else ("role", "content")
    # A set of ShareGPT has its own names of a role.
    roles = {message.role: turn.get(keys[0]) for message, turn in zip(read, old, strict=True)}

    def new(turn: Message) -> dict[str, Any]:
        flag = {} if turn.trained is None else {"train": turn.trained}
        return {keys[0]: roles.get(turn.role) or turn.role, keys[1]: turn.content, **flag}

    return [known.get(turn) or new(turn) for turn in turns]


def _instruction(turns: Sequence[Message]) -> dict[str, Any]:
    """An alpaca record's columns of a prompt."""
    system = "".join(turn.content for turn in turns if turn.role == "system")
    texts = [turn.content for turn in turns if turn.role != "system"]
    columns: dict[str, Any] = {"instruction": texts[-1] if texts else "", "input": ""}
    if len(texts) > 1:
        columns["history"] = [list(pair) for pair in zip(texts[:-1:2], texts[1::2], strict=False)]
    return columns | ({"system": system} if system else {})


def _plain_records(rows: Iterable[Row], path: str | Path) -> list[dict[str, Any]]:
    records = []
    for number, row in enumerate(rows, start=1):
        if row.context or any(turn.fields or turn.trained is not None for turn in row.turns):
            raise DataError(
                f"cannot write '{path}': row {number} has tools, or turns with fields of their own, which a Parquet "
                "column would fill up with nulls; allowed: .jsonl"
            )
        records.append(to_record(row))
    return records


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
    kinds = {"label": pyarrow.bool_()}
    schema = pyarrow.schema(
        [(name, kinds.get(name, pyarrow.string() if name in texts else turns)) for name in columns]
    )
    parquet.write_table(pyarrow.Table.from_pylist(records, schema=schema), file)
