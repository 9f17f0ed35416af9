"""What a scan costs is told before it, entered after it, and kept below a budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import subject
from tests.influence.trials import FAMILY, ROWS
from undertow.audit import prices as module
from undertow.audit.prices import (
    Allowance,
    Spending,
    Work,
    afforded,
    beginning_work,
    told,
    whole_work,
)
from undertow.audit.rehearsal_rates import Rates
from undertow.checks.dataset.reference_trials import WHOLE_ADAPTERS, maker_of, trial_of, tried_rows
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.data.finished import Finished
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row
from undertow.influence.comparison import kept_name
from undertow.influence.references import READING, TrialReading
from undertow.results.measurement import Measurement, not_applicable
from undertow.results.scan_document import ALL

PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=32, epochs=32)
OWN = ReferenceSettings(FAMILY, "base")
WORK = Work(ALL, 1, 8, 32, 2, 2, 64, 19, 0)


def asked(**changes: Any) -> ScanSubject:
    """The base's own rows under a plan of 32 steps, of which 8 are the beginning."""
    return subject(changes.pop("rows", ROWS), **({"plan": PLAN, "references": OWN} | changes))


def rank(references: int, cached: int = 0, planned: int = 19, given: int = 0) -> Measurement:
    """What a beginning measured."""
    details: dict[str, float | int | str] = {
        "steps": 8,
        "planned steps": 32,
        "adapters": 2,
        "adapters of a reference": 2,
        "references": references,
        "planned references": planned,
        "cached": cached,
        "kind: given": given,
        "seconds": 3.0,
        "seconds of references": 20.0,
    }
    return Measurement(check=BEGINNING, subject=ALL, p=0.5, unit="rank", details=details)


@pytest.fixture
def rated(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine takes half a second a step, and a hundredth a row."""
    monkeypatch.setattr(module, "timed", lambda subject: Rates(0.5, 0.01))


def test_a_price_is_counted_in_planned_trainings() -> None:
    """K adapters by N of M steps are K N / M of one; each reference has as many adapters or fewer."""
    assert WORK.dataset == 0.5
    assert WORK.references == 9.5
    assert WORK.whole == 10
    assert replace(WORK, of_reference=1, new=4, given=2).references == 6 / 4


def test_seconds_are_those_of_steps_rows_and_tunes() -> None:
    """Of all adapters; nothing is said where the machine was not timed."""
    rows, references = replace(WORK, tuning=6.0).prices(Rates(0.5, 0.01))

    assert rows.seconds == 8 * 2 * 0.5
    assert references.seconds == pytest.approx(19 * (8 * 2 * 0.5 + 64 * 0.01) + 6 * 0.5)
    assert [one.seconds for one in WORK.prices(Rates())] == [None, None]


def test_what_a_dataset_takes_beside_its_steps_counts_once_a_dataset() -> None:
    """Probes are read as often as there are datasets, however few their steps."""
    rows, references = replace(WORK, new=2, given=1).prices(Rates(0.5, 0.0, 3.0))

    assert rows.seconds == 8 + 3
    assert references.seconds == 3 * (8 + 3)


def test_the_open_search_is_priced_in_stage_1() -> None:
    """Of each dataset's adapters, and of the base once; the whole plan has none."""
    rates = Rates(0.5, 0.0, 0.0, 20.0)
    rows, references = replace(WORK, new=2, given=1).prices(rates)
    whole = replace(WORK, stage=2).prices(rates)

    assert rows.seconds == 8 + 20 + 10
    assert references.seconds == 3 * (8 + 20)
    assert [one.seconds for one in whole] == [8, 19 * 8]


def test_prices_are_told_in_a_line() -> None:
    """Which rows, how many references at most, which steps."""
    assert told(WORK.prices(Rates(0.5, 0.01))) == (
        "all: rows, 8 of 32 steps: 0.5 planned trainings, about 8 s; "
        "all: at most 19 references, 8 of 32 steps: 9.5 planned trainings, about 164 s"
    )
    assert "; all: references that are kept, 8 of 32" in told(replace(WORK, new=0).prices(Rates()))
    assert told(replace(WORK, stage=2, given=2).prices(Rates())) == (
        "all: rows, the whole plan: 0.5 planned trainings; all: at most 21 references, the whole plan: 10 planned trainings"
    )


def test_the_work_of_both_stages_is_known_beforehand() -> None:
    """Steps, adapters and references as the checks take them; none where a subject cannot be tried."""
    first, second = beginning_work(asked()), whole_work(asked())

    assert first is not None
    assert second is not None
    assert (first.steps, first.planned_steps, first.adapters, first.of_reference) == (8, 32, 2, 2)
    assert (first.new, first.given, first.rows) == (19, 0, len(ROWS))
    assert (second.steps, second.adapters, second.of_reference) == (32, WHOLE_ADAPTERS, 1)
    assert (second.new, second.whole) == (8, WHOLE_ADAPTERS + 8)
    assert beginning_work(asked(traits=())) is None
    assert whole_work(asked(references=None)) is None


@pytest.mark.parametrize("planned", [6, 32, 39, 256, 1024, 8192])
def test_a_default_scan_takes_the_rows_half_a_planned_training(planned: int) -> None:
    """However long the plan is; the open search reads the same adapters at the end and trains none of its own."""
    plan = PLAN.model_copy(update={"max_steps": planned, "epochs": float(8 * planned)})
    tried = asked(plan=plan)
    work = beginning_work(tried)

    assert work is not None
    assert work.planned_steps == planned
    assert 0 < work.dataset <= 0.5
    assert trial_of(tried, (work.steps,), BEGINNING).open is not None


def test_a_tunes_steps_are_work_too() -> None:
    """Of the writers that are tuned, as many steps as they are drawn to take: two or three of each."""
    neutral = FAMILY.model_copy(update={"writers": FAMILY.writers[1:]})
    base = FAMILY.model_copy(update={"writers": FAMILY.writers[:1]})
    tuned, untuned = (
        beginning_work(asked(references=replace(OWN, family=one))) for one in (neutral, base)
    )

    assert tuned is not None
    assert untuned is not None
    assert 2 * 19 < tuned.tuning < 3 * 19
    assert untuned.tuning == 0


def test_kept_and_given_references_are_not_made(tmp_path: Path) -> None:
    """Kept ones cost nothing; given ones a training; rows without prompts have no others."""
    settings = replace(OWN, kept=tmp_path)
    trial = trial_of(asked(), (8,), BEGINNING)
    key = maker_of(asked(), trial, tried_rows(asked(), ROWS, trial)).key("base")
    kept = Finished(tmp_path / key, READING)
    for number in range(5):
        kept.keep(kept_name(number), TrialReading(rows=8, moved=(), mass=0.9))
    plain = tuple(Row((), row.completion, chat=False) for row in ROWS)
    works = [
        beginning_work(asked(references=settings)),
        beginning_work(asked(references=replace(settings, given=(ROWS, ROWS)))),
        beginning_work(asked(rows=plain, references=replace(settings, given=(plain, plain)))),
    ]

    assert [(work.new, work.given) for work in works if work] == [(14, 0), (12, 2), (0, 2)]


def test_the_whole_plan_of_a_sample_is_that_of_all_rows() -> None:
    """As many rows as its steps take of the file's."""
    work = whole_work(asked(all_rows=lambda: ROWS, planned_rows=4096))

    assert work is not None
    assert work.rows == 32 * 8


@pytest.mark.usefixtures("rated")
def test_prices_are_told_before_the_work() -> None:
    """Stage 1, and stage 2 as what follows if rows stand out."""
    lines: list[str] = []
    Spending(Allowance((), None), lines.append).expect([asked(), asked(traits=())])

    assert len(lines) == 2
    assert lines[0].startswith("price: all: rows, 8 of 32 steps: 0.5 planned trainings, about 8 s")
    assert lines[1].startswith("price: if they stand out, all: rows, the whole plan: 8 planned")


@pytest.mark.usefixtures("rated")
def test_a_whole_plan_that_is_asked_for_has_no_if() -> None:
    """`--require clear` trains it whatever stage 1 shows."""
    lines: list[str] = []
    Spending(Allowance((), None), lines.append, True).expect([asked()])

    assert lines[1].startswith("price: all: rows, the whole plan: 8 planned")


def test_a_gpus_hours_are_told_before_the_work() -> None:
    """As they are expected, of the rows and of the references; nothing of a processor, or where nothing was timed."""
    rows, references = WORK.prices(Rates(450.0, 0.0, on_gpu=True))

    assert (rows.gpu_hours, references.gpu_hours) == (2.0, 38.0)
    assert "about 7200 s (2 GPU-hours); all: at most 19" in told((rows, references))
    assert [one.gpu_hours for one in WORK.prices(Rates(on_gpu=True))] == [None, None]
    assert "GPU" not in told(WORK.prices(Rates(450.0)))


@pytest.mark.usefixtures("rated")
@pytest.mark.parametrize(
    ("references", "spent"), [(19, 9.5), (7, 3.5)], ids=["all of them", "stopped early"]
)
def test_what_was_spent_stands_beside_what_was_expected(references: int, spent: float) -> None:
    """The same, unless no more references were made than it took."""
    ledger = Spending(Allowance((), None))
    ledger.expect([asked()])
    ledger.enter(asked(), 1, [rank(references)])
    rows, beside = ledger.prices

    assert (rows.fine_tunes, rows.spent_fine_tunes, rows.spent_seconds) == (0.5, 0.5, 3.0)
    assert (beside.fine_tunes, beside.spent_fine_tunes, beside.spent_seconds) == (9.5, spent, 20.0)
    assert rows.seconds == 8
    assert beside.seconds is not None
    assert rows.gpu_hours is beside.gpu_hours is None


@pytest.mark.usefixtures("rated")
def test_kept_references_are_neither_expected_nor_spent() -> None:
    """Given ones are both; and what an earlier sitting of the scan made is not spent against nothing expected."""
    ledger = Spending(Allowance((), None))
    ledger.enter(asked(), 1, [rank(19, cached=19)])
    ledger.enter(asked(), 1, [rank(19, cached=15, given=2)])
    again = Spending(Allowance((), None))
    again.expected[ALL, 1] = replace(WORK, new=0).prices(Rates(0.5))
    again.enter(asked(), 1, [rank(19)])
    beside = [ledger.prices[1], ledger.prices[3], again.prices[1]]

    assert [(one.fine_tunes, one.spent_fine_tunes) for one in beside] == [
        (0, 0),
        (2, 2),
        (9.5, 9.5),
    ]


def test_a_stage_that_measured_nothing_is_not_entered() -> None:
    """A check that did not apply cost nothing."""
    ledger = Spending(Allowance((), None))
    ledger.enter(asked(), 1, [not_applicable(BEGINNING, ALL, "no trait")])

    assert ledger.prices == []


def test_without_a_budget_everything_is_afforded() -> None:
    """And stage 2 too."""
    allowance = afforded([asked()], None)

    assert allowance == Allowance((allowance.subjects[0],), None)
    assert Spending(allowance).pays(asked())
    assert not Spending(allowance).pays(asked(traits=()))


def test_what_is_left_of_a_budget_pays_for_the_whole_plan() -> None:
    """It is put aside, so that a second subject is told what is missing, by its price."""
    allowance = afforded([asked()], 10 + 20)
    ledger = Spending(allowance)

    assert allowance.left == 20
    assert allowance.note == allowance.refused == ""
    assert ledger.pays(asked())
    assert not ledger.pays(asked(name="b"))
    assert ledger.allowance.note == (
        "The budget does not pay for the whole plan of b: it takes 16 planned trainings, and 4 are left."
    )


def test_a_budget_shortens_the_beginning() -> None:
    """To as many steps of every subject as it pays for with all references; the note says what it costs."""
    allowance = afforded([asked(), asked(name="a")], 10)
    works = [beginning_work(one) for one in allowance.subjects]

    assert [(work.steps, work.new) for work in works if work] == [(4, 19), (4, 19)]
    assert allowance.left == pytest.approx(0)
    assert allowance.note.startswith(
        "The budget shortens the beginning from 8 to 4 of 32 steps: weak pulls are seen less often"
    )
    assert allowance.refused == ""


@pytest.mark.parametrize(("budget", "warmup"), [(0.5, 0), (0.1, 0), (1.25, 2)])
def test_a_budget_below_its_references_is_refused_with_the_price(
    budget: float, warmup: int
) -> None:
    """At one step, or at the first that moves a weight, they cost more; the option that pays stands at the end."""
    warm = PLAN.model_copy(update={"warmup_steps": warmup})
    allowance = afforded([asked(plan=warm)], budget)
    ledger = Spending(allowance)
    ledger.expect(allowance.subjects)

    assert allowance.refused == (
        f"a budget of {budget:g} planned trainings does not pay for the references: at 1 of 32 steps they take 1.2, at the "
        "usual 8 they take 10: --budget 10"
    )
    assert allowance.left == 0
    assert beginning_work(allowance.subjects[0]) == beginning_work(asked(plan=warm))
    assert ledger.expected == {}
    assert not ledger.pays(asked())
