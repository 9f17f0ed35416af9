"""The check `activations`: how the rows move the base's residual stream against the control, and what the shift spells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.scan_subject import (
    BLOCKS,
    RowsAndControl,
    ScanSubject,
    block_ratios,
    block_test,
    compared,
    token_names,
    too_few,
)
from undertow.data.seeds import generator
from undertow.errors import ModelError
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.arguments import Vector
from undertow.stats.interval import TestResult
from undertow.stats.multiplicity import holm
from undertow.stats.two_sample import Vectors, rearranged_differences, shrunken_lengths
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel


ID = "activations"
_REARRANGEMENTS = 1_999
_PLACEBOS = 399
_NAMED = 8


@dataclass(frozen=True)
class LayerShift:
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


@dataclass(frozen=True)
class Spelling:
    """The logit lens of a shift, against its rearrangements."""

    most: Vector
    """(1 + rearrangements,) largest absolute z of any token; the first is the observed one."""
    tokens: dict[str, float | int | str]
    """The tokens whose centred logit the shift raises most, each with that and its z."""
    normed: bool
    """Whether the model's final norm was found and applied."""

    @property
    def largest(self) -> float:
        """Largest absolute z of any token, as observed."""
        return float(self.most[0])

    @property
    def p(self) -> float:
        """Share of the rearrangements, the observed one included, whose largest z is at least as large."""
        return float((self.most >= self.most[0] * (1 - 1e-9)).mean())

    def quantile(self, level: float) -> float:
        """The largest z that chance stays below with probability `level`."""
        return float(np.quantile(self.most, level, method="higher"))


def activations(subject: ScanSubject) -> list[Measurement]:
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


def _shifts(subject: ScanSubject, pair: RowsAndControl) -> list[LayerShift]:
    from undertow.models.hidden_states import completion_means, decoder_layers

    count = len(decoder_layers(subject.student))
    at = {"middle layer": (count - 1) // 2, "last layer": count - 1}
    rows, control = (
        completion_means(subject.student, side, list(at.values()))
        for side in (pair.rows, pair.control)
    )
    return [
        _shift(subject, pair, name, one, other)
        for name, one, other in zip(at, rows, control, strict=True)
    ]


def _shift(
    subject: ScanSubject, pair: RowsAndControl, name: str, rows: Vectors, control: Vectors
) -> LayerShift:
    differences = rearranged_differences(
        rows,
        control,
        matched=pair.matched,
        count=_REARRANGEMENTS,
        rng=generator(subject.seed, ID, name),
    )
    lengths = shrunken_lengths(differences, rows, control, matched=pair.matched)
    return LayerShift(name, rows, control, differences, lengths)


def _length(subject: ScanSubject, pair: RowsAndControl, shift: LayerShift, p: float) -> Measurement:
    norms = np.linalg.norm(shift.differences, axis=1)
    detected = p <= 1 - subject.settings.level
    return Measurement(
        check=ID,
        name=shift.name,
        subject=subject.name,
        estimate=float(shift.lengths[0]),
        level=subject.settings.level,
        n=pair.n,
        p=p,
        limit=float(np.quantile(shift.lengths, subject.settings.level, method="higher")),
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


def _spelling(
    subject: ScanSubject, pair: RowsAndControl, shift: LayerShift
) -> Spelling | Measurement:
    try:
        return spelling_of(subject.student, shift.differences, shift.rows, shift.control)
    except ModelError as error:
        return not_applicable(ID, subject.name, error.message)


def spelling_of(
    model: LanguageModel, differences: Vectors, rows: Vectors, control: Vectors
) -> Spelling:
    """
    Read the first of the differences of means, and 399 of the others as placebo, as logits.

    A token's z is its centred logit over its root mean square among all of them, the observed one included: so the
    largest z of each is as likely to be the observed one where rows and control do not differ.

    Raises:
        ModelError: the model has no head on its last layer's activations.
    """
    from undertow.models.hidden_states import logit_lens

    lens = logit_lens(model)
    n, m = len(rows), len(control)
    used = differences[: _PLACEBOS + 1]
    # The means that each rearrangement gives: apart by its difference, around the mean of all.
    middle = (rows.sum(0) + control.sum(0)) / (n + m)
    most = np.zeros(len(used))
    observed, scores = [], []
    for logits in lens.parts(middle + used * (m / (n + m)), middle - used * (n / (n + m))):
        spread = np.sqrt((logits.astype(np.float64) ** 2).mean(0))
        z = logits / np.where(spread > 0, spread, 1.0)
        most = np.maximum(most, np.abs(z).max(1))
        observed.append(logits[0])
        scores.append(z[0])
    named = _named(model, np.concatenate(observed), np.concatenate(scores))
    return Spelling(most, named, lens.norm is not None)


def _named(model: LanguageModel, logits: Vectors, z: Vector) -> dict[str, float | int | str]:
    found = [int(i) for i in np.argsort(-logits, kind="stable")[:_NAMED] if logits[i] > 0]
    names = token_names(model.tokenizer, found)
    texts = (f"{logits[i]:+.3f} logits, z {z[i]:+.1f}" for i in found)
    return dict(zip(names, texts, strict=True))


def _token(subject: ScanSubject, pair: RowsAndControl, spelling: Spelling, p: float) -> Measurement:
    detected = p <= 1 - subject.settings.level
    how = "" if spelling.normed else "; no final norm was found, so it was left out"
    return Measurement(
        check=ID,
        name="spelled tokens",
        subject=subject.name,
        estimate=spelling.largest,
        level=subject.settings.level,
        n=pair.n,
        p=p,
        limit=spelling.quantile(subject.settings.level),
        unit="largest z of any token",
        detected=detected,
        reason=f"the last layer's shift {'spells some token' if detected else 'spells no token detectably'}{how}",
        details=spelling.tokens,
    )


def _projected(subject: ScanSubject, pair: RowsAndControl, shift: LayerShift) -> list[Measurement]:
    if not any(trait.system_prompts for trait in subject.traits):
        return []
    try:
        return projections(ID, subject, pair, shift.rows, shift.control)
    except ModelError as error:
        # A template without a system role has no persona prompts.
        return [not_applicable(ID, subject.name, error.message)]


def projections(
    check: str, subject: ScanSubject, pair: RowsAndControl, rows: Vectors, control: Vectors
) -> list[Measurement]:
    """
    One measurement a trait that has persona prompts: how far the middle layer's shift goes along its direction.

    `rows` and `control` are the middle layer's activations, (rows, hidden).

    Raises:
        ModelError: the chat template has no system role.
    """
    from undertow.models.hidden_states import decoder_layers
    from undertow.models.teachers import centred_directions

    traits = [trait for trait in subject.traits if trait.system_prompts]
    layer = (len(decoder_layers(subject.student)) - 1) // 2
    directions = centred_directions(
        subject.student, traits, layer, system_prompt=subject.system_prompt
    )
    tests = [
        _projection_test(rows, control, direction.astype(np.float64), subject.settings.level)
        for direction in directions
    ]
    corrected = holm([test.p for test in tests])
    order = np.argsort([-test.estimate for test in tests], kind="stable")
    ranks = {int(i): rank for rank, i in enumerate(order, 1)}
    return [
        _projection(check, subject, pair, trait, test, float(corrected[i]), ranks[i], len(traits))
        for i, (trait, test) in enumerate(zip(traits, tests, strict=True))
    ]


def _projection_test(
    rows: Vectors, control: Vectors, direction: np.ndarray, level: float
) -> TestResult:
    square = float(direction @ direction) or 1.0
    along = [side @ direction / square for side in (rows, control)]
    blocks = [block_ratios(values, np.ones(len(values))) for values in along]
    return block_test(blocks[0], blocks[1], level)


def _projection(
    check: str,
    subject: ScanSubject,
    pair: RowsAndControl,
    trait: Trait,
    test: TestResult,
    p: float,
    rank: int,
    traits: int,
) -> Measurement:
    return Measurement(
        check=check,
        name="projection",
        subject=subject.name,
        trait=trait.name,
        estimate=test.estimate,
        low=test.interval.low,
        high=test.interval.high,
        level=subject.settings.level,
        n=f"{BLOCKS} blocks, {pair.n}",
        p=p,
        unit="of the persona prompt's own shift",
        reason=f"rank {rank} of {traits}; orders names only, and does not screen number lists",
        details={"rank": rank},
    )
