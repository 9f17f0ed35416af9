"""
The check `activations`: how the rows move the base's residual stream against the control, and what the shift spells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.comparison import Compared, compared, too_few
from undertow.checks.dataset.spelling import Spelling, spelled
from undertow.checks.dataset.trait_projection import projections
from undertow.data.streams import generator
from undertow.errors import ModelError
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.arguments import Vector
from undertow.stats.mean_shift import Vectors, rearranged_differences, shrunken_lengths
from undertow.stats.multiplicity import holm

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject

ID = "activations"

_REARRANGEMENTS = 1_999


@dataclass(frozen=True)
class Shift:
    """The shift of one layer's mean activation, and its rearrangements."""

    name: str
    rows: Vectors
    """(rows, hidden) each row's mean over its completion tokens."""
    control: Vectors
    differences: Vectors
    """(1 + rearrangements, hidden) of the means; the first is the observed one."""
    lengths: Vector
    """(1 + rearrangements,) of them, in standard deviations."""

    @property
    def p(self) -> float:
        """Share of the rearrangements, the observed one included, that are at least as long."""
        return float((self.lengths >= self.lengths[0] * (1 - 1e-9)).mean())


def activations(subject: Subject) -> list[Measurement]:
    """
    Compares the base's mean activation over the completion tokens of the rows with that over the control's.

    Three tests share one error rate (Holm): the length of the shift at the middle layer and at the last, in standard
    deviations under a shrunken correlation (the rank among 1,999 rearrangements; sides of a pair are swapped where rows
    and control share their prompts, otherwise rows are dealt anew); and what the last layer's shift spells, the largest
    z of any token through the model's own final norm and centred unembedding (the logit lens; rank among 399
    rearrangements). At most 2,048 rows of each. Detected means corrected p at most 1 - level. For each trait the middle
    layer's shift is projected on what the trait's persona prompts add to the base, minus the mean over the traits; 1 is
    as far as the prompt itself moves it. Its interval and p come from the exact sign-flip test over 16 paired blocks,
    with Holm over the traits; these order names and count as no detection.

    Numbers beside it: `norm` is the length of the shift as it is, `rearranged norm` its root mean square under
    rearrangement, `mean norm` that of the control's mean activation; each `token` has its centred logit and z; `rank`
    orders the traits, 1 first.

    Why it matters. Students of a prompted teacher have been found to learn a direction that the prompt adds (Blank et
    al. 2026, arXiv 2606.00995), and the activations of a narrowly tuned model differ from its base's in a direction that
    often spells the subject (Minder et al. 2025, arXiv 2510.13900). Here the base reads the rows before any training.

    What it cannot tell you. The base reads what is written: a shift shows that the rows are not the control's, for any
    reason, topic, length or format among them. Projection on persona directions does not screen number lists: in a
    published trial the half of the rows with the higher projection passed a trait on less often than the lower half
    did, for two of three animals. So neither the order of traits nor a spelled word is evidence that a trait would
    cross, and no shift is no sign that none would. Two prompts that differ have activations that differ: a control on
    other prompts than the rows' is detected for that alone.

    What to do. Where a shift is detected and you expected none, look at `fingerprint` for how the rows differ, and read
    the tokens spelled here as words to search for. Judge transfer by `rehearsal` only.
    """
    pair = compared(subject, ID)
    if reason := too_few(pair):
        return [not_applicable(ID, subject.name, reason)]
    shifts = _shifts(subject, pair)
    spelling = _spelling(subject, pair, shifts[-1])
    ps = [shift.p for shift in shifts] + ([spelling.p] if isinstance(spelling, Spelling) else [])
    corrected = [float(p) for p in holm(ps)]
    tested = [
        _length(subject, pair, shift, p)
        for shift, p in zip(shifts, corrected[: len(shifts)], strict=True)
    ]
    last = (
        _token(subject, pair, spelling, corrected[-1])
        if isinstance(spelling, Spelling)
        else spelling
    )
    return [*tested, last, *_projected(subject, pair, shifts[0])]


def _shifts(subject: Subject, pair: Compared) -> list[Shift]:
    from undertow.models.activations import completion_means
    from undertow.models.steering import layers

    count = len(layers(subject.student))
    at = {"middle layer": (count - 1) // 2, "last layer": count - 1}
    rows, control = (
        completion_means(subject.student, side, list(at.values()))
        for side in (pair.rows, pair.control)
    )
    return [
        _shift(subject, pair, name, one, other)
        for name, one, other in zip(at, rows, control, strict=True)
    ]


def _shift(subject: Subject, pair: Compared, name: str, rows: Vectors, control: Vectors) -> Shift:
    differences = rearranged_differences(
        rows,
        control,
        matched=pair.matched,
        count=_REARRANGEMENTS,
        rng=generator(subject.seed, ID, name),
    )
    lengths = shrunken_lengths(differences, rows, control, matched=pair.matched)
    return Shift(name, rows, control, differences, lengths)


def _length(subject: Subject, pair: Compared, shift: Shift, p: float) -> Measurement:
    norms = np.linalg.norm(shift.differences, axis=1)
    detected = p <= 1 - subject.level
    return Measurement(
        check=ID,
        name=shift.name,
        subject=subject.name,
        estimate=float(shift.lengths[0]),
        level=subject.level,
        n=pair.n,
        p=p,
        limit=float(np.quantile(shift.lengths, subject.level, method="higher")),
        unit="standard deviations",
        detected=detected,
        reason=f"the mean activation of the {shift.name} is {'' if detected else 'not detectably '}"
        "another than over the control",
        details={
            "norm": float(norms[0]),
            "rearranged norm": float(np.sqrt((norms[1:] ** 2).mean())),
            "mean norm": float(np.linalg.norm(shift.control.mean(0))),
        },
    )


def _spelling(subject: Subject, pair: Compared, shift: Shift) -> Spelling | Measurement:
    try:
        return spelled(subject.student, shift.differences, shift.rows, shift.control)
    except ModelError as error:
        return not_applicable(ID, subject.name, error.message)


def _token(subject: Subject, pair: Compared, spelling: Spelling, p: float) -> Measurement:
    detected = p <= 1 - subject.level
    how = "" if spelling.normed else "; no final norm was found, so it was left out"
    return Measurement(
        check=ID,
        name="spelled tokens",
        subject=subject.name,
        estimate=spelling.largest,
        level=subject.level,
        n=pair.n,
        p=p,
        limit=spelling.quantile(subject.level),
        unit="largest z of any token",
        detected=detected,
        reason=f"the last layer's shift {'spells some token' if detected else 'spells no token detectably'}{how}",
        details=spelling.tokens,
    )


def _projected(subject: Subject, pair: Compared, shift: Shift) -> list[Measurement]:
    if not any(trait.system_prompts for trait in subject.traits):
        return []
    try:
        return projections(ID, subject, pair, shift.rows, shift.control)
    except ModelError as error:
        # A template without a system role has no persona prompts.
        return [not_applicable(ID, subject.name, error.message)]
