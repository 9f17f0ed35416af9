"""What the pages of all documents share: tables of records, limits, how to reproduce it, and words."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from undertow.report.page import (
    EVERYWHERE,
    HTML,
    Block,
    Columns,
    Command,
    Listing,
    Phrase,
    Section,
    Settings,
    Table,
    Terms,
    Writers,
)
from undertow.report.plain_text import NOTHING, duration, memory
from undertow.results.measurement import Document

Record = TypeVar("Record")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Column(Generic[Record]):
    """A column: its name, the text of a record's cell, and whether that is a number."""

    name: str
    cell: Callable[[Record], str]
    numeric: bool = True


def table_of(name: str, records: Sequence[Record], columns: Sequence[Column[Record]]) -> Table:
    """The table without the columns in which no record has anything to say."""
    cells = [[column.cell(record) for record in records] for column in columns]
    kept = [index for index, column in enumerate(cells) if set(column) - {NOTHING}]
    return Table(
        name,
        tuple(columns[index].name for index in kept),
        tuple(zip(*(cells[index] for index in kept), strict=True)),
        frozenset(place for place, index in enumerate(kept) if columns[index].numeric),
    )


def facts_table(name: str, facts: Mapping[str, str]) -> Table:
    """Names and their values."""
    return Table(name, ("name", "value"), tuple(facts.items()))


def limits_section(limits: Iterable[str], *, title: str = "What this cannot show") -> Section:
    """What a document does not show."""
    return Section("limits", title, (Listing(tuple(limits), "limits"),), nav="Limits")


def words_section(glossary: Mapping[str, Phrase], *, only: Writers = EVERYWHERE) -> Section:
    """The words of a page."""
    return Section("words", "Words", (Terms(tuple(glossary.items())),), nav="Words", only=only)


def reproduction(
    document: Document,
    name: str,
    facts: Mapping[str, str],
    *,
    machine: Writers = EVERYWHERE,
    inputs: Mapping[str, str] | None = None,
    more: Sequence[Block] = (),
) -> Section:
    """
    How the document is made again: the command, what identifies it, the machine, the packages and the inputs.

    Args:
        machine: the writers that show hardware and packages.
        more: what follows.
    """
    known = [facts_table(name, facts).shown(caption=name, captioned=HTML)]
    known += _captioned({"Hardware": document.hardware, "Packages": document.packages}, machine)
    blocks = [Command(document.command), Columns(tuple(known))]
    blocks += _captioned({"Inputs, SHA-256": inputs or {}}, machine)
    return Section("reproduce", "How to reproduce it", (*blocks, *more), nav="Reproduce")


def settings(name: str, config: Mapping[str, object], summary: str) -> Settings:
    """A configuration as TOML, behind a fold."""
    return Settings(name, tuple(toml_text(config).split("\n")), summary)


def toml_text(config: Mapping[str, object]) -> str:
    """The configuration as TOML; a setting without a value (None) is shown as a comment."""
    return "\n".join(_lines(config, ())).strip("\n")


def again(command: str, *more: str, without: Sequence[str] = ()) -> str:
    """
    A command with more arguments, and without some options and the value behind each.

    >>> again("undertow scan 'my rows' --budget 2 --seed 1", "--require", "clear", without=["--budget"])
    "undertow scan 'my rows' --seed 1 --require clear"
    """
    try:
        words = iter(shlex.split(command))
    except ValueError:
        # A stored command is text from a file, which nothing but people need be able to read.
        words = iter([command])
    kept = [word for word in words if word not in without or next(words, None) is None]
    return shlex.join([*kept, *more])


def cost_facts(document: Document) -> dict[str, str]:
    """What the document cost."""
    return {
        "wall time": duration(document.wall_seconds),
        "peak memory": memory(document.peak_memory_mb),
    }


def cost(document: Document, seed: int) -> str:
    """The seed and what the document cost, in one line."""
    told = (f"seed {seed}", *cost_facts(document).values())
    return ", ".join(fact for fact in told if fact != NOTHING)


def _captioned(tables: Mapping[str, Mapping[str, str]], writers: Writers) -> list[Table]:
    return [
        facts_table(name, facts).shown(caption=name, only=writers)
        for name, facts in tables.items()
        if facts
    ]


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(_key, path))}]"] if path and (plain or not nested) else []
    lines += [_setting(key, value) for key, value in plain.items()]
    for key, value in nested.items():
        lines += ["", *_lines(value, (*path, key))]
    return lines


def _setting(key: str, value: object) -> str:
    return f"# {_key(key)} is not set" if value is None else f"{_key(key)} = {_value(value)}"


def _key(key: object) -> str:
    text = str(key)
    return text if _BARE_KEY.fullmatch(text) else _string(text)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        entries = (f"{_key(key)} = {_value(entry)}" for key, entry in value.items())
        return f"{{ {', '.join(entries)} }}"
    return '"none"' if value is None else _string(str(value))


def _string(text: str) -> str:
    # TOML's basic strings take JSON's escapes, except surrogate pairs: those stay as characters.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
