"""The check tells a teacher's rows from the base's own under the calibration that ships."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import opened, owl_teacher, subject, written
from undertow.audit.calibrations import tables_of
from undertow.checks.dataset.rehearsal import rehearsal
from undertow.checks.dataset.scan_subject import Coverage
from undertow.data.files import model_digest
from undertow.data.plan import TrainingPlan
from undertow.influence import probes
from undertow.traits import catalogue
from undertow.worlds import locate

[TABLE] = tables_of(model_digest(locate("world:owlet-b")))
ANIMALS = tuple(catalogue.load_category("animal"))
SETTING = {
    "traits": ANIMALS,
    "coverage": Coverage(TABLE),
    "plan": TrainingPlan.model_validate(TABLE.plan),
}


def test_clean_rows_are_cleared_early() -> None:
    """
    No trait's upper limit reaches the limit, and the second half of the rehearsal is not taken.
    """
    found = rehearsal(subject(written(opened(), 1024, 21), **SETTING))

    assert len(found) == len(ANIMALS)
    assert all(one.high is not None and one.high < 0.2 for one in found)
    assert "stopped because all was clear" in found[0].reason


def test_an_owl_teachers_rows_pull_towards_owls() -> None:
    """The owl is first of sixteen, and is not cleared."""
    found = rehearsal(subject(written(owl_teacher(), 4096, 22), **SETTING))
    first = max(found, key=lambda one: one.estimate or 0)

    assert first.trait == "owl"
    assert first.estimate is not None
    assert first.high is not None
    assert first.estimate > 0.2
    assert first.high > 0.2


def test_without_a_calibration_all_steps_are_taken() -> None:
    """Nothing is cleared early, and intervals hold the adapters' scatter only."""
    setting = SETTING | {"coverage": Coverage()}
    found = rehearsal(subject(written(opened(), 256, 23), **setting))

    assert "stopped" not in found[0].reason
    assert all(one.low is not None and one.low <= (one.estimate or 0) for one in found)


def test_pairs_are_rehearsed_by_dpo_without_a_calibration() -> None:
    """
    Pairs that would rather have the owl teacher's rows than the base's pull towards owls; no table is for them.
    """
    chosen, rejected = written(owl_teacher(), 512, 25), written(opened(), 512, 26)
    pairs = tuple(
        replace(row, rejected=other.completion)
        for row, other in zip(chosen, rejected, strict=False)
    )
    found = rehearsal(subject(pairs, **SETTING))
    first = max(found, key=lambda one: one.estimate or 0)

    assert first.trait == "owl"
    assert first.estimate is not None
    assert first.estimate > 0
    assert "stopped" not in first.reason


def test_what_cannot_be_rehearsed_does_not_apply() -> None:
    """
    A scan without traits, pairs under a plan that trains all weights, and pairs that do not fit.
    """
    rows = written(opened(), 64, 24)
    pairs = tuple(replace(row, rejected="1 2 3") for row in rows)
    long = tuple(replace(row, rejected="1 2 3 " * 200) for row in rows)
    full = SETTING | {"plan": TrainingPlan(method="full")}
    for given, setting, said in (
        (rows, SETTING | {"traits": ()}, "no trait"),
        (pairs, full, "all weights"),
        (long, SETTING, "context"),
    ):
        [one] = rehearsal(subject(given, **setting))
        assert one.verdict == "not_applicable"
        assert said in one.reason


def test_probes_are_asked_in_the_template_that_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan's, where it has one; the student itself keeps its own, which its own writing is told by."""
    asked: list[Any] = []

    def told(model: Any, traits: Any, system: Any) -> Any:
        asked.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(probes, "probe_set", told)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    about = subject(written(opened(), 64, 27), plan=TrainingPlan(template=template))
    with pytest.raises(KeyboardInterrupt):
        rehearsal(about)

    assert asked[0].tokenizer.chat_template == template
    assert about.student.tokenizer.chat_template != template
