"""A dataset beside its references: those that are kept are read, others are made one by one, and no more than needed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from undertow.data.finished import Finished
from undertow.data.rows import Row
from undertow.influence.open_search import Looked, OpenReadout, farthest, outlying
from undertow.influence.references import ReferenceMaker, Trial, TrialReading, tried
from undertow.results.scan_document import Moved
from undertow.stats.conformal import (
    JointStatistics,
    allowed_rank,
    hopeless,
    joint_statistics,
    rank_p,
)

FEWEST = 5
"""References before their spread says enough of how far the dataset lies out."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Compared:
    """A dataset's reading and those of its references."""

    trial: Trial
    dataset: TrialReading
    references: tuple[TrialReading, ...]
    planned: int
    """References that were wanted."""
    cached: int = 0
    """Of the references: found from before."""
    stopped_early: bool = False
    """Whether no more were made, since enough of them reach as far as the dataset."""
    seconds: float = 0.0
    """Spent on references now, those that were given among them."""

    @cached_property
    def statistics(self) -> JointStatistics:
        """How far each set lies out, the dataset first."""
        sets = [self.dataset, *self.references]
        return joint_statistics(np.stack([one.end.mean(0) for one in sets]))

    @property
    def p(self) -> float:
        """The dataset's rank over all traits at once; 1 after an early stop, which says no more than that it is large."""
        return 1.0 if self.stopped_early else rank_p(self.statistics.largest)

    def outlying(self, subject: str, level: float) -> tuple[Moved, ...]:
        """What else moves as it does in no reference: nothing after an early stop, or where nothing else was read."""
        if self.stopped_early or self.trial.open is None or not self.references:
            return ()
        return outlying(
            _groups(self.trial.open, self.dataset, self.references), subject, level=level
        )

    @property
    def kinds(self) -> dict[str, int]:
        """References by writer, in words."""
        return dict(Counter(one.writer for one in self.references))

    @property
    def others(self) -> NDArray[np.float64]:
        """(references, reads, adapters, traits) in logits."""
        return np.stack([one.way for one in self.references])


@dataclass
class ReferencePool:
    """References as they come: given ones, kept ones, then new ones."""

    maker: ReferenceMaker
    kept: Finished[TrialReading]
    given: Sequence[TrialReading] = ()
    tell: Tell = lambda doing: None
    made: list[TrialReading] = field(default_factory=list)
    seconds: float = 0.0

    def beside(
        self, dataset: TrialReading, planned: int, alpha: float, *, sequential: bool
    ) -> Compared:
        """
        The dataset beside `planned` references, or fewer: with `sequential` no more are made once p > alpha is certain
        enough (`hopeless`); those that are given or kept cost nothing and are all used.

        Raises:
            ModelError: a writer cannot keep to the rows' format.
        """
        trial, readings = self.maker.trial, list(self.given[:planned])
        numbers = range(planned - len(readings))
        before = {number: self._before(number) for number in numbers}
        cached = [reading for reading in before.values() if reading is not None]
        left = [number for number, reading in before.items() if reading is None]
        readings += cached
        # Too few for any p of alpha settle nothing by reaching as far.
        sequential = sequential and planned > 0 and allowed_rank(planned, alpha) > 0
        stopped = False
        while left and not stopped:
            enough = sequential and len(readings) >= FEWEST
            stopped = enough and _reached(trial, dataset, readings, planned, alpha)
            if not stopped:
                some, left = left[: trial.at_once], left[trial.at_once :]
                readings += self._made(some, len(readings), planned)
        seconds = self.seconds + sum(reading.seconds for reading in self.given[:planned])
        return Compared(trial, dataset, tuple(readings), planned, len(cached), stopped, seconds)

    def _before(self, number: int) -> TrialReading | None:
        """A kept reference; what is damaged is made anew."""
        try:
            return self.kept.result(kept_name(number))
        except ValueError:
            return None

    def _made(self, numbers: Sequence[int], done: int, planned: int) -> list[TrialReading]:
        left = self.seconds / len(self.made) * (planned - done) if self.made else 0.0
        eta = f", at most {left:.0f} s left" if left else ""
        self.tell(f"reference {done + 1} of {planned}, {self.maker.trial.steps} steps each{eta}")
        started = time.perf_counter()
        rows: list[list[Row]] = [self.maker.written(number) for number in numbers]
        written = (time.perf_counter() - started) / len(numbers)
        readings = []
        trial = self.maker.trial
        made = tried(trial, rows, [trial.of(number) for number in numbers])
        for number, reading in zip(numbers, made, strict=True):
            words = self.maker.writer(number).words
            seconds = reading.seconds + written
            reading = reading.model_copy(update={"writer": words, "seconds": seconds})
            self.kept.keep(kept_name(number), reading)
            readings.append(reading)
        self.seconds += time.perf_counter() - started
        self.made += readings
        return readings


def _reached(
    trial: Trial,
    dataset: TrialReading,
    readings: Sequence[TrialReading],
    planned: int,
    alpha: float,
) -> bool:
    """Whether more references would change nothing, neither for the named traits nor for the open search."""
    sets = np.stack([one.end.mean(0) for one in (dataset, *readings)])
    if not hopeless(joint_statistics(sets).largest, planned, alpha):
        return False
    if trial.open is None:
        return True
    groups = _groups(trial.open, dataset, readings)
    return not groups or hopeless(farthest(groups), planned, alpha)


def _groups(
    read: OpenReadout, dataset: TrialReading, readings: Sequence[TrialReading]
) -> list[Looked]:
    return read.groups(np.array([dataset.wide]), np.array([one.wide for one in readings]))


def kept_name(number: int) -> str:
    """Of a kept reference."""
    return f"{number:04d}"
