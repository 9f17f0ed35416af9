"""The bench's raw readings as one Parquet file: a row a writer and dataset, every number that was read in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from bench.power.readings import READINGS, AuthorReading

_MATRIX = pa.list_(pa.list_(pa.float32()))

SCHEMA = pa.schema(
    {
        "cell": pa.string(),
        "role": pa.string(),
        "number": pa.int32(),
        "kind": pa.string(),
        "words": pa.string(),
        "base": pa.string(),
        "trait": pa.string(),
        "strength": pa.float64(),
        "kl": pa.float64(),
        "author_seconds": pa.float64(),
        "baselines": pa.string(),
        "rows": pa.int32(),
        "planned_steps": pa.int32(),
        "steps": pa.int32(),
        "first_reads": pa.list_(pa.int32()),
        "first": pa.list_(_MATRIX),
        "reads": pa.list_(pa.int32()),
        "whole": pa.list_(_MATRIX),
        "students": _MATRIX,
        "mass": pa.float64(),
        "seconds": pa.float64(),
    }
)
"""`first` and `whole` are (reads, adapters, traits), `students` is (students, traits), in logits."""


def write_readings(path: Path, readings: Sequence[AuthorReading]) -> None:
    """Store all readings; in single precision, which is finer than any of them is known."""
    rows = []
    for reading in readings:
        author = reading.model_dump(exclude={"datasets", "baselines", "seconds"})
        author["baselines"] = reading.baselines and reading.baselines.model_dump_json()
        author["author_seconds"] = reading.seconds
        rows += [author | dataset.model_dump() for dataset in reading.datasets]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    parquet.write_table(table, path, compression="zstd", compression_level=19)


def read_readings(path: Path) -> list[AuthorReading]:
    """What `write_readings` stored; nothing where there is no file."""
    if not path.is_file():
        return []
    authors: dict[tuple[object, ...], dict[str, object]] = {}
    for row in parquet.read_table(path).to_pylist():
        names = (
            "rows",
            "planned_steps",
            "steps",
            "first_reads",
            "first",
            "reads",
            "whole",
            "students",
            "mass",
            "seconds",
        )
        dataset = {name: row.pop(name) for name in names}
        row["seconds"] = row.pop("author_seconds")
        row["baselines"] = row["baselines"] and json.loads(row["baselines"])
        key = (row["cell"], row["role"], row["number"])
        known = authors.setdefault(key, row | {"datasets": []})
        datasets = known["datasets"]
        assert isinstance(datasets, list)
        datasets.append(dataset)
    return [READINGS.validate_python(author) for author in authors.values()]
