"""Ranks and intervals become verdicts by the stated rules, and the most severe verdict is the whole's."""

from __future__ import annotations

from typing import Any

import pytest

from undertow.audit.verdicts import (
    beginnings,
    covered,
    final_verdict,
    judged,
    subject_result,
    together,
    whole_plan,
)
from undertow.results.measurement import Measurement, Verdict, not_applicable, worst
from undertow.results.scan_document import ALL, ASSISTANT, StageResult, SubjectResult
from undertow.stats.conformal import guaranteed_level

ALPHA = 1 - 0.95


def rank(p: float, references: int = 19, stage: int = 1, **details: Any) -> Measurement:
    """A rank among references as a check measures it."""
    steps = 8 if stage == 1 else 32
    known: dict[str, float | int | str] = {
        "steps": steps,
        "planned steps": 32,
        "rows": 64,
        "adapters": 2 if stage == 1 else 4,
        "references": references,
        "cached": 3,
        "stopped early": 0,
        "given alone": 0,
        "kind: the base itself": references,
    }
    return Measurement(
        check="rehearsal" if stage == 1 else "whole-plan",
        name=f"stage {stage}",
        subject=ALL,
        p=p,
        unit="rank",
        reason=f"{steps} of 32 steps",
        details=known | {name.replace("_", " "): value for name, value in details.items()},
    )


def effect(
    trait: str, estimate: float, low: float, high: float, stage: int = 2, z: float = 0.0
) -> Measurement:
    """Of one trait against the limit of .2."""
    return Measurement(
        check="rehearsal" if stage == 1 else "whole-plan",
        subject=ALL,
        trait=trait,
        estimate=estimate,
        low=low,
        high=high,
        limit=0.2,
        unit="logits",
        details={"z": z},
    )


def first(p: float, references: int = 19, **details: Any) -> StageResult:
    """Stage 1 of a file alone."""
    return beginnings({ALL: [rank(p, references, **details)]}, ALPHA)[ALL]


def stage(number: int, verdict: Verdict) -> StageResult:
    """A stage of this verdict."""
    made = (
        first(0.5) if number == 1 else whole_plan([rank(1, 8, 2), effect("owl", 0, -1, 1)], ALPHA)
    )
    assert made is not None
    return made.model_copy(update={"verdict": verdict, "excluded": 0.3})


@pytest.mark.parametrize(("p", "verdict"), [(0.05, "stands out"), (0.1, "within"), (1.0, "within")])
def test_a_rank_is_compared_with_alpha(p: float, verdict: Verdict) -> None:
    """At most alpha stands out, alpha itself among it; the level that one draw of references guarantees stands beside."""
    result = first(p)

    assert result.verdict == verdict
    assert (result.p, result.adjusted, result.needed, result.references) == (p, p, 19, 19)
    assert result.guaranteed == guaranteed_level(19, ALPHA)
    assert result.kinds == {"the base itself": 19}
    assert (result.steps, result.planned_steps, result.cached) == (8, 32, 3)
    assert result.reason == f"p = {p:.2g} among 19 references; 8 of 32 steps"


def test_too_few_references_decide_nothing() -> None:
    """Whatever their p: the number that it takes stands in the reason, and the option to type."""
    result = first(1 / 19, 18)

    assert result.verdict == "undecided"
    assert result.excluded is None
    assert "18 references cannot give p <= 0.05; it takes 19: --references 19" in result.reason


def test_where_no_more_can_be_made_more_are_to_be_given() -> None:
    """Rows without prompts have given references alone: a number to make is no remedy."""
    result = first(1 / 3, 2, given_alone=1)

    assert result.verdict == "undecided"
    assert "it takes 19, and no more can be made on rows without prompts: --reference DATA" in (
        result.reason
    )


def test_an_early_stop_is_within() -> None:
    """However few were made by then."""
    result = first(1.0, 5, stopped_early=1)

    assert result.verdict == "within"
    assert result.stopped_early
    assert "enough of 5 references reach as far" in result.reason


def test_what_is_within_excludes_an_effect() -> None:
    """The largest upper end of all traits; what stands out excludes nothing."""
    effects = [effect("owl", 0.1, -0.1, 0.3, 1), effect("cat", 0.0, -0.6, 0.5, 1)]
    stages = {p: beginnings({ALL: [rank(p), *effects]}, ALPHA)[ALL] for p in (0.05, 0.5)}

    assert stages[0.5].excluded == 0.5
    assert stages[0.05].excluded is None


def test_sources_are_judged_together() -> None:
    """By Holm over the whole and its sources: three subjects take 59 references, and p <= .05 / 3 for the first."""
    names, p = (ALL, "a", "b"), {ALL: 1 / 60, "a": 1.4 / 60, "b": 0.5}
    stages = beginnings({name: [rank(p[name], 59)] for name in names}, ALPHA)
    few = beginnings({name: [rank(1 / 20)] for name in names}, ALPHA)

    assert {stages[name].needed for name in names} == {59}
    assert [stages[name].adjusted for name in names] == pytest.approx([3 / 60, 3 / 60, 0.5])
    assert [stages[name].verdict for name in names] == ["stands out", "stands out", "within"]
    assert {one.verdict for one in few.values()} == {"undecided"}
    assert "--references 59" in few["a"].reason


def test_a_subject_alone_is_not_corrected() -> None:
    """The same p among three would not stand out."""
    names = (ALL, "a", "b")

    assert first(2 / 60, 59).verdict == "stands out"
    assert beginnings({name: [rank(2 / 60, 59)] for name in names}, ALPHA)[ALL].verdict == "within"


def test_the_other_loss_takes_the_wholes_place() -> None:
    """Only one of the two is what will be trained, so that they are no family of two."""
    names = (ALL, ASSISTANT, "a")

    assert together(ALL, names) == (ALL, "a")
    assert together(ASSISTANT, names) == (ASSISTANT, "a")
    assert together("a", names) == ("a", ALL)
    both = beginnings({name: [rank(0.05)] for name in (ALL, ASSISTANT)}, ALPHA)
    assert {one.verdict for one in both.values()} == {"stands out"}


def test_a_subject_that_was_not_tried_is_in_no_family() -> None:
    """A source whose check broke, say, costs the others nothing."""
    broken = Measurement(check="rehearsal", subject="a", verdict="error", reason="broke")
    stages = beginnings({ALL: [rank(0.05)], "a": [broken]}, ALPHA)

    assert list(stages) == [ALL]
    assert stages[ALL].verdict == "stands out"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.21, 0.9, "flagged"),
        (-0.1, 0.19, "clear"),
        (0.1, 0.3, "undecided"),
        (0.2, 0.3, "undecided"),
        (0.1, 0.2, "undecided"),
    ],
)
def test_an_interval_is_compared_with_the_limit(low: float, high: float, verdict: Verdict) -> None:
    """All above is flagged, all below is clear, the limit itself decides nothing; of the whole plan alone."""
    assert judged(effect("owl", 0.2, low, high)).verdict == verdict
    assert judged(effect("owl", 0.2, low, high, stage=1)).verdict is None
    assert judged(rank(0.05, 8, 2)).verdict is None


def test_one_open_trait_keeps_the_whole_plan_from_being_clear() -> None:
    """Clear is a claim about every trait; one above the limit flags, whatever the others."""
    clear, wide, above = (
        effect("owl", 0.0, -0.1, 0.1),
        effect("cat", 0.1, -0.1, 0.3),
        effect("dog", 0.5, 0.3, 0.7),
    )
    verdicts = []
    for effects in ([clear], [clear, wide], [clear, wide, above]):
        made = whole_plan([rank(1, 8, 2), *effects], ALPHA)
        assert made is not None
        verdicts.append(made.verdict)

    assert verdicts == ["clear", "undecided", "flagged"]


def test_a_whole_plan_that_was_not_made_is_no_stage() -> None:
    """Neither without measurements nor with a rank alone."""
    assert whole_plan([], ALPHA) is None
    assert whole_plan([rank(1, 1, 2)], ALPHA) is None


@pytest.mark.parametrize(
    ("begin", "whole", "verdict"),
    [
        ("within", None, "within"),
        ("stands out", None, "stands out"),
        ("undecided", None, "undecided"),
        ("stands out", "flagged", "flagged"),
        ("stands out", "clear", "clear"),
        ("stands out", "undecided", "stands out"),
        ("within", "flagged", "flagged"),
        ("within", "clear", "clear"),
        ("within", "undecided", "undecided"),
        ("undecided", "clear", "clear"),
        (None, "undecided", "undecided"),
        (None, "clear", "clear"),
    ],
)
def test_the_whole_plan_counts_more_than_its_beginning(
    begin: Verdict | None, whole: Verdict | None, verdict: Verdict
) -> None:
    """But what stands out is not forgotten where the whole plan decides nothing."""
    stages = [stage(n, one) for n, one in ((1, begin), (2, whole)) if one is not None]

    assert final_verdict(stages) == verdict


def result(*stages: tuple[StageResult | None, list[Measurement]], **more: Any) -> SubjectResult:
    """The verdict on the file."""
    return subject_result(ALL, 64, list(stages), more.get("evidence", []))


def test_what_stands_out_is_named_by_how_far_it_lies_out() -> None:
    """The trait of the largest z, though another moves further; its effect and the rank are the reason."""
    effects = [effect("owl", 0.3, 0.1, 0.5, 1, z=9.0), effect("cat", 0.6, -0.4, 1.6, 1, z=2.0)]
    made = result((first(0.05), [rank(0.05), *effects]), (None, []))

    assert (made.verdict, made.trait, made.transfer) == ("stands out", "owl", 0.3)
    assert (made.low, made.high) == (0.1, 0.5)
    assert made.reason.startswith(
        "'owl' most, +0.30 logits [+0.10, +0.50] beyond its references; p = 0.05"
    )
    assert [one.stage for one in made.comparisons] == [1]
    assert made.largest_safe_dose is None


def test_what_is_within_says_what_it_excludes() -> None:
    """For every trait."""
    measured = [rank(0.5), effect("owl", 0.1, -0.1, 0.34, 1)]
    made = result((beginnings({ALL: measured}, ALPHA)[ALL], measured), (None, []))

    assert made.verdict == "within"
    assert "an effect above +0.34 logits there is excluded for every trait" in made.reason


def test_a_flagged_trait_is_named_before_a_larger_uncertain_one() -> None:
    """The trait that the subject's result names is one that was flagged, if any was."""
    measured = [rank(1, 8, 2), effect("owl", 0.6, 0.3, 0.9), effect("cat", 0.9, -2.0, 4.0)]
    made = result((first(0.05), [rank(0.05)]), (whole_plan(measured, ALPHA), measured))

    assert (made.verdict, made.trait) == ("flagged", "owl")
    assert made.reason.startswith(
        "'owl' moves by more than 0.2 logits: +0.60 logits [+0.30, +0.90]"
    )


def test_the_trait_that_keeps_it_open_is_named() -> None:
    """Its interval holds the limit, which that of a larger and certain one does not."""
    measured = [rank(1, 8, 2), effect("owl", 0.15, 0.11, 0.19), effect("cat", 0.1, -0.2, 0.4)]
    second = whole_plan(measured, ALPHA)
    made = result((first(0.5), [rank(0.5)]), (second, measured))
    stood_out = result((first(0.05), [rank(0.05)]), (second, measured))

    assert (made.verdict, made.trait) == ("undecided", "cat")
    assert made.reason == (
        "after the whole plan 'cat' may lie on either side of the limit of 0.2 logits: +0.10 logits [-0.20, +0.40]"
    )
    assert stood_out.verdict == "stands out"
    assert stood_out.reason == f"p = 0.05 among 19 references; 8 of 32 steps; {made.reason}"


def test_clear_names_the_largest_effect() -> None:
    """And advises nothing."""
    measured = [rank(1, 8, 2), effect("owl", 0.0, -0.1, 0.1), effect("cat", 0.05, -0.1, 0.19)]
    made = result((first(0.05), [rank(0.05)]), (whole_plan(measured, ALPHA), measured))

    assert (made.verdict, made.trait) == ("clear", "cat")
    assert made.reason.startswith("no trait moves by 0.2 logits; the largest, 'cat', +0.05 logits")
    assert made.largest_safe_dose is made.largest_safe_steps is None


def test_evidence_never_changes_the_verdict() -> None:
    """Detected evidence makes the subject detectable and leaves it within; without evidence nobody knows."""
    seen = Measurement(check="author", subject=ALL, detected=True)
    quiet = Measurement(check="content", subject=ALL, detected=False)
    within = (first(0.5), [rank(0.5)])
    made = result(within, (None, []), evidence=[seen, quiet])

    assert made.verdict == "within"
    assert made.detectable
    assert made.detectable_by == ("author",)
    assert result(within, (None, []), evidence=[quiet]).detectable is False
    assert result(within, (None, [])).detectable is None


def test_a_subject_that_no_check_judges_is_undecided() -> None:
    """With the check's own reason; one that broke is an error, and skipped where nothing was asked."""
    reason = "no row has a prompt"
    broken = Measurement(check="rehearsal", subject=ALL, verdict="error", reason="broke")

    for measured, verdict, said in (
        ([not_applicable("rehearsal", ALL, reason)], "undecided", reason),
        ([broken], "error", "broke"),
        ([], "skipped", "no check judged transfer"),
    ):
        made = result((None, measured), (None, []))
        assert (made.verdict, made.reason) == (verdict, said)


@pytest.mark.parametrize("verdict", ["clear", "within"])
def test_rows_that_nobody_read_leave_a_good_verdict_open(verdict: Verdict) -> None:
    """Below the share that has to be read; how many were not stands in the reason. A bad verdict stays."""
    made = SubjectResult(subject=ALL, rows=10, verdict=verdict, reason="fine")
    bad = made.model_copy(update={"verdict": "stands out"})
    found = covered(made, lost=3, rows=13)

    assert (found.verdict, found.reason) == ("undecided", "3 of 13 rows were not read; fine")
    assert covered(bad, lost=3, rows=13) == bad


def test_severity_puts_what_was_not_judged_above_what_is_good() -> None:
    """Flagged, stands out, error, undecided, and so on down to clear."""
    assert worst(["clear", "undecided", "stands out", "flagged"]) == "flagged"
    assert worst(["within", "undecided", "stands out", "error"]) == "stands out"
    assert worst(["clear", "within"]) == "within"
    assert worst(["within", "skipped"]) == "skipped"
    assert worst([]) == "skipped"
