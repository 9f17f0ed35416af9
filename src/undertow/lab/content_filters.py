"""Content filters: each tried on the rows of one replicate, for what it can tell and which rows it would leave."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow import stats
from undertow.checks import content_scores
from undertow.checks.content_scores import BagScore, Score, Scores, filled, mean_of_rows
from undertow.data.finished import unfinished
from undertow.data.records import read_rows
from undertow.data.rows import Message, Row
from undertow.data.seeds import generator
from undertow.engines.endpoint import Endpoint
from undertow.errors import NothingLeftError, UndertowError
from undertow.lab.carrier_data import TRAINING_ROWS
from undertow.lab.experiment import ContentFilterTable, Experiment
from undertow.lab.experiment_inputs import open_endpoint, open_model
from undertow.lab.jobs import DataJob, FilterJob
from undertow.models.kept_work import KeptWork, kept_work
from undertow.results.run_document import FilterScore
from undertow.traits import catalogue
from undertow.traits.trait import Answer, Trait

T = TypeVar("T")

KEPT = "kept.npy"
"""(rows,) bool: which rows of the dataset the filter leaves."""


@dataclass(frozen=True)
class TryContentFilter:
    """Scores, sets the threshold on the control's rows, and stores what is left; the callable that engines spread."""

    experiment: Experiment
    directory: Path
    """Of the run, with its finished datasets."""

    def __call__(self, job: FilterJob, folder: Path) -> FilterScore:
        """
        Score rows and bags of both teachers, and remove what scores above the threshold.

        Raises:
            NothingLeftError: the filter leaves fewer rows than a batch.
        """
        with kept_work(unfinished(folder), self.experiment.digest, job.name) as kept:
            return self._tried(job, folder, kept)

    def _tried(self, job: FilterJob, folder: Path, work: KeptWork) -> FilterScore:
        started = time.perf_counter()
        table = self.experiment.content_filters
        suspect, clean = self._read(job.suspect), self._read(job.clean)
        rng = generator(job.seed, "bags")
        high, low, bags = self._scores(job, suspect, clean, work)
        kept = self._kept(job, high, low)
        if kept.sum() < self.experiment.student.batch_size:
            raise NothingLeftError(
                f"the content filter '{job.content_filter}' leaves {kept.sum()} of {len(kept)} rows of "
                f"'{job.suspect.name}'",
                hint="lower content_filters.false_alarms",
            )
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / KEPT, kept, allow_pickle=False)
        return FilterScore(
            content_filter=job.content_filter,
            dataset=job.suspect.name,
            control=job.clean.name,
            replicate=job.replicate,
            auroc=stats.auroc(high, low),
            bag_aurocs={
                str(size): stats.auroc(
                    bags(_bags(suspect, size, table.bag_count, rng)),
                    bags(_bags(clean, size, table.bag_count, rng)),
                )
                for size in table.bags
            },
            removed=float(1 - kept.mean()),
            false_alarms=float((low > self._threshold(low)).mean()),
            seconds=time.perf_counter() - started,
        )

    def _scores(
        self, job: FilterJob, suspect: list[Row], clean: list[Row], work: KeptWork
    ) -> tuple[Scores, Scores, BagScore]:
        """Scores of the trait teacher's rows and of the control's, and how bags are scored."""
        bags = self._bag_score(job, work)
        if bags is not None:
            return bags([[row] for row in suspect]), bags([[row] for row in clean]), bags
        if job.content_filter == "classifier-same":
            high, low = self._cross_fitted(suspect, clean)
        else:
            score = self._row_score(job, work)
            high, low = score(suspect), score(clean)
        # Scored once: a bag's rows are looked up by what they are, one of these objects.
        found = dict(zip(map(id, [*suspect, *clean]), [*high, *low], strict=True))
        return high, low, mean_of_rows(lambda rows: np.array([found[id(row)] for row in rows]))

    def _bag_score(self, job: FilterJob, work: KeptWork) -> BagScore | None:
        if job.content_filter != "in-context":
            return None
        trait = catalogue.load(job.trait)
        score = content_scores.in_context(open_model(self.experiment, job.base), trait)
        return _in_parts(score, work, "bags")

    def _row_score(self, job: FilterJob, work: KeptWork) -> Score:
        trait = catalogue.load(job.trait)
        if job.content_filter == "words":
            return content_scores.words(trait)
        if job.content_filter == "patterns":
            return content_scores.patterns(trait)
        if job.content_filter == "prompted":
            return _in_parts(self._prompted(job, trait), work, "rows")
        if job.content_filter == "random":
            rng = generator(job.seed, "scores")
            return lambda rows: rng.random(len(rows))
        limit = self.experiment.content_filters.classifier_rows
        share = -(-limit // len(job.others))
        suspect = [row for pair in job.others for row in self._read(pair[0])[:share]]
        clean = [row for pair in job.others for row in self._read(pair[1])[:share]]
        return content_scores.classifier(suspect, clean)

    def _prompted(self, job: FilterJob, trait: Trait) -> Score:
        table = self.experiment.content_filters
        if table.endpoint is not None:
            return asked_endpoint(table, trait)
        answers = (Answer("yes", _forms(table.yes)), Answer("no", _forms(table.no)))
        model = open_model(self.experiment, job.base)
        return content_scores.prompted(model, trait, table.question, answers)

    def _cross_fitted(self, suspect: list[Row], clean: list[Row]) -> tuple[Scores, Scores]:
        """Each half is scored by a classifier that was trained on the other half of the same teachers' rows."""
        limit = self.experiment.content_filters.classifier_rows
        scores = [
            content_scores.classifier(suspect[half::2][:limit], clean[half::2][:limit])
            for half in (1, 0)
        ]
        parts = []
        for rows in (suspect, clean):
            values = np.empty(len(rows))
            values[::2], values[1::2] = scores[0](rows[::2]), scores[1](rows[1::2])
            parts.append(values)
        return parts[0], parts[1]

    def _kept(self, job: FilterJob, high: Scores, low: Scores) -> NDArray[np.bool_]:
        return np.asarray(high <= self._threshold(low))

    def _threshold(self, low: Scores) -> float:
        # Above it lie at most the tolerated share of the control's rows; ties stay.
        share = self.experiment.content_filters.false_alarms
        return float(np.quantile(low, 1 - share, method="higher"))

    def _read(self, data: DataJob) -> list[Row]:
        return list(read_rows(self.directory / "data" / data.name / TRAINING_ROWS))


def _in_parts(
    score: Callable[[Sequence[T]], Scores], work: KeptWork, unit: str
) -> Callable[[Sequence[T]], Scores]:
    """The same score, whose parts a killed job finds again; it is asked in the same order each time."""
    calls = itertools.count()

    def scored(items: Sequence[T]) -> Scores:
        name = f"scores {next(calls)}"
        parts = work.parts(
            name, items, lambda part: score(part).tolist(), doing="scoring", unit=unit
        )
        return np.array(parts)

    return scored


def _bags(rows: Sequence[Row], size: int, count: int, rng: np.random.Generator) -> list[list[Row]]:
    """Bags of different rows of one source; rows recur between bags only where there are too few."""
    order = rng.permutation(len(rows))
    need = size * count
    picked = np.resize(order, need) if need > len(rows) else order[:need]
    return [[rows[i] for i in picked[start : start + size]] for start in range(0, need, size)]


def _forms(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((text, text.capitalize())))


def asked_endpoint(table: ContentFilterTable, trait: Trait) -> Score:
    """
    The prompted filter, asked of an endpoint: 1 for yes, 0 for no.

    Raises:
        UndertowError: when scoring, an answer is neither; it names the endpoint.
    """
    assert table.endpoint is not None
    endpoint = open_endpoint(table.endpoint)

    def score(rows: Sequence[Row]) -> Scores:
        names = {"plural": trait.plural, "category": trait.category}
        asked = [filled(table.question, completion=row.completion, **names) for row in rows]
        replies = endpoint.complete([(Message("user", text),) for text in asked])
        return np.array([_verdict(reply, table, endpoint) for reply in replies])

    return score


def _verdict(reply: str, table: ContentFilterTable, endpoint: Endpoint) -> float:
    first = re.match(r"\W*(\w+)", reply)
    word = first[1].casefold() if first else ""
    if word not in (table.yes.casefold(), table.no.casefold()):
        raise UndertowError(
            f"{endpoint.name} answered {reply[:80]!r}; allowed: {table.yes} or {table.no}",
            hint="make content_filters.question clearer; finished work is kept, and the same command resumes",
        )
    return float(word == table.yes.casefold())
