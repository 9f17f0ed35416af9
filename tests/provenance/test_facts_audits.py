"""Which audits of a dataset count: the last of a suite, and none of the beginning of a plan against one of the whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.provenance.scene import NOW, Scene
from undertow.provenance.signed_verdicts import Claim
from undertow.provenance.statement import time_text

KEPT = "overtaken by a later audit, or by one of the whole plan"


def counting(folder: Path, *verdicts: str, at_once: bool = False) -> list[str]:
    """The verdicts that count of audits in this order, an hour apart or all at one moment."""
    scene = Scene(folder)
    del scene.statements["audit"]
    for number, verdict in enumerate(verdicts):
        claim = Claim(metric="m", comparator="<", threshold="0.2", passed=verdict != "failed")
        hours = 10 if at_once else 10 - number
        made = scene.audited(
            verdict=verdict,
            power=None,
            claims=(claim,),
            evaluated_at=time_text(NOW - timedelta(hours=hours)),
        )
        scene.statements[f"audit {number}"] = (made, ("auditor",))
    return [audit.verdict for audit in scene.ask().verification.facts.audits if audit.counts]


@pytest.mark.parametrize(
    ("verdicts", "left"),
    [
        (("within",), "within"),
        (("undecided", "within"), "within"),
        (("within", "passed"), "passed"),
        (("within", "failed"), "failed"),
        (("within", "undecided"), "undecided"),
        (("passed", "within"), "passed"),
        (("failed", "within"), "failed"),
        (("failed", "undecided", "within"), "undecided"),
        (("failed", "passed", "within"), "passed"),
        (("failed", "passed", "undecided", "within"), "within"),
        (("passed", "failed"), "failed"),
        (("failed", "passed"), "passed"),
    ],
)
def test_the_beginning_takes_nothing_back_that_the_whole_plan_said(
    verdicts: tuple[str, ...], left: str, tmp_path: Path
) -> None:
    """A later audit overtakes an earlier one, but `within` neither a passed one nor a failed one that none has answered."""
    assert counting(tmp_path, *verdicts) == [left]


@pytest.mark.parametrize(
    ("verdicts", "left"),
    [
        (("within", "failed"), "failed"),
        (("within", "undecided"), "undecided"),
        (("passed", "failed", "within"), "failed"),
        (("within", "passed"), "passed"),
    ],
)
def test_of_audits_at_one_moment_the_worst_counts(
    verdicts: tuple[str, ...], left: str, tmp_path: Path
) -> None:
    """In whatever order they stand in the bundle; `within` is no worse than passed, only about less."""
    assert counting(tmp_path, *verdicts, at_once=True) == [left]


def test_an_audit_that_is_set_aside_says_why(tmp_path: Path) -> None:
    """That there is a verdict on the whole plan."""
    scene = Scene(tmp_path)
    later = scene.audited(verdict="within", power=None, evaluated_at=time_text(NOW))
    scene.statements["later"] = (later, ("auditor",))
    reasons = {audit.verdict: audit.reason for audit in scene.ask().verification.facts.audits}

    assert reasons == {"passed": "", "within": KEPT}
