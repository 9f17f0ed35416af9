"""Comparisons between arms with runs as the unit, and the sentence that they support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from undertow import stats
from undertow.lab import sentences
from undertow.lab.arms import CONTRASTS, Contrast
from undertow.lab.design import carrier_prefix
from undertow.lab.experiment import Experiment
from undertow.lab.material import Made
from undertow.results.run import Arm, Comparison, Curves, Matrix

LOGITS, PROBABILITY, AUROC, SHARE = "logits", "probability", "AUROC", "share of the transfer"
_TEST_SEED = 20_240_100
_POWER_SEED = 20_240_101  # the power of a design is simulated; a fixed stream makes it reproducible


@dataclass(frozen=True)
class Findings:
    """What an experiment's numbers say."""

    sentence: str
    comparisons: tuple[Comparison, ...]
    matrices: tuple[Matrix, ...] = ()
    curves: tuple[Curves, ...] = ()


def conclude(experiment: Experiment, made: Made) -> Findings:
    """The comparisons of the experiment's kind."""
    from undertow.lab import chains, grids

    if experiment.kind == "matrix":
        return grids.base_grid(experiment, made)
    if experiment.kind == "traits":
        return grids.trait_grid(experiment, made)
    if experiment.kind == "hops":
        return chains.chain(experiment, made)
    return _transfer(experiment, made)


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
    """A test's result under the names of `undertow.run/1`, with what it supports in words."""
    low, high = result.interval.low, result.interval.high
    return Comparison(
        name=name,
        estimate=result.estimate,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        level=level,
        n=result.n,
        p=result.p,
        test=result.test,
        unit=unit,
        smallest_p=result.smallest_p,
        detectable=detectable if detectable is not None and np.isfinite(detectable) else None,
        claim=_claim(result, unit, level),
        question=question,
    )


def values(arms: Sequence[Arm], field: str) -> list[float]:
    """One number a run."""
    return [float(getattr(arm, field)) for arm in arms]


def _claim(result: stats.TestResult, unit: str, level: float) -> str:
    refusal = stats.supports(level, result.smallest_p, n=result.n)
    if refusal:
        return f"No claim: {refusal}."
    interval = result.interval
    if result.p <= 1 - level:
        direction = "Higher" if result.estimate > 0 else "Lower"
        return f"{direction}, by {interval.low:+.2f} to {interval.high:+.2f} {unit}."
    bound = max(abs(interval.low), abs(interval.high))
    return f"No difference seen; one of more than {bound:.2f} {unit} is excluded."


def _transfer(experiment: Experiment, made: Made) -> Findings:
    found = []
    for table in experiment.all_carriers:
        prefix = carrier_prefix(experiment, table.name)
        for contrast in CONTRASTS:
            found += contrasted(experiment, made, contrast, prefix)
    found += filter_comparisons(experiment, made)
    return Findings(sentences.transfer(experiment, made, found), tuple(found))


def contrasted(
    experiment: Experiment, made: Made, contrast: Contrast, prefix: str = ""
) -> list[Comparison]:
    """
    Two arms compared in each unit that both have: logits, probability, and share of answers judged misaligned.
    """
    a, b = made.arm(prefix + contrast.treated), made.arm(prefix + contrast.control)
    if not a or not b:
        return []
    found = []
    for field, unit, addition in _MEASURES:
        if any(getattr(run, field) is None for run in (*a, *b)):
            continue
        name = f"{prefix}{contrast.treated} - {contrast.control}{addition}"
        x, y = values(a, field), values(b, field)
        if contrast.paired:
            differences = [i - j for i, j in zip(x, y, strict=True)]
            found.append(paired(name, differences, unit, experiment.level, contrast.question))
        else:
            found.append(independent(name, x, y, unit, experiment.level, contrast.question))
    return found


_MEASURES = (
    ("logit_margin", LOGITS, ""),
    ("probability", PROBABILITY, " (probability)"),
    ("judged_misaligned", PROBABILITY, " (judged misaligned)"),
)


def filter_comparisons(experiment: Experiment, made: Made) -> list[Comparison]:
    """
    What each content filter can tell, against chance, and how much of the transfer it leaves; replicates are the unit.
    """
    found = []
    for name in dict.fromkeys(trial.content_filter for trial in made.filters):
        trials = made.filter(name)
        measured = {"a row": [trial.auroc for trial in trials]}
        for size in trials[0].bag_aurocs:
            measured[f"a bag of {size}"] = [trial.bag_aurocs[size] for trial in trials]
        for what, aurocs in measured.items():
            question = f"Can the filter '{name}' tell {what} by the trait's teacher from one by a neutral teacher?"
            found.append(
                against_half(f"{name}: AUROC of {what}", aurocs, experiment.level, question)
            )
        found += _left(experiment, made, name)
    return found


def against_half(name: str, shares: Sequence[float], level: float, question: str) -> Comparison:
    """Shares of independent runs against one half: exact sign-flip."""
    shifted = paired(name, [share - 0.5 for share in shares], AUROC, level, question)
    low, high = shifted.low, shifted.high
    moved = {
        "estimate": shifted.estimate + 0.5,
        "low": None if low is None else low + 0.5,
        "high": None if high is None else high + 0.5,
        "test": f"{shifted.test} against 1/2",
        "claim": _against_half(shifted, level),
    }
    return shifted.model_copy(update=moved)


def _against_half(shifted: Comparison, level: float) -> str:
    refusal = stats.supports(level, shifted.smallest_p or 1.0, n=shifted.n)
    if refusal:
        return f"No claim: {refusal}."
    if (shifted.p or 1.0) <= 1 - level:
        return f"{'Above' if shifted.estimate > 0 else 'Below'} chance."
    return "Not told from chance."


def _left(experiment: Experiment, made: Made, name: str) -> list[Comparison]:
    arms = [made.arm(arm) for arm in (f"filtered-{name}", "trait", "control")]
    if not all(arms):
        return []
    filtered, trait, control = (np.array(values(arm, "logit_margin")) for arm in arms)
    moved = trait - control
    if np.any(moved <= 0):  # a share of nothing says nothing
        return []
    question = (
        f"How much of the transfer is left when the filter '{name}' has removed what it would?"
    )
    shares = ((filtered - control) / moved).tolist()
    return [
        paired(f"{name}: share of the transfer left", shares, SHARE, experiment.level, question)
    ]
