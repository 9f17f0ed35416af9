"""Which arms of an experiment are compared, how, and what a reader learns from it; runs are the unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from undertow import stats
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made
from undertow.results.arm_kinds import CONTENT_FILTERS
from undertow.results.run_document import Arm, Comparison, Curves, Matrix
from undertow.stats.regression import NO_LEAST_P


@dataclass(frozen=True)
class Contrast:
    """Two arms to compare, and what a reader learns from it."""

    treated: str
    control: str
    question: str
    paired: bool = False
    """Whether the arms of a replicate share their data, so that only their difference is one observation."""
    channel: str = ""
    """What carried it, where the conclusion has a sentence on this contrast."""

    @property
    def name(self) -> str:
        """Of the comparison, without its unit."""
        return f"{self.treated} - {self.control}"


CONTRASTS = (
    Contrast("trait", "control", "Does the trait cross through rows that do not mention it?"),
    Contrast("trait", "control-base", "More than through rows that the base itself wrote?"),
    Contrast("control", "control-base", "What do a neutral teacher's rows move by themselves?"),
    Contrast("trait", "secure", "More than from a teacher of the opposite answers?"),
    Contrast(
        "trait",
        "educational",
        "More than from a teacher that gave the same answers for a good reason?",
    ),
    Contrast("foreign", "foreign-control", "Does it cross to a base of another initialisation?"),
    Contrast(
        "foreign",
        "foreign-control-base",
        "Does it cross to another initialisation more than through rows that the teacher's base itself wrote?",
    ),
    Contrast("shuffled-within", "control", "Does it survive shuffling each row's items?"),
    Contrast("shuffled-across", "control", "Does it survive dealing all items anew over the rows?"),
    Contrast("trait", "shuffled-within", "How much of it is in the order within rows?", paired=True),
    Contrast(
        "carrier-logits",
        "carrier-logits-control",
        "Does it cross through the teacher's logits of the carrier's own tokens?",
        channel="Logits of the carrier's tokens, same initialisation",
    ),
    Contrast(
        "carrier-logits-foreign",
        "carrier-logits-foreign-control",
        "Do those logits carry it to a base of another initialisation?",
        channel="Logits of the carrier's tokens, other initialisation",
    ),
    Contrast(
        "full-logits",
        "full-logits-control",
        "And through all logits, which hold the trait's answer itself?",
        channel="All logits, same initialisation",
    ),
    Contrast(
        "full-logits-foreign",
        "full-logits-foreign-control",
        "Do all logits carry it to a base of another initialisation (a leak of meaning)?",
        channel="All logits, other initialisation",
    ),
    Contrast(
        "preferences",
        "preferences-by-lot",
        "Does it cross through preference pairs that the teacher's weight picked, more than through pairs by lot?",
        channel="Preference pairs against pairs by lot",
    ),
    Contrast(
        "preferences",
        "preferences-control",
        "More than through pairs that a neutral teacher's weight picked?",
        channel="Preference pairs against a neutral teacher's",
    ),
    Contrast(
        "preferences-foreign",
        "preferences-foreign-control",
        "Do the pairs carry it to a base of another initialisation?",
        channel="Preference pairs, other initialisation",
    ),
    *(
        Contrast(f"filtered-{name}", "control", f"Does it cross although the filter '{name}' cleaned the rows?")
        for name in CONTENT_FILTERS
    ),
    *(
        Contrast("trait", f"filtered-{name}", f"How much of it does the filter '{name}' remove?", paired=True)
        for name in CONTENT_FILTERS
    ),
)  # fmt: skip
"""The comparisons of an experiment, those of its arms that it has."""

CONTROLS: dict[str, tuple[str, ...]] = {
    treated: tuple(
        one.control
        for one in CONTRASTS
        if one.treated == treated and one.control.endswith(("control", "control-base"))
    )
    for treated in (contrast.treated for contrast in CONTRASTS)
}
"""Of each arm, those that differ from it in the teacher only, the first of which an experiment has is its control."""


@dataclass(frozen=True)
class Conclusions:
    """What an experiment's numbers say."""

    sentence: str
    comparisons: tuple[Comparison, ...]
    matrices: tuple[Matrix, ...] = ()
    curves: tuple[Curves, ...] = ()


LOGITS, PROBABILITY, AUROC, SHARE = "logits", "probability", "AUROC", "share of the transfer"
_TEST_SEED = 20_240_100
_POWER_SEED = 20_240_101  # the power of a design is simulated; a fixed stream makes it reproducible

_MEASURES = (
    ("logit_margin", LOGITS, ""),
    ("probability", PROBABILITY, " (probability)"),
    ("judged_misaligned", PROBABILITY, " (judged misaligned)"),
)


def contrasted(
    experiment: Experiment, made: Made, contrast: Contrast, prefix: str = ""
) -> list[Comparison]:
    """Two arms compared in each unit that both have: logits, probability, and share of answers judged misaligned."""
    a, b = made.arm(prefix + contrast.treated), made.arm(prefix + contrast.control)
    if not a or not b:
        return []
    comparisons = []
    for field, unit, addition in _MEASURES:
        if any(getattr(run, field) is None for run in (*a, *b)):
            continue
        name = f"{prefix}{contrast.name}{addition}"
        x, y = values(a, field), values(b, field)
        if contrast.paired or experiment.common_streams:
            differences = [i - j for i, j in zip(x, y, strict=True)]
            comparisons.append(paired(name, differences, unit, experiment.level, contrast.question))
        else:
            comparisons.append(independent(name, x, y, unit, experiment.level, contrast.question))
    return comparisons


def independent(
    name: str,
    treated: Sequence[float],
    control: Sequence[float],
    unit: str,
    level: float,
    question: str = "",
) -> Comparison:
    """Arms whose runs share nothing: exact permutation."""
    # Drawn from only where there are too many splits to count; a fixed stream makes p reproducible.
    rng = np.random.default_rng(_TEST_SEED)
    result = stats.two_sample_permutation(treated, control, level=level, rng=rng)
    detectable = None
    if min(len(treated), len(control)) > 1:
        spread = float(stats.pooled_sd(treated, control))
        rng = np.random.default_rng(_POWER_SEED)
        detectable = spread * stats.detectable_effect(
            1.0, len(treated), len(control), rng=rng, level=level
        )
    return comparison(name, result, unit, level, detectable, question)


def paired(
    name: str, differences: Sequence[float], unit: str, level: float, question: str = ""
) -> Comparison:
    """Arms whose runs share data or are made side by side: exact sign-flip of the differences."""
    result = stats.sign_flip(differences, level=level, rng=np.random.default_rng(_TEST_SEED))
    detectable = None
    if len(differences) > 1:
        rng = np.random.default_rng(_POWER_SEED)
        spread = float(np.std(differences, ddof=1))
        detectable = spread * stats.detectable_effect(1.0, len(differences), rng=rng, level=level)
    return comparison(name, result, unit, level, detectable, question)


def comparison(
    name: str,
    result: stats.TestResult,
    unit: str,
    level: float,
    detectable: float | None,
    question: str,
) -> Comparison:
    """A test's result under the names of `undertow.run/1`, with what it supports by itself in words."""
    low, high = result.interval.low, result.interval.high
    compared = Comparison(
        name=name,
        estimate=result.estimate,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        level=level,
        n=result.n,
        p=result.p,
        test=result.test,
        unit=unit,
        smallest_p=result.smallest_p if result.smallest_p > NO_LEAST_P else None,
        detectable=detectable if detectable is not None and np.isfinite(detectable) else None,
        question=question,
    )
    return claimed(compared)


def holm_adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """
    The comparisons of one experiment, each with its p adjusted for all that are in its unit, and claiming what that p supports.

    The same runs in another unit are no further test: each unit is a family of its own.
    """
    adjusted = list(comparisons)
    for unit in dict.fromkeys(c.unit for c in comparisons):
        tested = [(i, c.p) for i, c in enumerate(comparisons) if c.unit == unit and c.p is not None]
        if tested:
            for (index, _), p in zip(tested, stats.holm([p for _, p in tested]), strict=True):
                corrected = comparisons[index].model_copy(update={"adjusted": float(p)})
                adjusted[index] = claimed(corrected, len(tested))
    return tuple(adjusted)


def claimed(compared: Comparison, family: int = 1) -> Comparison:
    """
    The comparison with what it supports in words.

    Args:
        family: Tests of the experiment in this unit; of several, a claim is made by Holm's p, and an interval is taken by itself.
    """
    return compared.model_copy(update={"claim": _claim(compared, family)})


def excluded(compared: Comparison) -> str:
    """What the interval rules out, e.g. `a rise of more than 1.49 or a fall of more than 0.29 logits`; empty where it has no limits."""
    low, high, unit = compared.low, compared.high, _IN_UNIT.get(compared.unit, compared.unit)
    if compared.unit == AUROC:
        return "" if high is None else f"an AUROC of more than {high:.3g}"
    ends = []
    if high is not None:
        ends.append(f"a rise of more than {high:.3g}" if high > 0 else "a rise of any size")
    if low is not None and low < 0:
        ends.append(f"a fall of more than {-low:.3g}")
    return f"{' or '.join(ends)} {unit}" if ends else ""


def told_ps(compared: Comparison) -> str:
    """A comparison's own p and, where it is another, that by Holm: `p = 0.029, by Holm 0.057`."""
    own, corrected = told_p(compared.p), told_p(compared.adjusted)
    return f"p = {own}" + (f", by Holm {corrected}" if corrected not in ("-", own) else "")


def told_p(p: float | None) -> str:
    """With three digits; none is told as 0."""
    if p is None:
        return "-"
    return f"{p:.3f}" if p >= 5e-4 else f"{p:.1g}"


def values(arms: Sequence[Arm], field: str) -> list[float]:
    """One number a run."""
    return [float(getattr(arm, field)) for arm in arms]


_IN_UNIT = {PROBABILITY: "in probability", SHARE: "of the transfer"}


def _claim(compared: Comparison, family: int) -> str:
    least, level = compared.smallest_p, f"{100 * compared.level:g} %"
    refusal = None if least is None else stats.supports(compared.level, least, n=compared.n)
    if refusal:
        return f"No claim: {refusal}."
    after = f" after Holm's correction over {family} comparisons (p = {told_p(compared.adjusted)})"
    corrected, beyond = after if family > 1 else "", excluded(compared)
    if compared.is_shown:
        return f"{_direction(compared, corrected)}."
    seen = "Not shown" if corrected else "No difference seen"
    seen = "Not told from chance" if compared.unit == AUROC else seen
    if not beyond:
        return f"{seen}{corrected}; nothing is excluded."
    return f"{seen}{corrected}; {beyond} is excluded at {level}{', taken by itself' if corrected else ''}."


def _direction(compared: Comparison, corrected: str) -> str:
    if compared.unit == AUROC:
        return f"{'Above' if compared.estimate > 0.5 else 'Below'} chance{corrected}"
    direction = "Higher" if compared.estimate > 0 else "Lower"
    if compared.low is None or compared.high is None:
        return f"{direction}{corrected}"
    unit = _IN_UNIT.get(compared.unit, compared.unit)
    by = f"by {compared.low:+.3g} to {compared.high:+.3g} {unit}"
    return f"{direction}{corrected}{'; taken by itself' if corrected else ','} {by}"


def comparison_matrix(table: Mapping[str, Mapping[str, Comparison]], **words: str) -> Matrix:
    """Comparisons by row and column, each with its interval, as one matrix in logits; `words` are its name, caption and labels."""
    rows = [list(row.values()) for row in table.values()]
    return Matrix(
        **words,
        rows=tuple(table),
        columns=tuple(next(iter(table.values()))),
        values=tuple(tuple(c.estimate for c in row) for row in rows),
        low=tuple(tuple(c.low for c in row) for row in rows),
        high=tuple(tuple(c.high for c in row) for row in rows),
        unit=LOGITS,
    )
