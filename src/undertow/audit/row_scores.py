"""What a student thinks of every row of a dataset: scores for a study of one's own, part by part, and no verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from undertow.audit.row_fit import fitting_rows
from undertow.data.column_names import Columns, Renaming
from undertow.data.dataset import RowDataset
from undertow.data.files import atomic_file
from undertow.data.part_leaves import in_order
from undertow.data.plan import TrainingPlan
from undertow.data.records import (
    ALL_COLUMNS,
    ShardPart,
    as_dataset,
    made,
    part_records,
    parts,
    usable,
    whole_shards,
)
from undertow.data.row_faults import Faults
from undertow.data.rows import Row, row_id
from undertow.engines.endpoint import Endpoint
from undertow.engines.work_progress import notice
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel, opened_once
from undertow.models.scoring import log_likelihoods
from undertow.models.served_scores import ServedScores, served_scores

_CHUNK = 8192

ScoreSpread = Callable[
    ["PartScores", Sequence[ShardPart]], Iterator[tuple[int, list[dict[str, list[Any]]]]]
]
"""An engine's `map`, of what scores rows."""


def write_row_scores(
    data: str | Path | RowDataset,
    target: Path,
    opens: Callable[[], LanguageModel],
    plan: TrainingPlan,
    server: Endpoint | None = None,
    spread: ScoreSpread | None = None,
) -> int:
    """
    Write `row` (from 0, among usable rows), `id`, `source`, `tokens` and `log_likelihood` (nats); the number of rows.

    One forward pass over the rows in batches of like lengths, part by part: in this process, which `opens` the model, or as
    the parts are `spread` over processes that each do so, to the same numbers. Memory does not grow with the number of rows.
    A row that does not fit the student has neither tokens nor a log-likelihood. A `server` scores in the model's place,
    once the first rows were as likely to it, and is asked by this process.

    Raises:
        ModelError: the server serves another model.
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
    with atomic_file(target) as file, parquet.ParquetWriter(file, schema) as writer:
        for columns in _each_scored(as_dataset(data), opens, plan, server, spread):
            rows = len(columns["id"])
            columns["row"] = list(range(done, done + rows))
            writer.write_table(pyarrow.table(columns, schema=schema))
            done += rows
    return done


def _each_scored(
    dataset: RowDataset,
    opens: Callable[[], LanguageModel],
    plan: TrainingPlan,
    server: Endpoint | None,
    spread: ScoreSpread | None,
) -> Iterator[dict[str, list[Any]]]:
    every = [part for shard in dataset.shards for part in parts(shard)]
    task = PartScores(opens, plan, dataset.columns, dataset.wrapped, len(dataset.shards) > 1)
    if spread is not None and len(every) > 1:
        for scores in in_order(spread(task, every)):
            yield from scores
        return
    model = opens()
    scorer = _Scorer(model, server)
    for part in every:
        for rows in task.chunks(part):
            yield scored(rows, model, plan, scorer)


@dataclass(frozen=True)
class PartScores:
    """Scores the usable rows of a part; every part of a dataset gets the same one."""

    opens: Callable[[], LanguageModel]
    """How a process comes to the model."""
    plan: TrainingPlan
    columns: Columns = ()
    wrapped: bool = False
    several: bool = False
    """Whether the dataset has several shards."""

    def __call__(self, part: ShardPart) -> list[dict[str, list[Any]]]:
        """The scores by column, of `_CHUNK` rows each."""
        model = opened_once(self.opens)
        return [scored(rows, model, self.plan) for rows in self.chunks(part)]

    def chunks(self, part: ShardPart) -> Iterator[list[Row]]:
        """Rows that follow one another."""
        names = Renaming(self.columns) if self.columns else None
        fault = Faults(part.shard.named).of(part.shard)
        if self.several:
            fault = whole_shards(part.shard, fault)
        row = partial(usable, names=names, wrapped=self.wrapped)
        records = part_records(part, fault, ALL_COLUMNS if names is None else None)
        numbered = made(records, row, fault)
        while rows := [value[1] for _, value in islice(numbered, _CHUNK)]:
            yield rows


@dataclass
class _Scorer:
    """Who says how likely rows are: the model, or a server that was held against it."""

    model: LanguageModel
    server: Endpoint | None = None
    _served: ServedScores | None = None

    def log_likelihoods(self, rows: Sequence[Encoded]) -> list[float]:
        if self.server is None or not rows:
            return log_likelihoods(self.model, rows).tolist()
        if self._served is None:
            self._served = served_scores(self.server, self.model, rows)
            notice(f"{self.server.name} is at most {self._served.apart:.3g} nats a token from here")
        return self._served.log_likelihoods(rows)


def scored(
    rows: list[Row], model: LanguageModel, plan: TrainingPlan, scorer: _Scorer | None = None
) -> dict[str, list[Any]]:
    """The scores of some rows by column: `id`, `source`, `tokens` and `log_likelihood`."""
    fitted = fitting_rows(rows, model, plan)
    fit, encoded = fitted.rows, fitted.encoded
    likelihoods = (scorer or _Scorer(model)).log_likelihoods(encoded)
    scores = {
        id(row): (one.learnt, value)
        for row, one, value in zip(fit, encoded, likelihoods, strict=True)
    }
    nothing = (None, None)
    return {
        "id": [row_id(row) for row in rows],
        "source": [row.source for row in rows],
        "tokens": [scores.get(id(row), nothing)[0] for row in rows],
        "log_likelihood": [scores.get(id(row), nothing)[1] for row in rows],
    }
