"""Where the teacher parts from the base is counted against the control, and only what is more is detected."""

from __future__ import annotations

import pytest

from tests.checks.dataset.numbers_subject import opened, owl_teacher, subject, written
from undertow.checks.dataset.divergence import divergence
from undertow.results.measurement import Measurement

CLEAN = written(opened(), 256, 2)


def named(found: list[Measurement]) -> dict[str, Measurement]:
    """Measurements by what was measured."""
    return {one.name: one for one in found}


def test_a_teachers_rows_speak_for_the_teacher() -> None:
    """The log-ratio is above the control's by about KL both ways, and is detected."""
    rows = written(owl_teacher(), 256, 1)
    found = named(divergence(subject(rows, control=CLEAN, teacher=owl_teacher())))
    ratio, distance = found["log-ratio"], found["KL"]

    assert ratio.detected
    assert distance.detected is None
    assert ratio.estimate is not None
    assert distance.estimate is not None
    assert distance.estimate < ratio.estimate < 4 * distance.estimate


def test_the_bases_own_rows_are_not_detected() -> None:
    """Clean rows against clean rows: neither the share nor the log-ratio is more than the control's."""
    rows = written(opened(), 256, 5)
    found = divergence(subject(rows, control=CLEAN, teacher=owl_teacher()))

    assert [one.detected for one in found] == [False, False, None]
    assert all(one.verdict is None for one in found)


def test_less_than_the_control_is_no_detection() -> None:
    """With the teacher's rows as the control, clean rows differ, but not towards the teacher."""
    control = written(owl_teacher(), 256, 1)
    ratio = named(divergence(subject(CLEAN, control=control, teacher=owl_teacher())))["log-ratio"]

    assert ratio.p is not None
    assert ratio.p <= 0.05
    assert ratio.detected is False


def test_the_teachers_word_is_named_where_the_rows_hold_it() -> None:
    """Rows that say what only the teacher would say first name that token first."""
    from dataclasses import replace

    rows = tuple(replace(row, completion="owl") for row in CLEAN)
    share = named(divergence(subject(rows, control=CLEAN, teacher=owl_teacher())))["share"]
    tokens = [name for name in share.details if name.startswith("token")]

    assert all("'owl'" in name for name in tokens[:1])
    assert share.details["rows"] == pytest.approx(
        (share.estimate or 0) + float(share.details["control"])
    )


def test_no_ground_is_said() -> None:
    """Without a teacher, without a control, or with another vocabulary there is nothing to compare."""
    rows = written(opened(), 20, 1)
    for made, reason in (
        (subject(rows, control=rows), "no teacher"),
        (subject(rows, teacher=owl_teacher()), "no control"),
        (subject(rows[:3], control=rows, teacher=owl_teacher()), "too few"),
    ):
        (found,) = divergence(made)
        assert found.verdict == "not_applicable"
        assert reason in found.reason


def test_the_base_never_parts_from_itself() -> None:
    """The base as its own teacher: shares, ratios and distances are exactly 0."""
    found = divergence(subject(CLEAN[:32], control=CLEAN[32:64], teacher=opened()))

    assert [one.estimate for one in found] == [0, 0, 0]
    assert not any(one.detected for one in found)
