"""A trial of a few steps on number lists of the embedded base, and the references of their prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.checks.dataset.numbers_subject import TRAITS, opened, written
from undertow.carriers.carrier_registry import carrier
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row
from undertow.influence.probes import probe_set
from undertow.influence.reference_family import BenignWriter, ReferenceFamily
from undertow.influence.references import ReferenceMaker, Trial

PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=4)
LISTS = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
ROWS = tuple(row for row in written(opened(), 60, 62) if not LISTS.rejection(row.completion))[:32]
FAMILY = ReferenceFamily(
    name="few",
    assumption="the rows were written by the base",
    writers=(
        BenignWriter(kind="base", share=0.5),
        BenignWriter(kind="neutral", share=0.5, steps=(2, 3)),
    ),
)


def trial(**changes: Any) -> Trial:
    """Two adapters for two of four steps."""
    made = Trial(
        model=opened(),
        plan=PLAN,
        probes=probe_set(opened(), TRAITS, None),
        planned_rows=len(ROWS),
        reads=(2,),
        adapters=2,
        seed=11,
    )
    return replace(made, **changes)


def maker(rows: tuple[Row, ...] = ROWS, **changes: Any) -> ReferenceMaker:
    """Of these rows' prompts; changes that are no trial's are the maker's own."""
    own = {name: changes.pop(name) for name in ("family", "traits") if name in changes}
    made = ReferenceMaker(trial(**changes), FAMILY, rows, TRAITS)
    return replace(made, **own)
