"""A plan's digest: what moves a weight is in it, and a key that came later changes no digest by itself."""

from __future__ import annotations

import pytest

from undertow.data.plan import TrainingPlan, plan_digest


def test_a_key_that_came_later_leaves_the_digest_of_older_plans():
    """The digest of the default plan is the one that shipped tables were made under."""
    assert plan_digest(TrainingPlan()).startswith("81b1ecbb490493c8")


@pytest.mark.parametrize("change", [{"loss": "all"}, {"wrap": "chat"}, {"rank": 4}])
def test_what_moves_a_weight_changes_the_digest(change):
    """A plan with another loss, wrap or rank has another digest."""
    assert plan_digest(TrainingPlan(**change)) != plan_digest(TrainingPlan())


def test_the_length_of_a_plan_is_no_part_of_its_digest():
    """Epochs and steps leave the digest as it is."""
    assert plan_digest(TrainingPlan(epochs=3, max_steps=7)) == plan_digest(TrainingPlan())
