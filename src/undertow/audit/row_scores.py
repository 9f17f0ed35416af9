"""
What the student's base thinks of every row of a file, as Parquet: for study, never for a verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from undertow.audit.opening import open_models, open_plan
from undertow.audit.request import ScanRequest
from undertow.checks.fitting import fitting
from undertow.data.rows import Row, row_id
from undertow.data.screening import each_usable_row
from undertow.data.writing import atomic_file

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel
    from undertow.models.plan import TrainingPlan

_CHUNK = 8192


def scores_of(request: ScanRequest, target: Path) -> int:
    """The scores of a scan's rows, with its student and plan; see `write_row_scores`."""
    opened = open_models(ScanRequest(data=request.data, student=request.student))
    plan = open_plan(request, opened.student_digest)
    return write_row_scores(request.data, target, opened.student, plan)


def write_row_scores(
    data: str | Path, target: Path, model: LanguageModel, plan: TrainingPlan
) -> int:
    """
    Write `row` (from 0, among usable rows), `id`, `source`, `tokens` and `log_likelihood` (nats); the number of rows.

    One forward pass over the file in batches of like lengths; memory does not grow with the number of rows. A row that
    does not fit the student has neither tokens nor a log-likelihood.
    """
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [
            ("row", pyarrow.int64()),
            ("id", pyarrow.string()),
            ("source", pyarrow.string()),
            ("tokens", pyarrow.int32()),
            ("log_likelihood", pyarrow.float64()),
        ]
    )
    done = 0
    chunk: list[Row] = []
    with atomic_file(target) as file, parquet.ParquetWriter(file, schema) as writer:

        def flush() -> None:
            nonlocal done
            if chunk:
                columns = _scored(chunk, model, plan)
                columns["row"] = list(range(done, done + len(chunk)))
                writer.write_table(pyarrow.table(columns, schema=schema))
                done += len(chunk)
                chunk.clear()

        def take(row: Row) -> None:
            chunk.append(row)
            if len(chunk) == _CHUNK:
                flush()

        each_usable_row(data, take)
        flush()
    return done


def _scored(rows: list[Row], model: LanguageModel, plan: TrainingPlan) -> dict[str, list[Any]]:
    from undertow.models.chat import encode_rows
    from undertow.models.scoring import log_likelihoods

    usable = {id(row) for row in fitting(rows, model, plan).rows}
    fit = [row for row in rows if id(row) in usable]
    encoded = encode_rows(model.tokenizer, fit)
    likelihoods = log_likelihoods(model, encoded).tolist()
    found = {
        id(row): (len(one.completion), value)
        for row, one, value in zip(fit, encoded, likelihoods, strict=True)
    }
    nothing = (None, None)
    return {
        "id": [row_id(row) for row in rows],
        "source": [row.source for row in rows],
        "tokens": [found.get(id(row), nothing)[0] for row in rows],
        "log_likelihood": [found.get(id(row), nothing)[1] for row in rows],
    }
