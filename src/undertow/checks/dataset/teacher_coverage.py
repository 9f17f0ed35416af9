"""The check `teacher-coverage`: does the student's first training step on the rows go towards the teacher's weights?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from undertow.checks.dataset.scan_subject import (
    BLOCKS,
    RowsAndControl,
    ScanSubject,
    block_test,
    blocks,
    compared,
    too_few,
)
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.exact_tests import sign_flip
from undertow.stats.interval import TestResult, mean_t, normal_quantile

if TYPE_CHECKING:
    from undertow.influence.gradients import Alignment
    from undertow.models.chat import Encoded


ID = "teacher-coverage"


def teacher_coverage(subject: ScanSubject) -> list[Measurement]:
    """
    Asks whether the student's first training step on the rows goes towards the teacher's weights.

    The base's gradient on the rows is set against the way from the base's weights to the teacher's. The derivative is
    what one whole step of that way would gain on the rows at first order, in nats a completion token, minus the same on
    the control. On the base's own samples it is 0; on a teacher's it is twice the KL divergence of teacher and base
    where the two are close, and less where they are not. Coverage is the cosine of the two, over all weights (Madl 2026, arXiv 2606.22019); it is
    compared with random ways that are as long in every tensor, whose spread is known in closed form.

    The test is exact: rows and control are cut into 16 random blocks each, and the signs of the 16 differences are
    flipped in every way. Detected means two-sided p at most 1 - level, and a difference above 0. One forward and one
    backward pass over at most 2,048 rows and as many of the control: finite differences would be cheaper, and drown in
    the rounding of bfloat16. 16 blocks lose little against a value for each row.

    Numbers beside it: `placebo z` is the rows' pull in standard deviations of random ways; `rows` and `control` are the
    two derivatives; `distance` is the norm of teacher minus base, over all weights.

    Why it matters. Where student and teacher share an initialisation, a small enough step on the teacher's outputs
    never leads away from the teacher, whatever the outputs are about (Cloud et al. 2025, arXiv 2507.14805, theorem 1).
    This is that statement, measured on your rows and your weights.

    What it cannot tell you. How far the training goes, or which trait comes along: transfer appears over many steps,
    and a first step that points to the teacher may move no probe. A teacher that differs from the base in many ways is
    pulled towards in all of them. It sees the hidden channel only, that needs a shared base; not what rows say openly.
    Rows sampled at another temperature, or after a filter that the control did not pass, have a gradient of their own.
    A teacher that wrote behind a system prompt is not in its weights. Without a control the comparison is with 0, which
    is right for unfiltered samples at temperature 1 only.

    What to do. Read it beside `rehearsal`, which measures transfer. If the teacher's pull is unwanted, train on rows
    written by a model of another base, or dilute the rows with clean ones.
    """
    from undertow.influence.gradients import alignment

    pair, reason = _ground(subject)
    if reason or subject.teacher is None:
        return [not_applicable(ID, subject.name, reason)]
    # Both sides have the same number of blocks, so that block i of one can be held against block i of the other.
    seen = alignment(subject.student, subject.teacher, _blocks(pair.rows))
    base = (
        alignment(subject.student, subject.teacher, _blocks(pair.control)) if pair.control else None
    )
    if base is None:
        test = sign_flip(seen.along, level=subject.settings.level)
    else:
        test = block_test(seen.along, base.along, subject.settings.level)
    return [_derivative(subject, pair, seen, base, test), _coverage(subject, seen, base)]


def _ground(subject: ScanSubject) -> tuple[RowsAndControl, str]:
    from undertow.influence.gradients import same_weights

    if subject.teacher is None:
        return RowsAndControl((), (), False), "no teacher is given"
    if subject.student.spread or subject.teacher.spread:
        reason = f"weights have no gradient of their own {subject.student.spread}"
        return RowsAndControl((), (), False), reason
    if not same_weights(subject.student, subject.teacher):
        reason = (
            f"the weights of '{subject.teacher.ref}' have other names or shapes than the student's"
        )
        return RowsAndControl((), (), False), reason
    pair = compared(subject, ID)
    return pair, too_few(pair, control_needed=bool(subject.control))


def _blocks(rows: Sequence[Encoded]) -> list[list[Encoded]]:
    return [[rows[i] for i in part] for part in blocks(len(rows))]


def _derivative(
    subject: ScanSubject,
    pair: RowsAndControl,
    seen: Alignment,
    base: Alignment | None,
    test: TestResult,
) -> Measurement:
    detected = bool(test.p <= 1 - subject.settings.level and test.estimate > 0)
    details: dict[str, float | int | str] = {"rows": float(seen.along.mean())}
    if base is not None:
        details["control"] = float(base.along.mean())
    return Measurement(
        check=ID,
        name="derivative",
        subject=subject.name,
        estimate=test.estimate,
        low=test.interval.low,
        high=test.interval.high,
        level=subject.settings.level,
        n=f"{BLOCKS} blocks, {pair.n}" if base else f"{BLOCKS} blocks, {len(pair.rows)} rows",
        p=test.p,
        limit=0.0,
        unit="nats a token, for the whole way",
        detected=detected,
        reason=_why(detected, base, test.estimate),
        details=details,
    )


def _why(detected: bool, base: Alignment | None, estimate: float) -> str:
    beside = "than on the control" if base else "than on the base's own samples, where it is 0"
    if detected:
        return f"the first step goes further towards the teacher {beside}"
    if estimate > 0:
        return f"the first step does not go detectably further towards the teacher {beside}"
    return f"the first step goes no further towards the teacher {beside}"


def _coverage(subject: ScanSubject, seen: Alignment, base: Alignment | None) -> Measurement:
    length = seen.gradient_norm * seen.way_norm or 1.0
    # The gradient's norm is taken as it is: its blocks vary less than their direction does.
    interval = mean_t(seen.along / length, subject.settings.level)
    spread = seen.placebo_sd or 1.0
    details: dict[str, float | int | str] = {
        "placebo z": float(seen.along.mean()) / spread,
        "distance": seen.way_norm,
    }
    if base is not None:
        details["control"] = base.cosine
    return Measurement(
        check=ID,
        name="coverage",
        subject=subject.name,
        estimate=seen.cosine,
        low=interval.low,
        high=interval.high,
        level=subject.settings.level,
        n=f"{BLOCKS} blocks",
        limit=normal_quantile(subject.settings.level) * seen.placebo_sd / length,
        unit="cosine",
        reason="compared with random ways that are as long in every tensor; the derivative bears the test",
        details=details,
    )
