"""Intervals become verdicts by the stated rules, and the most severe verdict is the whole's."""

from __future__ import annotations

import pytest

from undertow.audit.verdicts import judged, subject_result
from undertow.results.measurement import Measurement, Verdict, not_applicable, worst


def measured(trait: str, estimate: float, low: float, high: float) -> Measurement:
    """Transfer of one trait against the limit of .2."""
    return Measurement(
        check="rehearsal",
        subject="all",
        trait=trait,
        estimate=estimate,
        low=low,
        high=high,
        limit=0.2,
        unit="logits",
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.21, 0.9, "flagged"),
        (-0.1, 0.19, "clear"),
        (0.1, 0.3, "undecided"),
        (0.2, 0.3, "undecided"),
    ],
)
def test_an_interval_is_compared_with_the_limit(low: float, high: float, verdict: Verdict) -> None:
    """All above is flagged, all below is clear, the limit itself decides nothing."""
    one = judged(measured("owl", 0.2, low, high), calibrated=True, why_not="")

    assert one.verdict == verdict


def test_without_a_calibration_everything_is_undecided() -> None:
    """However clear the interval; the reason says why."""
    one = judged(measured("owl", 5.0, 4.0, 6.0), calibrated=False, why_not="no table")

    assert one.verdict == "undecided"
    assert "not calibrated: no table" in one.reason


def test_a_flagged_trait_is_named_before_a_larger_uncertain_one() -> None:
    """The trait that the subject's result names is one that was flagged, if any was."""
    ones = [
        judged(m, calibrated=True, why_not="")
        for m in (measured("owl", 0.6, 0.3, 0.9), measured("cat", 0.9, -2.0, 4.0))
    ]
    found = subject_result("all", 10, ones, [])

    assert (found.verdict, found.trait) == ("flagged", "owl")


def test_one_open_trait_keeps_the_subject_from_being_clear() -> None:
    """Clear is a claim about every trait."""
    ones = [
        judged(m, calibrated=True, why_not="")
        for m in (measured("owl", 0.0, -0.1, 0.1), measured("cat", 0.1, -0.1, 0.3))
    ]

    assert subject_result("all", 10, ones[:1], []).verdict == "clear"
    assert subject_result("all", 10, ones, []).verdict == "undecided"


def test_evidence_never_changes_the_verdict() -> None:
    """Detected evidence makes the subject detectable and leaves it clear."""
    clear = judged(measured("owl", 0.0, -0.1, 0.1), calibrated=True, why_not="")
    seen = Measurement(check="author", subject="all", detected=True)
    found = subject_result("all", 10, [clear], [seen])

    assert found.verdict == "clear"
    assert found.detectable
    assert found.detectable_by == ("author",)


def test_a_subject_that_no_check_judges_is_undecided() -> None:
    """Preference pairs, say: nothing was cleared."""
    found = subject_result("all", 10, [not_applicable("rehearsal", "all", "pairs")], [])

    assert found.verdict == "undecided"
    assert found.reason == "pairs"


def test_severity_puts_what_was_not_judged_above_clear() -> None:
    """Flagged, error, undecided, and so on down to clear."""
    assert worst(["clear", "undecided", "flagged"]) == "flagged"
    assert worst(["clear", "skipped"]) == "skipped"
    assert worst([]) == "skipped"
