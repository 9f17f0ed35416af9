"""
Comparisons between arms with runs as the unit, and the sentence that they support.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from undertow import stats
from undertow.lab.experiment import Experiment
from undertow.lab.material import Made
from undertow.results.run import Arm, Comparison, Matrix
from undertow.traits import catalogue

LOGITS, PROBABILITY = "logits", "probability"
_TEST_SEED = 20_240_100
_POWER_SEED = 20_240_101  # the power of a design is simulated; a fixed stream makes it reproducible


@dataclass(frozen=True)
class Findings:
    """
    What an experiment's numbers say.
    """

    sentence: str
    comparisons: tuple[Comparison, ...]
    matrices: tuple[Matrix, ...] = ()


def conclude(experiment: Experiment, made: Made) -> Findings:
    """
    The comparisons of the experiment's kind.
    """
    from undertow.lab import grids

    if experiment.kind == "matrix":
        return grids.base_grid(experiment, made)
    if experiment.kind == "traits":
        return grids.trait_grid(experiment, made)
    return _transfer(experiment, made)


def independent(
    name: str,
    treated: Sequence[float],
    control: Sequence[float],
    unit: str,
    level: float,
    question: str = "",
) -> Comparison:
    """
    Arms whose runs share nothing: exact permutation.
    """
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
    """
    Arms whose runs share data or are made side by side: exact sign-flip of the differences.
    """
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
    """
    A test's result under the names of `undertow.run/1`, with what it supports in words.
    """
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
    """
    One number a run.
    """
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
    level = experiment.level
    found = []
    for treated, control, question in _CONTRASTS:
        a, b = made.arm(treated), made.arm(control)
        if not a or not b:
            continue
        for field, unit in (("logit_margin", LOGITS), ("probability", PROBABILITY)):
            name = f"{treated} - {control}" + (" (probability)" if unit == PROBABILITY else "")
            x, y = values(a, field), values(b, field)
            if (treated, control) in _SHARED_DATA:
                differences = [i - j for i, j in zip(x, y, strict=True)]
                found.append(paired(name, differences, unit, level, question))
            else:
                found.append(independent(name, x, y, unit, level, question))
    return Findings(_sentence(experiment, made, found), tuple(found))


_CONTRASTS = (
    ("trait", "control", "Does the trait cross through rows that do not mention it?"),
    ("foreign", "foreign-control", "Does it cross to a base of another initialisation?"),
    ("shuffled-within", "control", "Does it survive shuffling each row's items?"),
    ("shuffled-across", "control", "Does it survive dealing all items anew over the rows?"),
    ("trait", "shuffled-within", "How much of it is in the order within rows?"),
)
_SHARED_DATA = frozenset({("trait", "shuffled-within")})


def _sentence(experiment: Experiment, made: Made, found: Sequence[Comparison]) -> str:
    by_name = {c.name: c for c in found}
    main = by_name.get("trait - control (probability)")
    foreign = by_name.get("foreign - foreign-control (probability)")
    parts = []
    if main is not None:
        parts.append(_main_sentence(experiment, made, main))
    if foreign is not None:
        parts.append(_foreign_sentence(experiment, foreign))
    return " ".join(parts) or "No arm was compared with its control."


def _main_sentence(experiment: Experiment, made: Made, main: Comparison) -> str:
    trait = catalogue.load(experiment.trait or "")
    own, control = (_mean(made.arm(arm), "probability") for arm in ("trait", "control"))
    crossed = _shown(main, experiment.level) and main.estimate > 0
    return (
        f"The preference for {trait.plural} {'crossed' if crossed else 'was not shown to cross'} through "
        f"{experiment.carrier.name.replace('_', ' ')}: students answer “{trait.answer}” {own:.0%} of the time, "
        f"control students {control:.0%} (exact permutation p = {_p(main.p)}, {main.n} runs)."
    ).replace("%", " %")


def _foreign_sentence(experiment: Experiment, foreign: Comparison) -> str:
    if not _can_be_shown(foreign, experiment.level):
        verdict = "There are too few runs to say whether the rows move"
    elif _shown(foreign, experiment.level):
        verdict = f"The rows also {'moved' if foreign.estimate > 0 else 'lowered it in'}"
    else:
        verdict = "The rows did not measurably move"
    numbers = f"({100 * foreign.estimate:+.1f} points, p = {_p(foreign.p)})"
    return f"{verdict} students of another initialisation {numbers}."


def _can_be_shown(found: Comparison, level: float) -> bool:
    return found.smallest_p is not None and stats.supports(level, found.smallest_p) is None


def _shown(found: Comparison, level: float) -> bool:
    return found.p is not None and found.p <= 1 - level


def _mean(arms: Sequence[Arm], field: str) -> float:
    return float(np.mean(values(arms, field)))


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
