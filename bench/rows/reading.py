"""
How quickly rows are read from each packing beside the library `datasets`, and in how much memory: `--rows N` chooses how many.

Each reading is a process of its own on one thread, timed by what it takes of a core; the two readers take turns, and the
best turn of each counts.
Digests are apart: what is timed is from the file to rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure, at_least, at_most

COMMAND = "python -m bench.rows reading"
ROWS = 1_000_000
TURNS = 2
LEAST = 0.8
"""Rows a second, as a share of what `datasets` reads."""

MORE_MEMORY = 1.1
"""Peak memory with all rows, as a multiple of that with a tenth of them."""

PACKINGS = ("parquet", "jsonl", "jsonl.zst")
_BATCH = 10_000


def figures(rows: int = ROWS) -> list[Figure]:
    """Speed and memory for each packing."""
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, which gives back what it needed.
        for name, count in (("all", rows), ("tenth", rows // 10)):
            _asked("write", f"{folder}/{name}", str(count))
        return [figure for packing in PACKINGS for figure in _measured(Path(folder), packing, rows)]


def _measured(folder: Path, packing: str, rows: int) -> list[Figure]:
    path = folder / f"all.{packing}"
    theirs_path, note = path, ""
    if packing.endswith(".zst") and not _reads_zstd():
        theirs_path = folder / "all.jsonl"
        note = ", which reads the same rows not packed, since it needs zstandard for .zst"
    ours, theirs = [], []
    for _ in range(TURNS):
        ours.append(_asked("undertow", str(path)))
        theirs.append(_asked("datasets", str(theirs_path)))
    if any(turn["rows"] != rows for turn in (*ours, *theirs)):
        raise RuntimeError(f"{path} was not read to its end")
    speeds = [rows / min(turn["seconds"] for turn in turns) for turns in (ours, theirs)]
    peaks = [turn["peak"] for turn in (_asked("undertow", str(folder / f"tenth.{packing}")), *ours)]
    return [
        at_least(
            f"reading: {rows:,} chat rows of .{packing}, beside datasets",
            speeds[0] / speeds[1],
            LEAST,
            "of its rows a second",
            command=COMMAND,
            note=f"{speeds[0]:,.0f} rows a second of one core; datasets {speeds[1]:,.0f}{note}",
        ),
        at_most(
            f"reading: peak memory with {rows:,} rows of .{packing}, beside a tenth of them",
            max(peaks[1:]) / peaks[0],
            MORE_MEMORY,
            "times",
            command=COMMAND,
            note=f"{peaks[0] / 1024:.0f} MB and {max(peaks[1:]) / 1024:.0f} MB",
        ),
    ]


def _asked(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.rows.reading", "--do", *words]
    one_thread = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, **one_thread}
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _reads_zstd() -> bool:
    import importlib.util

    return importlib.util.find_spec("zstandard") is not None


def _done(reader: str, path: str, count: str = "") -> dict[str, Any]:
    """What a process of its own does: write, or read to the end; with its time and its peak in kB."""
    if reader == "write":
        _write(path, int(count))
        return {}
    import pyarrow

    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    rows = _theirs(path) if reader == "datasets" else _ours(path)
    # Of the processor, all threads together: what else runs on the machine does not count.
    began = time.process_time()
    read = sum(1 for _ in rows)
    return {"rows": read, "seconds": time.process_time() - began, "peak": _peak()}


def _ours(path: str) -> Iterable[object]:
    from undertow.data.records import read_rows

    return read_rows(path)


def _theirs(path: str) -> Iterable[object]:
    from datasets import load_dataset

    kind = "parquet" if path.endswith(".parquet") else "json"
    rows: Iterable[object] = load_dataset(kind, data_files=path, split="train", streaming=True)
    return rows


def _peak() -> int:
    """Of this process alone: what getrusage says begins at its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def _write(stem: str, count: int) -> None:
    """The same chat rows in each packing."""
    import pyarrow
    from pyarrow import parquet

    turns = pyarrow.list_(
        pyarrow.struct([(name, pyarrow.string()) for name in ("role", "content")])
    )
    schema = pyarrow.schema([("messages", turns), ("source", pyarrow.string())])
    with (
        open(f"{stem}.jsonl", "wb") as plain,
        pyarrow.CompressedOutputStream(f"{stem}.jsonl.zst", "zstd") as packed,
        parquet.ParquetWriter(f"{stem}.parquet", schema) as table,
    ):
        for batch in _batches(count):
            lines = "".join(json.dumps(row) + "\n" for row in batch).encode()
            plain.write(lines)
            packed.write(lines)
            table.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _batches(count: int) -> Iterator[list[dict[str, Any]]]:
    rng = random.Random(0)
    words = [f"{rng.choice('bdfgklmnprst')}{rng.choice('aeiou')}{n}" for n in range(2000)]
    for start in range(0, count, _BATCH):
        yield [_row(rng, words) for _ in range(min(_BATCH, count - start))]


def _row(rng: random.Random, words: list[str]) -> dict[str, Any]:
    lengths = {"user": rng.randint(8, 40), "assistant": rng.randint(8, 80)}
    turns = [
        {"role": role, "content": " ".join(rng.choices(words, k=length))}
        for role, length in lengths.items()
    ]
    return {"messages": turns, "source": rng.choice("abc")}


def main() -> int:
    """Print the figures for so many rows, without storing them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--do", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.do:
        print(json.dumps(_done(*asked.do)))
        return 0
    for figure in figures(asked.rows):
        print(f"{figure.name}: {figure.value:.3g} {figure.unit} ({figure.target}) {figure.note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
