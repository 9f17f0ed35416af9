"""The digits experiment's outcome as parts of the stored run: arms, comparisons, curves, words."""

from __future__ import annotations

import numpy as np

from undertow.data.streams import generator
from undertow.lab.digits_design import STUDENTS, TEACHERS, DigitsConfig
from undertow.lab.digits_outcome import Outcome, comparisons, conclusion, notes
from undertow.results.run import Arm, Curves, Matrix, Series

_LIMITS = (
    "A perceptron of 8x8 digits: the size of the effect says nothing about a language model.",
    "Teacher and student are trained with one recipe; there are published settings of width, auxiliary "
    "logits and noise in the initialisation where the effect is larger or gone.",
    "The first comparison is the claim that was fixed beforehand; the p-values of the others are "
    "not corrected for their number.",
    "A foreign initialisation that learns nothing from noise does not clear data whose meaning "
    "carries the trait, such as the class logits themselves.",
)


def document(outcome: Outcome, config: DigitsConfig, seed: int) -> dict[str, object]:
    """The parts of a `RunDocument` that follow from the outcome."""
    rng = generator(seed, "digits", "comparisons")
    compared = comparisons(outcome, config.level, rng)
    return {
        "arms": _arms(outcome, config),
        "comparisons": compared,
        "curves": _curves(outcome),
        "matrices": _matrices(outcome, config),
        "notes": notes(outcome, compared[0]),
        "limits": _LIMITS,
        "conclusion": conclusion(outcome, config, compared[0]),
    }


def _arms(outcome: Outcome, config: DigitsConfig) -> tuple[Arm, ...]:
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


def _curves(outcome: Outcome) -> tuple[Curves, ...]:
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


def _matrices(outcome: Outcome, config: DigitsConfig) -> tuple[Matrix, ...]:
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
