"""The digits experiment's outcome, and what it says: comparisons, notes and the conclusion."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from undertow.lab.digits_design import DigitsConfig
from undertow.results.run import Comparison, Note
from undertow.stats import detectable_effect, sign_flip, supports

_ENOUGH = 0.9
"""Accuracy below which a teacher has not learnt its digits."""

_QUESTIONS = (
    ("same-init", "foreign-init", "Does the student need its teacher's initialisation?"),
    ("same-init", "reference", "Does training on noise images teach it to read digits?"),
    ("same-init", "untrained-teacher", "Is it what the teacher learnt, not training as such?"),
    ("same-init", "permuted-labels", "Must the teacher have learnt the digits themselves?"),
    ("foreign-init", "foreign-reference", "Does another initialisation learn anything?"),
    ("all-logits", "teacher", "Do all logits on noise images carry all of the teacher?"),
)


@dataclass(frozen=True)
class Outcome:
    """What was measured."""

    accuracy: dict[str, tuple[tuple[float, ...], ...]]
    """Share of held-out digits read, by arm, epoch (the last is final) and replicate."""
    divergence: dict[str, tuple[tuple[float, ...], ...]]
    """KL(teacher || student) on fresh noise in nats, by arm of students, epoch and replicate."""
    training_digits: int

    def final(self, arm: str) -> tuple[float, ...]:
        """Accuracy at the end of training, one a replicate."""
        return self.accuracy[arm][-1]

    def mean(self, arm: str) -> float:
        """Final accuracy, mean over replicates."""
        return float(np.mean(self.final(arm)))

    def apart(self, arm: str, epoch: int) -> float:
        """Divergence from the teacher after an epoch (0 is untrained), mean over replicates."""
        return float(np.mean(self.divergence[arm][epoch]))


def comparisons(outcome: Outcome, level: float, rng: np.random.Generator) -> tuple[Comparison, ...]:
    """Arms paired by replicate; the first is the experiment's claim."""
    return tuple(
        _paired(outcome, treated, control, question, level, rng)
        for treated, control, question in _QUESTIONS
    )


def _paired(
    outcome: Outcome,
    treated: str,
    control: str,
    question: str,
    level: float,
    rng: np.random.Generator,
) -> Comparison:
    """Arms of one replicate share their teacher or initialisation, so replicates are pairs."""
    differences = np.subtract(outcome.final(treated), outcome.final(control))
    result = sign_flip(differences, level=level, rng=rng)
    spread = float(differences.std(ddof=1))
    detectable = detectable_effect(spread, len(differences), rng=rng, level=level)
    low, high = result.interval.low, result.interval.high
    refusal = supports(level, result.smallest_p, n=result.n)
    return Comparison(
        name=f"{treated} - {control}",
        estimate=result.estimate,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        level=level,
        n=result.n,
        p=result.p,
        test=result.test,
        unit="share of held-out digits read",
        smallest_p=result.smallest_p,
        detectable=detectable if math.isfinite(detectable) else None,
        claim=refusal or _claim(result.estimate, result.p, level),
        question=question,
    )


def _claim(estimate: float, p: float, level: float) -> str:
    if p > 1 - level + 1e-12:
        return f"no difference shown at level {level:g}"
    direction = "more" if estimate > 0 else "fewer"
    return f"{direction} digits read, shown at level {level:g}"


def notes(outcome: Outcome, claim: Comparison) -> tuple[Note, ...]:
    """What a reader of the arms should know before drawing conclusions."""
    return tuple(_notes(outcome, claim))


def _notes(outcome: Outcome, claim: Comparison) -> Iterable[Note]:
    if outcome.mean("teacher") < _ENOUGH:
        yield Note(
            id="weak-teacher",
            level="warning",
            subject="teacher",
            message=f"teachers read {outcome.mean('teacher'):.1%} of the held-out digits: a "
            "student that reads none may only have had nothing to learn",
        )
    if (refusal := supports(claim.level, claim.smallest_p or 1.0, n=claim.n)) is not None:
        yield Note(id="too-few-replicates", level="warning", subject=claim.name, message=refusal)
    foreign, after = outcome.apart("foreign-init", 0), outcome.apart("foreign-init", -1)
    yield Note(
        id="foreign-fit",
        level="info",
        subject="foreign-init",
        message=f"training takes foreign-init students from {foreign:.2g} to {after:.2g} nats of "
        "their teacher on fresh noise images: they learn its outputs there, whatever else they do",
    )
    true, permuted = outcome.apart("same-init", 0), outcome.apart("permuted-labels", 0)
    yield Note(
        id="strength-of-permuted-teacher",
        level="info",
        subject="permuted-labels",
        message=f"permuted labels move the auxiliary logits by {permuted:.2g} nats, true ones by "
        f"{true:.2g}: that control differs in strength as well as in what was learnt",
    )
    idle = outcome.apart("untrained-teacher", -1)
    yield Note(
        id="untrained-teacher",
        level="info",
        subject="untrained-teacher",
        message="students of the untrained teacher start where it stands, with no gradient but "
        f"rounding, which Adam enlarges: they end {idle:.2g} nats from it",
    )


def conclusion(outcome: Outcome, config: DigitsConfig, claim: Comparison) -> str:
    """The accuracies of the arms and whether they differ, in words that also fit a null result."""
    same, foreign = outcome.final("same-init"), outcome.final("foreign-init")
    shown = f"({claim.claim}; sign-flip p = {claim.p:.3g}, {claim.n})"
    return (
        f"After training on nothing but the {config.auxiliary} auxiliary logits of noise images, "
        f"students with their teacher's initialisation read {outcome.mean('same-init'):.1%} of "
        f"the held-out digits ({min(same):.1%} to {max(same):.1%}), those with another one "
        f"{outcome.mean('foreign-init'):.1%} ({min(foreign):.1%} to {max(foreign):.1%}), untrained "
        f"networks {outcome.mean('reference'):.1%} and the teachers {outcome.mean('teacher'):.1%}: "
        f"a difference of {100 * claim.estimate:+.1f} percentage points {shown}."
    )
