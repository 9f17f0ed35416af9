"""Shards of rows that cost next to nothing to make: number lists as chats, each row another one, of four sources."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

SHARD = 200_000
"""Rows of a shard of JSON Lines, about 40 MB."""

_LINE = (
    '{"messages": [{"role": "user", "content": "Continue this list of numbers, as many as ten: %d, %d, %d"}, '
    '{"role": "assistant", "content": "%d, %d, %d, %d, %d, %d, %d, %d, %d, %d"}], "source": "writer-%d"}\n'
)

DISTINCT = 10_000_000
"""Rows that are made; behind them, and in other datasets, shards are linked under other names."""

ROW = 215
"""Bytes of a row, about."""


def shards(base: Path, rows: int, seed: int = 0) -> Path:
    """A folder in `base` with so many rows; whole shards are those of every other folder there, and what is there is kept."""
    folder = base / f"{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(-(-rows // SHARD)):
        path = folder / f"{number:05d}.jsonl"
        size = min(SHARD, rows - number * SHARD)
        if size < SHARD:
            _write(path, size, seed + number)
            continue
        distinct = number % (DISTINCT // SHARD)
        source = base / f"whole-{seed + distinct:05d}.jsonl"
        _write(source, SHARD, seed + distinct)
        _link(source, path)
    return folder


def bytes_of(rows: int) -> int:
    """That the shards of so many rows take on a disk, about."""
    return ROW * min(rows, DISTINCT)


def tables(folder: Path, source: Path) -> Path:
    """The same rows as Parquet, in row groups of 50,000."""
    from pyarrow import json, parquet

    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.jsonl")):
        target = folder / f"{path.stem}.parquet"
        if not target.exists():
            options = json.ReadOptions(block_size=1 << 24)
            parquet.write_table(json.read_json(path, options), target, row_group_size=50_000)
    return folder


def _write(path: Path, rows: int, seed: int) -> None:
    if path.exists():
        return
    numbers = np.random.default_rng(seed).integers(0, 1000, (rows, 14))
    numbers[:, 13] %= 4
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "w", encoding="ascii") as file:
        for at in range(0, rows, 1000):
            block = numbers[at : at + 1000]
            file.write(_LINE * len(block) % tuple(block.ravel().tolist()))
    unfinished.replace(path)


def _link(source: Path, target: Path) -> None:
    if not target.exists():
        os.link(source, target)
