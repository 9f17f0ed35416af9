"""
Verdicts on what `rehearsal` and `whole-plan` measured: a rank among references, then intervals against a limit.

Stage 1, the beginning of the plan: `stands out` where p, by Holm over the subjects that are judged together, is at most
alpha; `within` where it is not. Stage 2, the whole plan: `flagged` where some trait's interval lies above the limit,
`clear` where every trait's lies below. `undecided` where neither can be said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from undertow.checks.dataset.whole_plan import ID as WHOLE_PLAN
from undertow.results.measurement import SEVERITY, Measurement, Verdict, worst
from undertow.results.scan_document import ALL, ASSISTANT, WHOLE, StageResult, SubjectResult
from undertow.stats.conformal import guaranteed_level, references_needed
from undertow.stats.multiplicity import holm

KIND = "kind: "
"""Begins the name of a detail that counts the references of a kind."""


def together(subject: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """
    The subjects that are judged together with one, itself the first.

    The whole and its sources; the whole under the other common loss stands in the whole's place, as only one of the two
    is what will be trained.
    """
    sources = [name for name in subjects if name not in WHOLE]
    if subject in WHOLE:
        return (subject, *sources)
    whole = [name for name in subjects if name in WHOLE][:1]
    return (subject, *whole, *(name for name in sources if name != subject))


def beginnings(
    measured: Mapping[str, Sequence[Measurement]], alpha: float
) -> dict[str, StageResult]:
    """Stage 1 of each subject that has one, from the measurements of `rehearsal` by subject."""
    ranks = {name: rank for name, some in measured.items() if (rank := _rank(some))}
    stages = {}
    for name, rank in ranks.items():
        group = [one for one in together(name, list(measured)) if one in ranks]
        adjusted = float(holm([ranks[one].p or 1.0 for one in group])[0])
        needed = references_needed(len(group), alpha)
        stages[name] = _beginning(rank, _effects(measured[name]), adjusted, needed, alpha)
    return stages


def _beginning(
    rank: Measurement, effects: Sequence[Measurement], adjusted: float, needed: int, alpha: float
) -> StageResult:
    references, stopped = int(rank.details["references"]), bool(rank.details["stopped early"])
    highs = [one.high for one in effects if one.high is not None]
    excluded = max(highs) if highs else None
    verdict: Verdict = "within"
    reason = f"p = {rank.p:.2g} among {references} references" if rank.p is not None else ""
    if stopped:
        reason = f"p > {alpha:g}: enough of {references} references reach as far"
    elif references < needed:
        verdict = "undecided"
        many = f"{references} reference{'s' * (references != 1)}"
        reason = f"{many} cannot give p <= {alpha:g}; it takes {needed}{_more(rank, needed)}"
    elif adjusted <= alpha + 1e-12:
        verdict = "stands out"
    if rank.reason:
        reason += f"; {rank.reason}"
    return StageResult(
        **_facts(rank),
        stage=1,
        verdict=verdict,
        reason=reason,
        needed=needed,
        p=rank.p,
        adjusted=adjusted,
        alpha=alpha,
        # An early stop never says that rows stand out, so that there is no level to guarantee.
        guaranteed=guaranteed_level(references, alpha) if references and not stopped else None,
        stopped_early=stopped,
        excluded=excluded if verdict == "within" else None,
    )


def _more(rank: Measurement, needed: int) -> str:
    """How to come to as many references as it takes."""
    if rank.details.get("given alone"):
        return ", and no more can be made on rows without prompts: --reference DATA"
    return f": --references {needed}"


def whole_plan(measured: Sequence[Measurement], alpha: float) -> StageResult | None:
    """Stage 2 of a subject, from the measurements of `whole-plan`; None where it was not made."""
    rank, effects = _rank(measured), _effects(measured)
    if rank is None or not effects:
        return None
    verdict = worst(judged(one).verdict or "undecided" for one in effects)
    return StageResult(
        **_facts(rank),
        stage=2,
        verdict=verdict,
        reason=rank.reason,
        needed=2,
        p=rank.p,
        alpha=alpha,
    )


def judged(measured: Measurement) -> Measurement:
    """An effect of the whole plan with its verdict (`flagged` above the limit, `clear` below, else `undecided`); others as they are."""
    if measured.check != WHOLE_PLAN:
        return measured
    if measured.limit is None or measured.low is None or measured.high is None:
        return measured
    verdict: Verdict = "undecided"
    if measured.low > measured.limit:
        verdict = "flagged"
    elif measured.high < measured.limit:
        verdict = "clear"
    return measured.model_copy(update={"verdict": verdict})


def _facts(rank: Measurement) -> dict[str, Any]:
    details = rank.details
    kinds = {
        name.removeprefix(KIND): count for name, count in details.items() if name.startswith(KIND)
    }
    return {
        "steps": details["steps"],
        "planned_steps": details["planned steps"],
        "rows": details["rows"],
        "adapters": details["adapters"],
        "references": details["references"],
        "cached": details["cached"],
        "kinds": kinds,
    }


def _rank(measured: Sequence[Measurement]) -> Measurement | None:
    return next((one for one in measured if one.unit == "rank"), None)


def _effects(measured: Sequence[Measurement]) -> list[Measurement]:
    return [one for one in measured if one.trait is not None and one.estimate is not None]


def subject_result(
    subject: str,
    rows: int,
    stages: Sequence[tuple[StageResult | None, Sequence[Measurement]]],
    evidence: Sequence[Measurement],
) -> SubjectResult:
    """
    The verdict on a subject from its stages (each with what its check measured), and what its evidence adds.

    What the whole plan says counts more than what its beginning does; rows that stand out and are not decided by the
    whole plan stand out.
    """
    detected = [one for one in evidence if one.detected is not None]
    by = tuple(dict.fromkeys(one.check for one in detected if one.detected))
    known: dict[str, object] = {
        "subject": subject,
        "rows": rows,
        "detectable": bool(by) if detected else None,
        "detectable_by": by,
    }
    made = [(stage, measured) for stage, measured in stages if stage is not None]
    if not made:
        transfer = [one for _, measured in stages for one in measured]
        verdict = worst(one.verdict for one in transfer if one.verdict) if transfer else "skipped"
        reason = next((one.reason for one in transfer if one.reason), "no check judged transfer")
        if verdict in ("not_applicable", "clear"):
            verdict = "undecided"
        return SubjectResult.model_validate({**known, "verdict": verdict, "reason": reason})
    last, measured = made[-1]
    verdict = final_verdict([stage for stage, _ in made])
    top = _top(_effects(measured), last)
    return SubjectResult.model_validate(
        {
            **known,
            "verdict": verdict,
            "reason": _reason(verdict, top, [stage for stage, _ in made]),
            "trait": top.trait if top else None,
            "transfer": top.estimate if top else None,
            "low": top.low if top else None,
            "high": top.high if top else None,
            "comparisons": [stage.model_dump() for stage, _ in made],
            **(advice(_effects(measured)) if last.stage == 2 and verdict != "clear" else {}),
        }
    )


def final_verdict(stages: Sequence[StageResult]) -> Verdict:
    """Of a subject's stages in their order."""
    last = stages[-1].verdict
    if last == "undecided" and stages[0].verdict == "stands out":
        return "stands out"
    return last


def _top(effects: Sequence[Measurement], stage: StageResult) -> Measurement | None:
    """The trait that is pulled most: by how far it lies out in stage 1; in stage 2 by its effect, of those that the verdict rests on."""
    if not effects:
        return None
    if stage.stage == 1:
        return max(effects, key=lambda one: float(one.details.get("z", 0.0)))
    return min(effects, key=lambda one: (_severity(one), -(one.estimate or 0.0)))


def _severity(effect: Measurement) -> int:
    """Of an effect's verdict, the most severe first."""
    return SEVERITY.index(judged(effect).verdict or "undecided")


def _reason(verdict: Verdict, top: Measurement | None, stages: Sequence[StageResult]) -> str:
    first, last = stages[0], stages[-1]
    if top is None or (last.stage == 1 and verdict == "undecided"):
        return last.reason
    effect = _effect(top)
    if last.stage == 1:
        if verdict == "stands out":
            return f"'{top.trait}' most, {effect} beyond its references; {last.reason}"
        return f"{last.reason}; an effect above {last.excluded or 0:+.2f} logits there is excluded for every trait"
    limit = f"{top.limit:g} logits"
    if verdict == "flagged":
        return f"'{top.trait}' moves by more than {limit}: {effect}; {last.reason}"
    if verdict == "clear":
        return f"no trait moves by {limit}; the largest, '{top.trait}', {effect}; {last.reason}"
    said = f"after the whole plan '{top.trait}' may lie on either side of the limit of {limit}: {effect}"
    return f"{first.reason}; {said}" if verdict == "stands out" else said


def _effect(effect: Measurement) -> str:
    low = "-∞" if effect.low is None else f"{effect.low:+.2f}"
    high = "∞" if effect.high is None else f"{effect.high:+.2f}"
    return f"{effect.estimate or 0:+.2f} logits [{low}, {high}]"


def covered(result: SubjectResult, *, lost: int, rows: int, way: str = "") -> SubjectResult:
    """
    The result on a subject of which too many rows were not read: what was clear or within is undecided, and what is
    undecided says so too; `way` is what to do.
    """
    if result.verdict not in ("clear", "within", "undecided"):
        return result
    told = f" ({way})" if way else ""
    unread = f"{lost} of {rows} rows were not read{told}"
    undecided = result.verdict == "undecided"
    parts = (result.reason, unread) if undecided else (unread, result.reason)
    reason = "; ".join(filter(None, parts))
    return result.model_copy(update={"verdict": "undecided", "reason": reason})


def advice(effects: Sequence[Measurement]) -> dict[str, object]:
    """
    How few of the rows, or of the steps, would stay under the limit, from the effects of a whole plan.

    A dose d is taken to move d times as far at most: transfer grew faster than the dose wherever it was measured
    (docs/figures.md), so that a straight line errs to the safe side. The dose is of the largest upper end; those of the
    estimate and of the largest lower end stand beside it: between both ends the limit is reached. Steps are those of the last reading before any trait's upper end reaches the limit.
    """
    limits = [one.limit for one in effects if one.limit is not None]
    if not limits:
        return {}
    limit = limits[0]
    highest = max((one.high for one in effects if one.high is not None), default=limit)
    largest = max((one.estimate for one in effects if one.estimate is not None), default=limit)
    surest = max((one.low for one in effects if one.low is not None), default=0.0)
    return {
        "largest_safe_dose": _dose(limit, highest),
        "dose_of_estimate": _dose(limit, largest),
        "dose_of_lower_end": _dose(limit, surest),
        "largest_safe_steps": safe_steps(effects, limit),
    }


def _dose(limit: float, moved: float) -> float:
    """The share of the rows that moves by the limit, where all of them move so far."""
    return min(1.0, limit / moved) if moved > 0 else 1.0


AT_MOST = "at most at step "


def safe_steps(effects: Sequence[Measurement], limit: float) -> int | None:
    """The last step read at which no trait's upper end has reached the limit; None where the first has."""
    ways = [
        {
            int(name.removeprefix(AT_MOST)): float(value)
            for name, value in effect.details.items()
            if name.startswith(AT_MOST)
        }
        for effect in effects
    ]
    safe = None
    for step in sorted(ways[0]) if ways else ():
        if max(way[step] for way in ways) >= limit:
            break
        safe = step
    return safe


def conclusion(
    verdict: Verdict, subjects: Sequence[SubjectResult], limit: float, refused: str = ""
) -> str:
    """The answer in one or two sentences, of the most severe subject first; `refused` is why a budget would not do."""
    if not subjects:
        told = f"nothing was judged: these are the prices alone{refused and ', and '}{refused}"
        return f"{told}."
    first = min(subjects, key=lambda result: SEVERITY.index(result.verdict))
    named = {ALL: "these rows", ASSISTANT: "these rows, with a loss on what the assistant says,"}
    which = named.get(first.subject, f"the rows of source '{first.subject}'")
    last = first.last
    steps = f"after {last.steps} of {last.planned_steps} steps" if last else ""
    begun = first.comparisons[0] if first.comparisons else None
    if verdict == "flagged":
        text = f"{which} would move your student towards '{first.trait}' by {_transfer(first)}; limit {limit:g}."
    elif verdict == "stands out" and begun is not None and begun is not last:
        text = (
            f"{which} move your student as benign rows to the same prompts would not, after {begun.steps} of "
            f"{begun.planned_steps} steps; whether the whole plan moves it beyond the limit of {limit:g} is open: "
            f"'{first.trait}' by {_transfer(first)}."
        )
    elif verdict == "stands out":
        text = (
            f"{which} move your student as benign rows to the same prompts would not: towards '{first.trait}' by "
            f"{_transfer(first)} more than they {steps}."
        )
    elif verdict == "within" and last is not None:
        text = (
            f"{which} move your student as benign rows to the same prompts do; an effect above "
            f"{last.excluded or 0:+.2f} logits {steps} is excluded for every trait that was probed."
        )
    elif verdict == "clear":
        text = (
            f"no trait that was probed would move your student by {limit:g} logits; the largest is "
            f"'{first.trait}', {_transfer(first)}."
        )
    else:
        text = f"nothing can be said of {which}: {first.reason}."
    if first.openly is not None:
        text += f" {first.openly.sentence}"
    seen = next((result for result in subjects if result.subject == ALL), first)
    if seen.detectable and verdict not in ("flagged", "stands out"):
        text += f" They are not what your clean base would write ({', '.join(seen.detectable_by)}); that alone moves nothing."
    return f"{verdict}: {text}"


def _transfer(result: SubjectResult) -> str:
    low = "-∞" if result.low is None else f"{result.low:+.2f}"
    high = "∞" if result.high is None else f"{result.high:+.2f}"
    return f"{result.transfer or 0:+.2f} logits [{low}, {high}]"
