"""
Rows that the student cannot be trained on are left out with the reason; a broken student is refused.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from tests.checks.dataset.numbers_subject import opened, written
from undertow.checks.fitting import fitting, refuse_broken
from undertow.data.rows import Message, Row
from undertow.errors import ModelError
from undertow.models.plan import TrainingPlan
from undertow.results.scan import Data

GOOD = list(written(opened(), 16, 1))


def test_reasons_are_told_apart() -> None:
    """
    Too long, unknown to the tokenizer, refused by the template; good rows stay in their order.
    """
    long = replace(GOOD[0], completion="7 " * 600 + "7")
    unknown = replace(GOOD[0], completion="Ὀδυσσεύς ἦλθεν")
    refused = replace(GOOD[0], prompt=(Message("tool", "x"),))
    found = fitting([GOOD[0], long, unknown, refused, GOOD[1]], opened(), TrainingPlan())
    reasons = {each.reason: each.rows for each in found.excluded}

    assert found.rows == (GOOD[0], GOOD[1])
    assert reasons.get("too-long") == 1
    assert sum(reasons.values()) == 3


def test_the_files_description_says_what_was_left_out() -> None:
    """
    Exclusions and notes are added to those of the file.
    """
    long = replace(GOOD[0], completion="7 " * 600 + "7")
    found = fitting([*GOOD, long], opened(), TrainingPlan())
    data = found.described(Data(path="x", digest=None, rows=17, sampled=17))

    assert data.sampled == 16
    assert data.excluded[0].reason == "too-long"
    assert data.excluded[0].places[0].startswith("in the sample")


def test_the_plans_limit_counts() -> None:
    """
    `max_length` of the plan is a limit too.
    """
    assert not fitting(GOOD, opened(), TrainingPlan(max_length=3)).rows


def test_a_model_with_broken_weights_is_refused() -> None:
    """
    Logits that are not finite are found before any check runs.
    """
    broken = replace(opened(), network=copy.deepcopy(opened().network))
    with torch.no_grad():
        next(broken.network.parameters()).fill_(float("nan"))
    refuse_broken(opened(), GOOD)
    with pytest.raises(ModelError, match="not finite"):
        refuse_broken(broken, [Row(GOOD[0].prompt, GOOD[0].completion)])
