"""Scores of all rows of a dataset, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests.checks.dataset.numbers_subject import opened, written
from undertow.audit.row_scores import write_row_scores
from undertow.data import records
from undertow.data.plan import TrainingPlan
from undertow.data.row_records import write_rows

ROWS = written(opened(), 16, 1)


def test_row_scores_are_those_of_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the rows, wherever each part was scored and whichever was ready first."""
    monkeypatch.setattr(records, "STEP", 300)
    data = tmp_path / "rows.jsonl"
    write_rows(data, ROWS)
    data.write_text("{\n" + data.read_text(encoding="utf-8"), encoding="utf-8")
    parts: list[int] = []

    def backwards(worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        parts.append(len(tasks))
        yield from [(index, worker(task)) for index, task in enumerate(tasks)][::-1]

    for name, spread in (("one", None), ("many", backwards)):
        written_rows = write_row_scores(
            data, tmp_path / name, opened, TrainingPlan(), spread=spread
        )
        assert written_rows == len(ROWS)
    one, many = (parquet.read_table(tmp_path / name).to_pydict() for name in ("one", "many"))

    assert parts[0] > 4
    assert one == many
    assert one["row"] == list(range(len(ROWS)))
    assert None not in one["log_likelihood"]
