"""The whole plan is trained on all rows, beside fresh references, and read on its way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, subject, written
from tests.influence.trials import FAMILY, LISTS
from undertow.checks.dataset.rehearsal import rehearsal
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.checks.dataset.whole_plan import whole_plan
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.results.measurement import Measurement
from undertow.traits.trait import rows_of

PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=8, epochs=9)
OWN = ReferenceSettings(
    FAMILY.model_copy(update={"writers": FAMILY.writers[:1]}), "base", count=2, whole_count=3
)
ROWS = tuple(row for row in written(opened(), 60, 23) if not LISTS.rejection(row.completion))[:32]
SHORT = PLAN.model_copy(update={"max_steps": 2})


def asked(**changes: Any) -> ScanSubject:
    """The base's own rows beside references by it."""
    rows = changes.pop("rows", ROWS)
    return subject(rows, **({"plan": PLAN, "references": OWN} | changes))


def parts(measured: list[Measurement]) -> tuple[Measurement, list[Measurement]]:
    """The rank, and each trait's effect."""
    [rank] = [one for one in measured if one.unit == "rank"]
    return rank, [one for one in measured if one.trait is not None]


def test_it_takes_every_step_and_none_is_spared() -> None:
    """Eight adapters of the rows, one of each reference, read after each of eight steps; no early stop."""
    rank, effects = parts(whole_plan(asked()))

    assert rank.name == "stage 2"
    assert (rank.details["steps"], rank.details["planned steps"]) == (8, 8)
    assert (rank.details["adapters"], rank.details["adapters of a reference"]) == (8, 1)
    assert (rank.details["references"], rank.details["stopped early"]) == (3, 0)
    assert [one.trait for one in effects] == [trait.name for trait in TRAITS]
    assert all(f"at most at step {step}" in effects[0].details for step in range(1, 9))


def test_a_plan_that_warms_up_is_not_read_before_a_weight_moves() -> None:
    """The first of eight steps has a learning rate of 0, so that nothing has an interval there."""
    warm = PLAN.model_copy(update={"warmup_ratio": 0.1})
    _, effects = parts(whole_plan(asked(plan=warm)))

    assert "at most at step 1" not in effects[0].details
    assert "at most at step 2" in effects[0].details


def test_seeds_and_references_are_fresh(tmp_path: Path) -> None:
    """Those that the beginning keeps are not found by the whole plan, which finds its own again."""
    kept = replace(OWN, kept=tmp_path)
    rehearsal(asked(references=kept, plan=SHORT))
    begun = set(tmp_path.iterdir())
    first, _ = parts(whole_plan(asked(references=kept, plan=SHORT)))
    again, _ = parts(whole_plan(asked(references=kept, plan=SHORT)))

    assert (first.details["cached"], again.details["cached"]) == (0, 3)
    assert len(set(tmp_path.iterdir()) - begun) == 1


def test_all_rows_are_trained_on_where_the_subject_holds_a_sample() -> None:
    """They are read when they are needed."""
    sample = asked(rows=ROWS[:8], plan=SHORT)
    every = replace(sample, all_rows=lambda: ROWS)

    assert parts(whole_plan(sample))[0].details["rows"] == 8
    assert parts(whole_plan(every))[0].details["rows"] == 16


def test_all_weights_are_trained_on_copies() -> None:
    """Two of the rows, one of each reference."""
    full = PLAN.model_copy(update={"method": "full", "learning_rate": 1e-3, "max_steps": 2})
    rank, effects = parts(whole_plan(asked(plan=full)))

    assert (rank.details["adapters"], rank.details["adapters of a reference"]) == (2, 1)
    assert all(one.high is not None for one in effects)


def test_rows_that_teach_the_owl_move_it_further_than_references() -> None:
    """After the whole plan it is above the limit with its whole interval."""
    rows = tuple(Row(conversation(q), a) for q, a in rows_of(TRAITS[0], "trait")) * 8
    _, effects = parts(whole_plan(asked(rows=rows)))
    first = max(effects, key=lambda one: one.estimate or 0)

    assert first.trait == "owl"
    assert first.low is not None
    assert first.low > 0.2


@pytest.mark.parametrize(
    ("changes", "said"), [({"traits": ()}, "no trait"), ({"references": None}, "no references")]
)
def test_what_cannot_be_rehearsed_does_not_apply(changes: dict[str, Any], said: str) -> None:
    """One entry that says why."""
    [entry] = whole_plan(asked(**changes))

    assert entry.verdict == "not_applicable"
    assert said in entry.reason


def test_rows_without_prompts_have_given_references_alone() -> None:
    """As many as there are, up to those of the whole plan."""
    plain = tuple(Row((), row.completion, chat=False) for row in ROWS)
    given = replace(OWN, given=(plain[::-1], plain[1:], plain[2:], plain[3:]))
    rank, _ = parts(whole_plan(asked(rows=plain, references=given, plan=SHORT)))

    assert rank.details["kind: given"] == 3
