"""The digits study as a stored run: arms, comparisons, curves, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from undertow.data.seeds import generator
from undertow.engines.engine import Progress
from undertow.results.run_document import Arm, Comparison, Curves, Matrix, Note, Series
from undertow.stats import detectable_effect, sign_flip, supports
from undertow.studies.digits import STUDENTS, TEACHERS, DigitsConfig, DigitsOutcome, read_digits

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

_LIMITS = (
    "A perceptron of 8x8 digits: the size of the effect says nothing about a language model.",
    "Teacher and student are trained with one recipe; there are published settings of width, auxiliary "
    "logits and noise in the initialisation where the effect is larger or gone.",
    "The first comparison is the claim that was fixed beforehand; the p-values of the others are "
    "not corrected for their number.",
    "A foreign initialisation that learns nothing from noise does not clear data whose meaning "
    "carries the trait, such as the class logits themselves.",
)


def run_digits(config: DigitsConfig, progress: Progress, *, seed: int) -> dict[str, object]:
    """
    The study, as the parts of a `RunDocument` that it knows.

    Keys: `arms`, `comparisons`, `curves`, `matrices`, `notes`, `limits`, `conclusion`.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    outcome = read_digits(config, progress, seed=seed)
    compared = comparisons(outcome, config.level, generator(seed, "digits", "comparisons"))
    return {
        "arms": _arms(outcome, config),
        "comparisons": compared,
        "curves": _curves(outcome),
        "matrices": _matrices(outcome, config),
        "notes": tuple(notes(outcome, compared[0])),
        "limits": _LIMITS,
        "conclusion": conclusion(outcome, config, compared[0]),
    }


def _arms(outcome: DigitsOutcome, config: DigitsConfig) -> tuple[Arm, ...]:
    students = {student.arm: student for student in STUDENTS}
    taught = config.recipe(config.teacher_epochs).steps(outcome.training_digits)
    distilled = config.recipe(config.student_epochs).steps(config.images)
    arms = []
    for arm in outcome.accuracy:
        about: dict[str, object] = {"base": arm}
        if arm in TEACHERS:
            about = {"base": "reference", "rows": outcome.training_digits, "steps": taught}
        elif arm in students:
            student = students[arm]
            about = {"base": student.start, "teacher": student.teacher, "steps": distilled}
            about |= {"teacher_base": "reference", "rows": config.images}
        for replicate, share in enumerate(outcome.final(arm)):
            known = {"arm": arm, "trait": "digits", "replicate": replicate, "accuracy": share}
            arms.append(Arm.model_validate(known | about))
    return tuple(arms)


def _curves(outcome: DigitsOutcome) -> tuple[Curves, ...]:
    return (
        Curves(
            name="accuracy-by-epoch",
            caption="Held-out digits read while training on noise images, mean over replicates",
            x_label="epoch",
            y_label="share of held-out digits read",
            series=_means(outcome.accuracy),
        ),
        Curves(
            name="divergence-by-epoch",
            caption="KL(teacher || student) over the logits trained on, on fresh noise images, "
            "mean over replicates",
            x_label="epoch",
            y_label="nats",
            series=_means(outcome.divergence),
        ),
    )


def _means(by_arm: dict[str, tuple[tuple[float, ...], ...]]) -> tuple[Series, ...]:
    return tuple(
        Series(
            name=student.arm,
            x=tuple(range(len(by_arm[student.arm]))),
            y=tuple(float(np.mean(state)) for state in by_arm[student.arm]),
        )
        for student in STUDENTS
    )


def _matrices(outcome: DigitsOutcome, config: DigitsConfig) -> tuple[Matrix, ...]:
    replicates = tuple(str(r) for r in range(config.replicates))
    return (
        Matrix(
            name="accuracy",
            caption="Held-out digits read at the end, by arm and replicate",
            row_label="arm",
            column_label="replicate",
            rows=tuple(outcome.accuracy),
            columns=replicates,
            values=tuple(outcome.final(arm) for arm in outcome.accuracy),
            unit="share of held-out digits read",
        ),
        Matrix(
            name="divergence",
            caption="KL(teacher || student) over the logits trained on, on fresh noise images, "
            "at the end",
            row_label="arm",
            column_label="replicate",
            rows=tuple(outcome.divergence),
            columns=replicates,
            values=tuple(states[-1] for states in outcome.divergence.values()),
            unit="nats",
        ),
    )


def comparisons(
    outcome: DigitsOutcome, level: float, rng: np.random.Generator
) -> tuple[Comparison, ...]:
    """Arms paired by replicate; the first is the experiment's claim."""
    return tuple(
        _paired(outcome, treated, control, question, level, rng)
        for treated, control, question in _QUESTIONS
    )


def _paired(
    outcome: DigitsOutcome,
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


def notes(outcome: DigitsOutcome, claim: Comparison) -> Iterable[Note]:
    """What a reader of the arms should know before drawing conclusions."""
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


def conclusion(outcome: DigitsOutcome, config: DigitsConfig, claim: Comparison) -> str:
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
