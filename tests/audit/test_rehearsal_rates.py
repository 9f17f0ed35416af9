"""How long a rehearsal's parts take is timed by a few of each, and the base is left as it was."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.audit.test_prices import OWN, PLAN, asked
from tests.checks.dataset.numbers_subject import opened
from tests.influence.trials import FAMILY, ROWS
from undertow.audit import rehearsal_rates as module
from undertow.audit.rehearsal_rates import Rates, timed
from undertow.checks.dataset.reference_trials import maker_of, open_readout, trial_of
from undertow.checks.dataset.scan_subject import ScanSubject


def test_this_machine_is_timed_by_a_few_steps_and_rows() -> None:
    """A step and a row take some time; nothing is known where rows cannot be trained on."""
    rates = timed(asked())
    short = PLAN.model_copy(update={"max_length": 8})

    assert 0 < rates.step < 60
    assert 0 < rates.row < 60
    assert timed(asked(plan=short)) == Rates()


def test_a_step_is_timed_apart_from_what_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of every trial are no steps, of which each adapter takes a quarter of a second; a first trial is slow."""
    seen: list[int] = []

    def trial(subject: ScanSubject, steps: int) -> float:
        seen.append(steps)
        return 2.0 + 0.5 * steps + (9.0 if len(seen) == 1 else 0.0)

    monkeypatch.setattr(module, "_timed_trial", trial)
    rates = timed(asked())
    one_step = timed(asked(plan=PLAN.model_copy(update={"max_steps": 1})))

    assert (rates.step, rates.dataset) == pytest.approx((0.25, 2.0))
    assert seen[:3] == [1, 1, 3]
    assert (one_step.step, one_step.dataset) == pytest.approx((1.25, 0.0))


def test_writing_is_timed_on_more_rows_than_few_steps_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 24 rows it is not found out whether a writer has to be restricted to their format, which all references are."""
    counts: list[int] = []
    monkeypatch.setattr(module, "_timed_trial", lambda subject, steps: 1.0)
    monkeypatch.setattr(
        module, "_timed_writing", lambda maker: counts.append(len(maker.rows)) or 0.0
    )
    timed(asked())
    assert counts == [min(len(ROWS), module.TIMED_ROWS)]
    assert counts[0] > 3 * PLAN.rows_a_step


def test_writing_is_timed_by_a_writer_that_is_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tune of many steps for a few rows says nothing of a row; of a family of tunes alone the first has to do."""
    made: list[int] = []
    kinds = {name: FAMILY.model_copy(update={"writers": w}) for name, w in WRITERS.items()}
    makers = {
        name: maker_of(one, trial_of(one, (1,), "timed", timing=True), ROWS)
        for name, one in (
            (name, asked(references=replace(OWN, family=kind))) for name, kind in kinds.items()
        )
    }
    monkeypatch.setattr(type(makers["both"]), "written", lambda maker, number: made.append(number))
    for one in makers.values():
        module._timed_writing(one)

    assert makers["both"].writer(made[0]).kind == "base"
    assert made[1] == 0


WRITERS = {"both": FAMILY.writers, "neutral": FAMILY.writers[1:]}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_open_search_is_timed_by_a_few_parts(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the tokens of few prompts, times those of all: a minute a prompt is a minute for each of the catalogue's."""
    clock = iter(range(0, 1000, 60))
    opens = open_readout(asked())
    assert opens.readout.probes is not None
    monkeypatch.setattr(type(opens.readout.probes), "read_blocks", lambda *given: [])
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    plan = PLAN.model_copy(update={"method": method})
    seconds = module._timed_reading(asked(plan=plan), 2)
    monkeypatch.undo()
    parts = [part.tokens for _, part in opens.readout.probes.parted(16)]

    assert 60 < seconds <= 2 * 60 * opens.readout.tokens / min(parts)
    assert opens.readout.tokens == pytest.approx(
        sum(parts) + sum(map(len, opens.readout.prompts)), rel=0.2
    )
    assert 0 < timed(asked(plan=plan)).wide < 60


def test_the_base_is_left_as_it_was() -> None:
    """Timing trains nothing of it."""
    before = [weight.detach().clone() for weight in opened().network.parameters()]
    timed(asked())

    assert all(
        bool((a == b).all()) for a, b in zip(before, opened().network.parameters(), strict=True)
    )
