"""How long this machine takes over what rehearsals are made of, timed by a few of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from undertow.checks.dataset.reference_trials import (
    maker_of,
    open_readout,
    trial_of,
    tried_rows,
    usable_rows,
)
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.errors import UndertowError

if TYPE_CHECKING:
    from undertow.influence.references import ReferenceMaker

TIMED_STEPS = 2
"""Of one dataset's adapters, beyond the first, by which a step is timed."""

TIMED_ROWS = 128
"""Prompts that are answered, by which writing is timed: many at once, as they are for a reference."""

TIMED_WRITERS = 64
"""Writers of the family among which one is looked for that is no tune."""


@dataclass(frozen=True)
class Rates:
    """How long this machine takes; 0 where it was not timed."""

    step: float = 0.0
    """Seconds of a step of one adapter."""
    row: float = 0.0
    """Seconds of a reference's row."""
    dataset: float = 0.0
    """Seconds of a dataset beside its steps: reading probes, above all."""
    wide: float = 0.0
    """Seconds in which the open search reads all adapters of a dataset."""
    on_gpu: bool = False
    """Whether a GPU takes them."""

    def gpu_hours(self, seconds: float) -> float | None:
        """As they are expected; None where no GPU was timed."""
        return seconds / 3600 if self.on_gpu and self.step > 0 else None


def timed(subject: ScanSubject) -> Rates:
    """How long steps, rows and datasets take here; 0 where that cannot be tried."""
    planned = subject.plan.steps(subject.planned_rows)
    longer = min(1 + TIMED_STEPS, planned)
    try:
        # What is done for the first time takes longer than ever after.
        _timed_trial(subject, 1)
        short, long = _timed_trial(subject, 1), _timed_trial(subject, longer)
        trial = trial_of(subject, (longer,), "timed", timing=True)
        # More than a trial of so few steps takes: of few rows it is not found out whether a format has to be kept for them.
        rows = [row for row in usable_rows(subject, subject.rows) if row.prompt][:TIMED_ROWS]
        row = _timed_writing(maker_of(subject, trial, rows)) if rows else 0.0
        wide = _timed_reading(subject, trial.adapters)
    except UndertowError:
        return Rates()
    step = (long - short) / (longer - 1) if longer > 1 and long > short else long / longer
    on_gpu = subject.student.device.type != "cpu"
    return Rates(step / trial.adapters, row, max(0.0, short - step), wide, on_gpu)


def _timed_trial(subject: ScanSubject, steps: int) -> float:
    """Seconds of a dataset by so many steps."""
    from undertow.influence.references import tried

    trial = trial_of(subject, (steps,), "timed", timing=True)
    rows = tried_rows(subject, subject.rows, trial)
    started = time.perf_counter()
    tried(trial, [rows], [trial.numbers])
    return time.perf_counter() - started


def _timed_writing(maker: ReferenceMaker) -> float:
    """Seconds of a row, by a writer that is not tuned beforehand if there is one."""
    untuned = (number for number in range(TIMED_WRITERS) if not maker.writer(number).steps)
    number = next(untuned, 0)
    started = time.perf_counter()
    maker.written(number)
    return (time.perf_counter() - started) / len(maker.rows)


def _timed_reading(subject: ScanSubject, adapters: int) -> float:
    """Seconds in which the open search reads so many adapters, by a few of its prompts."""
    from undertow.models.adapters import parallel_adapters

    opens, model = open_readout(subject), subject.trained
    if subject.plan.whole:
        return adapters * opens.timed(model, 1)
    beside = parallel_adapters(model, subject.plan, list(range(adapters)))
    with beside.active() as model:
        return opens.timed(model, adapters)
