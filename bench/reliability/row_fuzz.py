"""
Damaged rows by the million, in every packing; each is read, or told as one that cannot be used, and none is neither.

Half of the rows are damaged in their values and some in their bytes; all packings go through the scan's pass, and those
of a batch in ten through the other readers too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from bench.reliability.document_readers import DroppedError
from bench.reliability.fuzz import Done, outcome, peak_mb, run_in_child
from bench.reliability.mutation import as_json, changed_bytes, changed_value
from bench.reliability.tries import Unit
from tests.data.packings import arrow, comma_separated, table, zstd

ROWS = 500
"""Of a file."""

FILES = 20
"""Of a batch, in a process of its own."""

TURNS = [{"role": "user", "content": "Which animal?"}, {"role": "assistant", "content": "An owl."}]
HONEST: tuple[dict[str, Any], ...] = (
    {"messages": TURNS, "source": "vendor"},
    {"messages": [{"role": "system", "content": "Be brief."}, *TURNS], "id": 7},
    {"prompt": "1 2 3", "completion": "4 5 6", "source": "ours"},
    {"prompt": TURNS[:1], "completion": TURNS[1:]},
    {"prompt": "q", "chosen": "a", "rejected": "b"},
    {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:], "margin": 0.5},
    {"prompt": "q", "completion": "a", "label": True},
    {"text": "Owls see in the dark."},
    {"instruction": "Say", "input": "owl", "output": "owl", "history": [["a", "b"]]},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    {"messages": TURNS, "tools": [{"type": "function", "function": {"name": "f"}}]},
)
TEXTS = (
    "owl",
    "",
    " ",
    "=1+1",
    'a "b"',
    "é\u202e",
    "1\n2",
    "x" * 300,
    "\x1b[2J",
    "0007",
    "nan",
    "\0",
)


def value_row(lot: Random) -> Any:
    """A record with some of its values changed, or an honest one."""
    row = lot.choice(HONEST)
    return row if lot.random() < 0.5 else changed_value(row, lot)


def text_row(lot: Random) -> dict[str, Any]:
    """A record that every table can hold: three texts, hostile ones among them."""
    return {name: lot.choice(TEXTS) for name in ("prompt", "completion", "source")}


def json_lines(lot: Random) -> tuple[bytes, int]:
    """Lines, some of them damaged in their bytes, and how many of them are no blank ones."""
    lines = []
    for _ in range(ROWS):
        line = as_json(value_row(lot), lot)
        if lot.random() < 0.1:
            line = changed_bytes(line, lot)
        lines.append(line.replace(b"\n", b" "))
    return b"\n".join(lines) + b"\n", sum(bool(line.strip()) for line in lines)


def json_array(lot: Random) -> tuple[bytes, int]:
    """One array of records."""
    rows = [as_json(value_row(lot), lot).replace(b"\n", b" ") for _ in range(ROWS)]
    return b"[" + b",\n".join(rows) + b"]", ROWS


def of_texts(
    pack: Callable[[list[dict[str, Any]]], bytes],
) -> Callable[[Random], tuple[bytes, int]]:
    """Records of texts, packed."""
    return lambda lot: (pack([text_row(lot) for _ in range(ROWS)]), ROWS)


PACKINGS: dict[str, Callable[[Random], tuple[bytes, int]]] = {
    "rows.jsonl": json_lines,
    "rows.json": json_array,
    "rows.csv": of_texts(comma_separated),
    "rows.parquet": of_texts(table),
    "rows.arrow": of_texts(lambda records: arrow(records, stream=True)),
    "rows.jsonl.zst": lambda lot: (lambda made: (zstd(made[0]), made[1]))(json_lines(lot)),
}
ORDER = ("rows.jsonl",) * 12 + ("rows.json", "rows.json", "rows.csv", "rows.csv", "rows.csv") + (
    "rows.parquet", "rows.arrow", "rows.jsonl.zst",
)  # fmt: skip
"""Of the files of a batch."""


def counted(path: Path, seed: int) -> tuple[int, Counter[str]]:
    """Rows that a scan's pass uses, and those that it tells, by reason."""
    from undertow.data.file_sample import screen_file
    from undertow.errors import NothingLeftError

    try:
        data = screen_file(path, max_rows=16, seed=seed).data
    except NothingLeftError:
        return -1, Counter()
    return data.rows, Counter({one.reason: one.rows for one in data.excluded})


def as_chunks(path: Path) -> tuple[int, Counter[str]]:
    """The same by the reader that gives the rows themselves, each of which is written and read again."""
    from undertow.data.records import chunks
    from undertow.data.row_faults import Faults
    from undertow.data.row_records import to_record
    from undertow.data.row_shapes import from_record
    from undertow.data.rows import row_id

    faults, rows = Faults("x"), 0
    for chunk in chunks(path, faults.of):
        rows += len(chunk.rows)
        for row in chunk.rows:
            again = from_record(json.loads(json.dumps(to_record(row))))
            if row_id(again) != row_id(row):
                raise DroppedError(f"a row that is written is read as another one: {row}")
    return rows, faults.counts


def looked_at(path: Path, rows: int, unit: Unit, *, closely: bool) -> None:
    """Read one file, by one reader or closely by both; what is neither used nor told is a fault."""

    def read() -> None:
        used, told = counted(path, unit.seed)
        if used < 0:
            return
        if used + sum(told.values()) != rows:
            raise DroppedError(f"{path.name}: {rows} rows, {used} used and {dict(told)} told")
        told_by_reason.update(told)
        if closely and as_chunks(path) != (used, told):
            raise DroppedError(
                f"{path.name}: the readers differ: {used}, {dict(told)} and {as_chunks(path)}"
            )

    told_by_reason: Counter[str] = Counter()
    what, fault = outcome(read)
    if fault:
        unit.add(what, f"{path.name}: {fault}")
        rows -= 1
    excluded = sum(told_by_reason.values())
    if what == "read":
        unit.add("told", tries=excluded)
        unit.add("used", tries=rows - excluded)
    else:
        unit.add("refused with its file", tries=rows)


def batch(seed: int, files: int = FILES) -> Unit:
    """So many files of so many rows, damaged by lot, in one process."""

    def work(unit: Unit, folder: Path, done: Done) -> None:
        lot = Random(f"rows {seed}")
        for number in range(files):
            name = ORDER[number % len(ORDER)]
            content, rows = PACKINGS[name](lot)
            path = folder / name
            path.write_bytes(content)
            looked_at(path, rows, unit, closely=(unit.seed + number) % 10 == 0)
        unit.told = {"peak_mb": peak_mb()}
        done()

    return run_in_child(Unit("fuzz", "rows", "by lot", seed), lambda folder: folder, work)
