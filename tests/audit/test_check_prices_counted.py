"""Priced operations beside those that torch counts while the checks themselves run on the embedded base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.checks.dataset.numbers_subject import TRAITS, opened, owl_teacher, subject, written
from tests.influence.trials import FAMILY
from undertow.audit.accelerators import machine_of
from undertow.audit.check_prices import CONTROL, CheckPrice, ScanSize, check_prices
from undertow.audit.dry_run import size_of
from undertow.audit.model_placing import Placing
from undertow.checks.dataset.reference_trials import beginning_steps, trial_of, tried_rows
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.checks.registry import check_named, chosen_checks
from undertow.data.plan import TrainingPlan
from undertow.influence.reference_rows import made_control
from undertow.influence.references import tried
from undertow.models.meta_costs import ModelCosts, RowSize, model_costs

ROWS = 128
PLAN = TrainingPlan(rank=8, batch_size=16, epochs=2)
CLOSE = (0.8, 1.6)
"""Priced over counted: what is padded or shared between rows is not priced."""

EVIDENCE = (
    "likelihood-ratio",
    "author",
    "teacher-coverage",
    "divergence",
    "activations",
    "content",
)


def asked() -> ScanSubject:
    """The base's own rows and control, with a teacher and another base as a candidate."""
    base = opened()
    return subject(
        written(base, ROWS, 5),
        control=written(base, ROWS, 6),
        plan=PLAN,
        planned_rows=ROWS,
        traits=TRAITS,
        teacher=owl_teacher(),
        candidates=(opened("world:owlet-a"),),
        references=ReferenceSettings(family=FAMILY),
    )


def prices() -> dict[str, CheckPrice]:
    """Of a scan of the same, by label."""
    rows = asked()
    size = RowSize(
        round(sum(map(len, rows.encoded)) / ROWS),
        round(sum(row.learnt for row in rows.encoded) / ROWS),
    )

    def of(name: str) -> ModelCosts:
        return model_costs(opened(name).network.config, PLAN, size, torch.float32)

    student, candidate = of("world:owlet-b"), of("world:owlet-a")
    scan: ScanSize = size_of(opened(), PLAN, ROWS, size, TRAITS)
    scan = replace(scan, teacher=student, candidates=(candidate,))
    where = Placing(student, machine_of("H200-141GB"), "whole", False, scan.others)
    return {price.label: price for price in check_prices(scan, where, chosen_checks("dataset", ()))}


@pytest.mark.slow
@pytest.mark.parametrize("check", EVIDENCE)
def test_evidence_takes_the_operations_that_it_is_priced_at(check: str) -> None:
    """Counted as the check runs: the price is within a fifth below and three fifths above."""
    rows = asked()
    with FlopCounterMode(display=False) as counter:
        check_named(check).load()(rows)

    assert CLOSE[0] < prices()[check].operations / counter.get_total_flops() < CLOSE[1]


def test_a_fingerprint_takes_no_model() -> None:
    """Nothing is computed by torch, and nothing is priced but a core's seconds."""
    with FlopCounterMode(display=False) as counter:
        check_named("fingerprint").load()(asked())

    assert counter.get_total_flops() == prices()["fingerprint"].operations == 0


@pytest.mark.slow
def test_a_beginning_takes_the_operations_that_it_is_priced_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two adapters, the readings of probes and of the open search, and the base's own; and a control that is drawn."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path))
    rows, expected = asked(), prices()
    steps = beginning_steps(PLAN, PLAN.steps(ROWS))
    with FlopCounterMode(display=False) as trained:
        trial = trial_of(rows, (steps,), "counted")
        tried(trial, [tried_rows(rows, rows.rows, trial)], [trial.numbers])
        assert len(trial.base_items)
    with FlopCounterMode(display=False) as drawn:
        made_control(opened(), None, rows.rows, policy=PLAN.policy, temperature=1.0, seed=1)

    ratio = expected["rehearsal: rows"].operations / trained.get_total_flops()
    assert CLOSE[0] < ratio < CLOSE[1]
    assert CLOSE[0] < expected[CONTROL].operations / drawn.get_total_flops() < CLOSE[1]
