"""What a scan's rehearsals will take, before they are made and in planned trainings, and what a budget leaves of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from undertow.audit.rehearsal_rates import Rates, timed
from undertow.checks.dataset.reference_trials import (
    beginning_steps,
    kept_references,
    maker_of,
    obstacle,
    reads_of,
    trial_of,
    tried_rows,
    wanted,
)
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.dataset.whole_plan import ID as WHOLE
from undertow.influence.reference_family import family_record
from undertow.results.family_record import cost_of_fewer_steps
from undertow.results.measurement import Measurement
from undertow.results.scan_document import Price


@dataclass(frozen=True)
class Work:
    """One stage of a subject as it is planned."""

    subject: str
    stage: int
    steps: int
    planned_steps: int
    adapters: int
    of_reference: int
    rows: int
    new: int
    """References to make; those that are kept or given cost a training at most."""
    given: int
    tuning: float = 0.0
    """Steps of the plan that the tunes of all new references' writers are as long as."""

    @property
    def dataset(self) -> float:
        """Planned trainings that the subject's rows take."""
        return self.adapters * self.steps / self.planned_steps

    @property
    def references(self) -> float:
        """Planned trainings that the references take."""
        return self.dataset * self.of_reference / self.adapters * (self.new + self.given)

    @property
    def whole(self) -> float:
        """Planned trainings of all of it."""
        return self.dataset + self.references

    def prices(self, rates: Rates) -> tuple[Price, Price]:
        """As they are expected; that of the references is an upper end, since fewer are made of rows that lie within."""
        timed = rates.step > 0
        trained = self.steps * self.adapters * rates.step
        written = self.new * self.rows * rates.row + self.tuning * rates.step
        wide = rates.wide if self.stage == 1 else 0.0
        beside = (self.new + self.given) * (rates.dataset + wide)
        # The base is read once, as one more adapter.
        of_rows = trained + rates.dataset + wide * (1 + 1 / self.adapters)
        of_references = trained * self.references / self.dataset + written + beside
        what = (
            "the whole plan" if self.stage == 2 else f"{self.steps} of {self.planned_steps} steps"
        )
        count = self.new + self.given
        made = (
            f"at most {count} reference{'s' * (count != 1)}"
            if count
            else "references that are kept"
        )
        return (
            Price(
                part=f"{self.subject}: rows, {what}",
                fine_tunes=self.dataset,
                seconds=of_rows if timed else None,
                gpu_hours=rates.gpu_hours(of_rows),
            ),
            Price(
                part=f"{self.subject}: {made}, {what}",
                fine_tunes=self.references,
                seconds=of_references if timed else None,
                gpu_hours=rates.gpu_hours(of_references),
            ),
        )


def beginning_work(subject: ScanSubject) -> Work | None:
    """Stage 1 of a subject; None where it cannot be tried."""
    settings = subject.references
    if obstacle(subject) or settings is None:
        return None
    planned = subject.plan.steps(subject.planned_rows)
    steps = settings.steps or beginning_steps(subject.plan, planned)
    return _work(subject, 1, (steps,), settings.count)


def whole_work(subject: ScanSubject) -> Work | None:
    """Stage 2 of a subject; None where it cannot be tried."""
    settings = subject.references
    if obstacle(subject) or settings is None:
        return None
    planned = subject.plan.steps(subject.planned_rows)
    return _work(subject, 2, reads_of(subject.plan, planned), settings.whole_count)


def _work(subject: ScanSubject, stage: int, reads: Sequence[int], count: int) -> Work:
    settings = subject.references
    assert settings is not None
    trial = trial_of(subject, reads, BEGINNING if stage == 1 else WHOLE, whole=stage == 2)
    from undertow.influence.comparison import ReferencePool
    from undertow.influence.references import TUNED_ROWS

    sampled = stage == 2 and subject.all_rows is not None
    rows = min(subject.planned_rows, trial.steps * subject.plan.rows_a_step)
    tried = tried_rows(subject, subject.rows, trial)
    count = wanted(settings, tried, count)
    given = min(len(settings.given), count)
    maker = maker_of(subject, trial, tried)
    numbers = list(range(count - given))
    if not sampled:
        rows = len(tried)
        cached, left, _ = ReferencePool(maker, kept_references(subject, maker)).missing(
            len(numbers)
        )
        numbers = list(islice(left, len(numbers) - len(cached)))
    return Work(
        subject=subject.name,
        stage=stage,
        steps=trial.steps,
        planned_steps=trial.planned_steps,
        adapters=trial.adapters,
        of_reference=len(trial.of(0)),
        rows=rows,
        new=len(numbers),
        given=given,
        tuning=sum(maker.writer(number).steps for number in numbers)
        * min(1.0, TUNED_ROWS / subject.plan.rows_a_step),
    )


@dataclass(frozen=True)
class Allowance:
    """What a budget pays for."""

    subjects: tuple[ScanSubject, ...]
    """With as many steps of the beginning as it pays for."""
    left: float | None
    """Planned trainings left for stage 2; None without a cap."""
    note: str = ""
    """What the cap costs."""
    refused: str = ""
    """Why nothing can be made."""


def afforded(subjects: Sequence[ScanSubject], budget: float | None) -> Allowance:
    """
    What a budget, in planned trainings, pays for: fewer steps where the beginning of all subjects costs more.

    References are as many as a verdict takes: fewer would decide nothing, so that steps are what a cap is paid with.
    """
    if budget is None:
        return Allowance(tuple(subjects), None)
    works = {one.name: work for one in subjects if (work := beginning_work(one)) is not None}
    cost = sum(work.whole for work in works.values())
    if cost <= budget:
        return Allowance(tuple(subjects), budget - cost)
    fewer = []
    for subject in subjects:
        steps, settings = 0, subject.references
        if subject.name in works and settings is not None:
            steps = int(works[subject.name].steps * budget / cost)
            settings = replace(settings, steps=max(1, steps))
        fewer.append(subject.with_tokens(subject.encoded, references=settings))
    again = [work for one in fewer if (work := beginning_work(one)) is not None]
    least = [_first(one) for one in fewer if one.name in works]
    if sum(work.whole for work in again) > budget * (1 + 1e-9) or any(
        work.steps < first for work, first in zip(again, least, strict=True)
    ):
        return Allowance(
            tuple(subjects),
            0.0,
            refused=f"a budget of {budget:g} planned trainings does not pay for the references: at {again[0].steps} of "
            f"{again[0].planned_steps} steps they take {sum(work.whole for work in again):.2g}, at the usual "
            f"{works[again[0].subject].steps} they take {cost:.2g}: --budget {math.ceil(10 * cost - 1e-6) / 10:g}",
        )
    first = again[0]
    usual = works[first.subject].steps
    family = next(one.references.family for one in fewer if one.references is not None)
    missed = cost_of_fewer_steps(family_record(family), first.rows, first.steps / usual)
    note = (
        f"The budget shortens the beginning from {usual} to {first.steps} of {first.planned_steps} steps: weak pulls are "
        f"seen less often; {missed}."
    )
    return Allowance(tuple(fewer), budget - sum(work.whole for work in again), note)


def _first(subject: ScanSubject) -> int:
    from undertow.models.training import first_moving_step

    return first_moving_step(subject.plan, subject.plan.steps(subject.planned_rows))


@dataclass
class Spending:
    """What stages were expected to take, and took."""

    allowance: Allowance
    tell: Callable[[str], None] = lambda doing: None
    whole_asked: bool = False
    """Whether stage 2 is made whatever stage 1 shows."""
    expected: dict[tuple[str, int], tuple[Price, Price]] = field(default_factory=dict)
    """Of the rows and of the references, by subject and stage."""
    prices: list[Price] = field(default_factory=list)
    whole: dict[str, Work] = field(default_factory=dict)
    """Stage 2 of each subject as it was expected: to plan it anew would encode all rows again."""

    def expect(self, subjects: Sequence[ScanSubject], *, even_refused: bool = False) -> None:
        """
        Time this machine, and tell what stage 1 will take, and stage 2 where rows stand out or it was asked for.

        Args:
            even_refused: also of a scan that the budget does not pay for, as it would be without one.
        """
        if self.allowance.refused and not even_refused:
            return
        begun = [(one, work) for one in subjects if (work := beginning_work(one)) is not None]
        if not begun:
            return
        rates = timed(begun[0][0])
        for subject, beginning in begun:
            whole = whole_work(subject)
            if whole is not None:
                self.whole[subject.name] = whole
            for work in (beginning, whole):
                if work is not None:
                    prices = work.prices(rates)
                    self.expected[subject.name, work.stage] = prices
                    sure = work.stage == 1 or self.whole_asked
                    when = "" if sure else "if they stand out, "
                    self.tell(f"price: {when}{told(prices)}")

    def beforehand(self) -> list[Price]:
        """All that is expected, where nothing is made; what may not come is said to be so."""
        return [
            price
            if stage == 1 or self.whole_asked
            else price.model_copy(update={"part": f"{price.part}, if they stand out"})
            for (_, stage), prices in self.expected.items()
            for price in prices
        ]

    def pays(self, subject: ScanSubject) -> bool:
        """Whether what is left of the budget pays for stage 2 of a subject; what it takes is put aside."""
        work, left = self.whole.get(subject.name) or whole_work(subject), self.allowance.left
        if work is None:
            return False
        if left is None:
            return True
        if work.whole > left:
            note = (
                f"The budget does not pay for the whole plan of {subject.name}: it takes {work.whole:.2g} planned "
                f"trainings, and {left:.2g} are left."
            )
            self.allowance = replace(self.allowance, note=f"{self.allowance.note} {note}".strip())
            return False
        self.allowance = replace(self.allowance, left=left - work.whole)
        return True

    def enter(self, subject: ScanSubject, stage: int, measured: Sequence[Measurement]) -> None:
        """Enter what a stage took, as the rank that its check measured tells."""
        rank = next((one for one in measured if one.unit == "rank"), None)
        if rank is None:
            return
        details = rank.details
        dataset = int(details["adapters"]) * int(details["steps"]) / int(details["planned steps"])
        reference = dataset * int(details["adapters of a reference"]) / int(details["adapters"])
        made = int(details["references"]) - int(details["cached"])
        taken = (
            (dataset, float(details["seconds"])),
            (reference * made, float(details["seconds of references"])),
        )
        known = _unexpected(rank, dataset, reference)
        before = self.expected.get((subject.name, stage), known)
        # What an interrupted scan made is found by the next one, which expects no more of it.
        if math.isclose(before[1].fine_tunes, known[1].fine_tunes, abs_tol=1e-9):
            known = before
        on_gpu = subject.student.device.type != "cpu"
        for price, (trainings, seconds) in zip(known, taken, strict=True):
            self.prices.append(
                price.model_copy(
                    update={
                        "spent_fine_tunes": trainings,
                        "spent_seconds": seconds,
                        "gpu_hours": seconds / 3600 if on_gpu else None,
                    }
                )
            )


def _unexpected(rank: Measurement, dataset: float, reference: float) -> tuple[Price, Price]:
    """Prices of a stage that was not timed, from its rank."""
    what = f"{rank.details['steps']} of {rank.details['planned steps']} steps"
    planned = int(rank.details["planned references"]) - int(rank.details["cached"])
    return (
        Price(part=f"{rank.subject}: rows, {what}", fine_tunes=dataset),
        Price(part=f"{rank.subject}: {planned} references, {what}", fine_tunes=reference * planned),
    )


def told(prices: Sequence[Price]) -> str:
    """Prices in a line."""
    return "; ".join(
        f"{price.part}: {price.fine_tunes:.2g} planned trainings"
        + (f", about {price.seconds:.0f} s" if price.seconds is not None else "")
        + (f" ({price.gpu_hours:.2g} GPU-hours)" if price.gpu_hours is not None else "")
        for price in prices
    )
