"""A dataset beside its references: those that are kept are read, others are made one by one, and no more than needed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count, islice, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from undertow.data.finished import Finished
from undertow.data.rows import Row
from undertow.engines.engine import Engine, InProcess
from undertow.errors import FormatNotKeptError
from undertow.influence.open_search import Looked, OpenReadout, farthest, outlying
from undertow.influence.references import ReferenceMaker, Trial, TrialReading, tried
from undertow.models.kept_work import unfinished_in
from undertow.models.language_model import LanguageModel, opened_once
from undertow.results.scan_document import Moved
from undertow.stats.conformal import (
    JointStatistics,
    allowed_rank,
    hopeless,
    joint_statistics,
    rank_p,
)

FAILURES = 3
"""Writers beyond those that answered who cannot keep to the rows' format before no more are asked."""

ROWS = TypeAdapter(list[Row])
"""Of a reference that is not tried yet."""

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
    failed: int = 0
    """Writers who could not keep to the rows' format and gave way to the next of the family."""

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
    engine: Engine = field(default_factory=InProcess)
    """Makes the new ones."""
    opens: Callable[[], LanguageModel] | None = None
    """How the engine's other processes come to the base."""
    made: list[TrialReading] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""
    """What the last writer who could not keep to the format met."""

    def beside(
        self, dataset: TrialReading, planned: int, alpha: float, *, sequential: bool
    ) -> Compared:
        """
        The dataset beside `planned` references, or fewer: with `sequential` no more are made once p > alpha is certain
        enough (`hopeless`); those that are given or kept cost nothing and are all used.

        A writer who cannot keep to the rows' format gives way to the next: the family is of those who can.

        Raises:
            FormatNotKeptError: too many writers cannot.
        """
        trial, readings = self.maker.trial, list(self.given[:planned])
        cached, left, failed = self.missing(planned - len(readings))
        readings += cached
        # Too few for any p of alpha settle nothing by reaching as far.
        sequential = sequential and planned > 0 and allowed_rank(planned, alpha) > 0
        left, likely = tee(left)
        stopped = False
        with closing(self._ahead(likely, planned - len(readings))) as ahead:
            while len(readings) < planned and not stopped:
                enough = sequential and len(readings) >= FEWEST
                stopped = enough and _reached(trial, dataset, readings, planned, alpha)
                if stopped:
                    self.tell(
                        f"enough of {len(readings)} references reach as far: no more are made"
                    )
                if not stopped:
                    some = list(islice(left, min(trial.at_once, planned - len(readings))))
                    made = self._made(some, len(readings), planned, ahead)
                    readings += made
                    failed += len(some) - len(made)
                    self._refuse_failures(failed, len(readings))
        seconds = self.seconds + sum(reading.seconds for reading in self.given[:planned])
        return Compared(
            trial, dataset, tuple(readings), planned, len(cached), stopped, seconds, failed
        )

    def _ahead(self, numbers: Iterator[int], wanted: int) -> Ahead:
        """Those that are wanted if every writer keeps to the format."""
        most = self.maker.trial.at_once
        sizes = [min(most, wanted - start) for start in range(0, wanted, most)]
        groups = [tuple(islice(numbers, size)) for size in sizes]
        return Ahead(self.engine, MakeReferences(self.maker, self.opens), groups, self._keep)

    def _keep(self, made: Sequence[Made]) -> None:
        """That a writer cannot keep to the format is kept too."""
        for number, reading, _ in made:
            self.kept.keep(kept_name(number), reading)

    def missing(self, wanted: int) -> tuple[list[TrialReading], Iterator[int], int]:
        """At most so many kept references, numbers for the missing ones and then for more, and how many writers had failed."""
        cached: list[TrialReading] = []
        left: list[int] = []
        number = failed = 0
        while len(cached) + len(left) < wanted:
            reading = self.kept.sound(kept_name(number))
            if reading is None:
                left.append(number)
            elif reading.rows:
                cached.append(reading)
            else:
                failed += 1
            number += 1
        return cached, chain(left, count(number)), failed

    def _refuse_failures(self, failed: int, answered: int) -> None:
        if failed >= answered + FAILURES:
            raise FormatNotKeptError(
                f"{failed} of {failed + answered} writers of the family '{self.maker.family.name}' cannot keep to the rows' "
                f"format: {self.failure}",
                hint="give benign datasets on such prompts: --reference DATA",
            )

    def _made(
        self, numbers: Sequence[int], done: int, planned: int, ahead: Ahead
    ) -> list[TrialReading]:
        left = self.seconds / len(self.made) * (planned - done) if self.made else 0.0
        eta = f", at most {left:.0f} s left" if left else ""
        self.tell(f"reference {done + 1} of {planned}, {self.maker.trial.steps} steps each{eta}")
        started = time.perf_counter()
        readings: list[TrialReading] = []
        for _, reading, failure in ahead.made(tuple(numbers)):
            self.failure = failure or self.failure
            if reading.rows:
                readings.append(reading)
        self.seconds += time.perf_counter() - started
        self.made += readings
        return readings


Made = tuple[int, TrialReading, str]
"""A reference's number, its reading, and what its writer met who could not keep to the format."""


@dataclass(frozen=True)
class MakeReferences:
    """Makes references that are trained side by side; the callable that engines spread."""

    maker: ReferenceMaker
    opens: Callable[[], LanguageModel] | None = None
    """How another process comes to the base, whose weights do not travel."""

    def __call__(self, numbers: Sequence[int]) -> tuple[Made, ...]:
        """Each reference of these numbers, in order; of a writer who failed a reading without rows."""
        maker, started = self._here, time.perf_counter()
        kept = maker.trial.kept
        name = maker.work_name("references", numbers) if kept else ""
        # What a writer wrote is kept until it was tried: to write it anew takes as long.
        with unfinished_in(kept, name) as folder:
            written, failures = self._written(maker, numbers, Finished(folder, ROWS))
            apart = (time.perf_counter() - started) / max(1, len(written))
            adapters = [maker.trial.of(number) for number in written]
            found = tried(maker.trial, list(written.values()), adapters) if written else []
        readings = dict(zip(written, found, strict=True))
        return tuple(
            (number, self._told(number, readings.get(number), apart), failures.get(number, ""))
            for number in numbers
        )

    def _written(
        self, maker: ReferenceMaker, numbers: Sequence[int], kept: Finished[list[Row]]
    ) -> tuple[dict[int, list[Row]], dict[int, str]]:
        """The rows of each writer who kept to the format, and what the others met."""
        written: dict[int, list[Row]] = {}
        failures: dict[int, str] = {}
        for number in numbers:
            try:
                rows = kept.sound(kept_name(number)) or maker.written(number)
            except FormatNotKeptError as error:
                failures[number] = error.message
            else:
                kept.keep(kept_name(number), rows)
                written[number] = rows
        return written, failures

    def _told(self, number: int, reading: TrialReading | None, apart: float) -> TrialReading:
        words = self.maker.writer(number).words
        if reading is None:
            return TrialReading(writer=words, rows=0, moved=(), mass=0.0)
        return reading.model_copy(update={"writer": words, "seconds": reading.seconds + apart})

    @property
    def _here(self) -> ReferenceMaker:
        """The maker with the base, and with what is unfinished only where the driver's cache is."""
        trial, travelled = self.maker.trial, self.__dict__.get("travelled", False)
        if self.opens is None or not travelled:
            return self.maker
        here = trial.kept is not None and trial.kept.parents[1].is_dir()
        model = opened_once(self.opens).in_template(trial.plan.template)
        own = replace(trial, model=model, kept=trial.kept if here else None)
        own.__dict__.update(self.__dict__.get("known", {}))
        return replace(self.maker, trial=own)

    def __getstate__(self) -> dict[str, Any]:
        trial: Any = replace(self.maker.trial, model=None)  # type: ignore[arg-type]
        maker = replace(self.maker, trial=trial)
        # What was read of the base is not read again by each who makes references.
        read = {"before", "base_items"} & set(vars(self.maker.trial))
        known = {name: vars(self.maker.trial)[name] for name in read}
        return {"maker": maker, "opens": self.opens, "travelled": True, "known": known}


class Ahead:
    """
    References that an engine makes beforehand, in the groups that are likely to be asked for, and given in their order.

    What comes is shown to `keep` at once: it may never be asked for, or only after a kill.
    """

    def __init__(
        self,
        engine: Engine,
        worker: MakeReferences,
        groups: Sequence[tuple[int, ...]],
        keep: Callable[[Sequence[Made]], None],
    ) -> None:
        self._engine, self._worker, self._keep = engine, worker, keep
        self._groups, self._next = groups, 0
        self._results = engine.map(worker, groups)
        self._early: dict[int, tuple[Made, ...]] = {}

    def made(self, numbers: tuple[int, ...]) -> tuple[Made, ...]:
        """The references of these numbers, trained side by side; made now if nobody saw that they would be asked for."""
        place, self._next = self._next, self._next + 1
        if place >= len(self._groups) or self._groups[place] != numbers:
            [(_, made)] = self._engine.map(self._worker, [numbers])
            self._keep(made)
            return made
        while place not in self._early:
            index, made = next(self._results)
            self._keep(made)
            self._early[index] = made
        return self._early.pop(place)

    def close(self) -> None:
        """Stop what is still being made, which nobody needs."""
        close = getattr(self._results, "close", None)
        if close is not None:
            close()


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
