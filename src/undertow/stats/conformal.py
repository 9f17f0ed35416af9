"""
A dataset among references: one exact rank p over all traits, what one draw of references guarantees, measured effects.

The dataset and its references stand in rows, the dataset first. If it is exchangeable with them, p <= alpha happens with
probability alpha at most, whatever the law of the readings and however traits depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special

from undertow.stats.arguments import (
    Vector,
    count,
    finite_array,
    finite_vector,
    fraction,
    positive,
)
from undertow.stats.interval import beta_quantile

MAD_OF_NORMAL = 1.482602218505602
"""1 / normal quantile of 3/4: scales a median absolute deviation to a standard deviation."""

DEVIATION_OF_NORMAL = math.sqrt(math.pi / 2)
"""Scales a mean absolute deviation to a standard deviation."""

SLACK = 2
"""References beyond the deciding number that must reach a dataset before it is given up."""

PRIOR_DEGREES = 3.0
"""Degrees of freedom that all traits of a dataset together lend to the variance of each."""

_TIE = 1e-3
"""
Share of T_0 within which a reference ties with the dataset: the same rows read 1e-6 logits apart by rounding if others are
trained beside them, which at z of a few is up to 1e-4 of it. Ties count against the dataset, so that p errs upwards.
"""
_DENOMINATOR = 10**12


@dataclass(frozen=True)
class JointStatistics:
    """How far each set lies out, by one statistic over all traits; the dataset is set 0."""

    largest: Vector
    """(..., sets) the largest z of each set."""

    z: Vector
    """(..., sets, traits) robust z-scores."""


def joint_statistics(moved: ArrayLike, *, two_sided: bool = False) -> JointStatistics:
    """
    The largest robust z over the traits of each set, all sets treated alike, so that their ranks stay exchangeable.

    m_t is the median over all sets, MAD_t the scaled median of |x_t - m_t|, s_t = sqrt(MAD_t^2 / 2 + mean(MAD^2) / 2),
    z_t = (x_t - m_t) / s_t. The half that all traits share keeps a trait in which references happen to lie close from
    ruling the maximum. Where every MAD is 0 (more than half of the sets are equal in every trait) the mean absolute
    deviation takes its place; where that is 0 too, all sets are equal, and every z is 0. A single trait has s = MAD.

    Args:
        moved: (..., sets, traits) change of each set's margins, in logits; the dataset is set 0.
        two_sided: The largest |z| instead: for traits that may be moved either way.

    Raises:
        ValueError: not (..., sets, traits), empty, or not finite.

    >>> joint_statistics([[9.0], [1.0], [2.0], [3.0], [4.0]]).largest.round(3).tolist()
    [4.047, -1.349, -0.674, 0.0, 0.674]
    """
    readings = _readings(moved, "moved", "(..., sets, traits)")
    deviations = readings - np.median(readings, axis=-2, keepdims=True)
    scale = MAD_OF_NORMAL * np.median(np.abs(deviations), axis=-2, keepdims=True)
    mean = DEVIATION_OF_NORMAL * np.abs(deviations).mean(axis=-2, keepdims=True)
    scale = np.where(scale.any(axis=-1, keepdims=True), scale, mean)
    # Sorted, so that the order of traits does not decide a tie by rounding.
    common = np.sort(scale**2, axis=-1).mean(axis=-1, keepdims=True)
    spread = np.sqrt(scale**2 / 2 + common / 2)
    z = np.divide(deviations, spread, out=np.zeros_like(deviations), where=spread > 0)
    return JointStatistics((np.abs(z) if two_sided else z).max(axis=-1), z)


def rank_p(statistics: ArrayLike) -> float:
    """
    (1 + #{T_j >= T_0}) / (J + 1): exact where all J + 1 are exchangeable; ties count against the dataset, T_0.

    Source: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, section 2.2. Without references 1.

    Raises:
        ValueError: no statistic, or one that is not finite.

    >>> rank_p([3.0, 1.0, 2.0, 3.0])
    0.5
    """
    values = finite_vector(statistics, "statistics")
    return (1 + _reaching(values)) / values.size


def references_needed(subjects: int, alpha: float) -> int:
    """
    Fewest references by which each of `subjects` can reach a Holm-adjusted p <= alpha: ceil(subjects / alpha) - 1.

    Raises:
        ValueError: not a whole number of subjects of at least 1, or alpha outside (0, 1).

    >>> [references_needed(subjects, 0.05) for subjects in (1, 3, 65)]
    [19, 59, 1299]
    """
    return math.ceil(count(subjects, "subjects") / _exact(alpha)) - 1


def allowed_rank(references: int, alpha: float) -> int:
    """
    The largest k with k / (J + 1) <= alpha: p <= alpha is the same as T_0 above the k-th largest reference; 0 for never.

    Raises:
        ValueError: not a whole number of references of at least 1, or alpha outside (0, 1).

    >>> [allowed_rank(references, 0.05) for references in (18, 19, 59)]
    [0, 1, 3]
    """
    return math.floor(_exact(alpha) * (count(references, "references") + 1))


def guaranteed_level(references: int, alpha: float, confidence: float = 0.95) -> float:
    """
    The level of "p <= alpha" that one kept draw of J references does not exceed, with this confidence in the draw.

    Over draws of references and dataset together the level is alpha at most. References that are kept are one draw: a
    further benign dataset exceeds the k-th largest, k = floor(alpha (J + 1)), with a probability that over draws is
    Beta(k, J + 1 - k), mean k / (J + 1). Source: Vovk, Asian Conference on Machine Learning 2012. So
    J = 59 at alpha .05 (k = 3) guarantees .103, and it takes k = 1 (alpha = 1 / 60) to guarantee .05. The law is exact
    for a statistic that each set has by itself; with `joint_statistics`, to whose medians the dataset adds one value,
    4 to 6 % of 1,000 simulated draws lay above where 5 % should (J = 19 and 59). 0 where no p can be that small.

    Raises:
        ValueError: not a whole number of references of at least 1, or a probability outside (0, 1).

    >>> [round(guaranteed_level(59, alpha), 4) for alpha in (0.05, 1 / 60)]
    [0.1029, 0.0495]
    """
    rank = allowed_rank(references, alpha)
    return _level_of_draw(rank, references, fraction(confidence, "confidence"))


def hopeless(statistics: ArrayLike, planned: int, alpha: float, *, slack: int = SLACK) -> bool:
    """
    Whether to stop after the first n of J planned references and say p > alpha: k + slack reach the dataset already.

    The dataset stands out only if it is never stopped and the rank p over all J is at most alpha. That p is defined
    whether or not the rest is made, so P(stands out) <= P(p <= alpha) <= alpha, whatever the rule of stopping looks at,
    as long as J is fixed beforehand and nobody stops early to say that it stands out. For Holm a stopped dataset
    reports 1: P(reported <= u) <= P(p <= u) <= u for every u. Anything smaller, (1 + reached) / (n + 1) for one, has
    no such proof. Of several datasets each is stopped at the alpha of the whole family, with which Holm may end.

    k = floor(alpha (J + 1)) that reach the dataset would settle it if statistics stayed; but the joint scale of few
    references is unsteady, and who reaches the dataset at n may not at J. Simulated (16 dependent normal traits): at
    J = 19, where the whole design has a power of .47, .80 and .95, stopping without slack loses .34, .47 and .36 of
    it, slack 1 .16, .19 and .11, slack 2 .06, .06 and .02; a benign dataset takes 2, 5 and 7 references. At J = 59
    (power .61, .89, .99) slack 2 loses .05, .02 and .01 and takes 15. Source of stopping by counts: Besag & Clifford,
    Biometrika 78, 1991.

    Args:
        statistics: (n + 1,) of the dataset, at 0, and the references so far, by `joint_statistics` of just these.
        planned: J.
        alpha: Of one dataset, or of the family.
        slack: How many more than k must reach the dataset.

    Raises:
        ValueError: no statistic or one that is not finite, more references than planned, or alpha outside (0, 1).

    >>> hopeless([1.0, 2.0, 3.0, 0.0], 19, 0.05), hopeless([1.0, 2.0, 3.0, 4.0], 19, 0.05)
    (False, True)
    """
    values = finite_vector(statistics, "statistics")
    if values.size - 1 > count(planned, "planned"):
        raise ValueError(f"{values.size - 1} references are more than the {planned} planned")
    rank = allowed_rank(planned, alpha)
    return rank == 0 or _reaching(values) >= rank + count(slack, "slack", at_least=0)


def half_widths_by_rank(controls: ArrayLike, alpha: float) -> Vector:
    """
    (traits,) half-widths of intervals around x_0 - mean of the controls, which hold for all traits at once without a law.

    Each control is held against the others: T_j = max_t |x_jt - mean of the others| / (s_t' sqrt(1 + 1 / (J - 1))), where
    s_t'^2 is half of the others' variance of the trait and half of its mean over traits, as in `joint_statistics`. The
    half-widths are the k-th largest T_j times s_t sqrt(1 + 1 / J), k = floor(alpha (J + 1)): a benign run leaves one of
    its intervals where its T_0 exceeds that, which k / (J + 1) of exchangeable runs do. A control has J - 1 others where
    the run has J, so that T_j spreads a little more and the intervals are a little too wide. Source: the jackknife+ of
    Barber, Candes, Ramdas & Tibshirani, Annals of Statistics 49, 2021, with a maximum over traits.

    Args:
        controls: (J, traits) readings, in logits; independent draws.
        alpha: Of all traits together.

    Raises:
        ValueError: fewer than 3 controls or than the rank takes, not finite, or all alike.

    >>> half_widths_by_rank([[0.0], [1.0], [2.0], [3.0]], 0.2).round(3).tolist()
    [2.5]
    """
    readings = _readings(controls, "controls", "(controls, traits)")
    number = len(readings)
    rank = allowed_rank(number, alpha)
    if number < 3 or rank == 0:
        raise ValueError(f"{number} controls cannot give p <= {alpha:g} by rank")
    if not readings.var(axis=0).any():
        raise ValueError("the controls do not vary, so that no interval has a width")
    farthest = [
        (np.abs(own - others.mean(axis=0)) / _of_one_more(others)).max()
        for own, others in ((readings[i], np.delete(readings, i, axis=0)) for i in range(number))
    ]
    widths: Vector = np.sort(farthest)[-rank] * _of_one_more(readings)
    return widths


def _of_one_more(readings: Vector) -> Vector:
    """(traits,) by how much one more run deviates from the mean of these."""
    variance = readings.var(axis=0, ddof=1)
    widths: Vector = np.sqrt((variance + variance.mean()) / 2 * (1 + 1 / len(readings)))
    return widths


@dataclass(frozen=True)
class Effect:
    """How much more a dataset moves each trait than its references do, in logits; arrays hold one entry a trait."""

    estimate: Vector
    """Mean of the dataset's adapters minus the mean of the references."""

    low: Vector
    """Lower ends of the two-sided intervals."""

    high: Vector
    """Upper ends."""

    degrees: Vector
    """Degrees of freedom of each t quantile."""

    level: float
    """Confidence of each interval, or of all at once where they are simultaneous."""


def effect(
    dataset: ArrayLike,
    references: ArrayLike,
    level: float = 0.95,
    *,
    simultaneous: bool = False,
    prior_degrees: float = PRIOR_DEGREES,
) -> Effect:
    """
    D_t = mean of the dataset - mean of the references, with Student's t interval of each trait.

    Its variance is v_t / K + b_t / J: b_t is the variance of the J references' means (J - 1 degrees), v_t that of the
    dataset's adapters, which is no reference's: data that carry a trait scatter more. K - 1 degrees say little of it,
    so that v_t = (d0 c w_t + (K - 1) u_t) / (d0 + K - 1) borrows from all traits: u_t is the dataset's own variance,
    w_t that within references, c the mean of u_t / w_t. v_t has d0 + K - 1 degrees, but no more than all traits have
    together, (K - 1) T^2 / sum of r^2 over pairs of traits, r the correlation within references. The sum's degrees are
    Satterthwaite's (Biometrics Bulletin 2, 1946); the shape of v_t is Smyth's (2004, see `multiplicity`), with a fixed
    prior, for one dataset's log variances of 1 to 3 degrees do not tell d0.

    Simulated coverage at .95 (`bench/power/coverage.json`: 16 dependent traits, K = 2, 4, 8, J = 8, 19, 59, a dataset
    that scatters like references or up to three times as much): .95 to .97 on average over traits; all at once .965
    or more with K >= 4, .945 with K = 2. Not held: a single interval of the one trait that scatters more than the
    others, .87 to .91 with K = 4, .79 to .89 with K = 2. So traits that were picked by looking need `simultaneous`, in
    which their coverage is kept. Where all sets share the seeds of their adapters, intervals are too wide.

    Args:
        dataset: (K adapters, traits) readings, in logits; adapters independent of each other and of the references'.
        references: (J sets, adapters, traits) readings; one adapter each tells no scatter within them, and the scatter
            between them, which is larger, stands for it.
        level: Two-sided; each end alone is a one-sided limit of confidence (1 + level) / 2.
        simultaneous: All traits at once are covered with probability `level` (Bonferroni: at correlations of .5 the
            exact joint law would shorten the intervals by 2 %).
        prior_degrees: d0; 0 for each trait by itself, more where scatter is known to grow alike in all traits.

    Raises:
        ValueError: shapes do not fit, a reading is not finite, sets or adapters are fewer than 2, or a trait varies
            neither between the dataset's adapters nor between references.

    >>> found = effect([[1.0], [3.0]], [[[0.0], [0.0]], [[0.0], [2.0]]])
    >>> found.estimate.tolist(), found.degrees.round(3).tolist(), found.high.round(3).tolist()
    ([1.5], [1.471], [8.419])
    """
    runs = _readings(dataset, "dataset", "(adapters, traits)")
    others = _readings(references, "references", "(sets, adapters, traits)")
    _refuse_shapes(runs, others)
    adapters, means = len(runs), others.mean(axis=1)
    variance, degrees = _scatter(
        runs, others, positive(prior_degrees, "prior_degrees", or_zero=True)
    )
    first, second = variance / adapters, means.var(axis=0, ddof=1) / len(means)
    total = first + second
    if not total.all():
        raise ValueError(f"trait {int(np.argmin(total))} does not vary, so that it has no interval")
    degrees = total**2 / (first**2 / degrees + second**2 / (len(means) - 1))
    tail = (1 - fraction(level, "level")) / 2 / (runs.shape[1] if simultaneous else 1)
    half = special.stdtrit(degrees, 1 - tail) * np.sqrt(total)
    estimate = runs.mean(axis=0) - means.mean(axis=0)
    return Effect(estimate, estimate - half, estimate + half, degrees, level)


def _scatter(runs: Vector, others: Vector, prior: float) -> tuple[Vector, Vector]:
    """Variance of one adapter of the dataset and its degrees of freedom, (traits,) both."""
    degrees = len(runs) - 1
    variances = runs.var(axis=0, ddof=1)
    # One adapter a reference does not tell their scatter from that between references, which is the larger: an upper bound.
    single = others.shape[1] == 1
    within = others[:, 0].var(axis=0, ddof=1) if single else others.var(axis=1, ddof=1).mean(axis=0)
    varied = within > 0
    if not varied.any():
        return variances, np.full(variances.size, float(degrees))
    growth = float((variances[varied] / within[varied]).mean())
    shrunken = (prior * growth * within + degrees * variances) / (prior + degrees)
    most = degrees * _independent_traits(others[..., varied])
    # A trait in which no reference varies has nothing to be shrunken to.
    return (
        np.where(varied, shrunken, variances),
        np.where(varied, min(prior + degrees, most), degrees),
    )


def _independent_traits(references: Vector) -> float:
    """T^2 over the sum of squared correlations within references, each less what chance adds to it."""
    if references.shape[1] == 1:
        references = references.swapaxes(0, 1)
    sets, adapters, traits = references.shape
    residuals = (references - references.mean(axis=1, keepdims=True)).reshape(-1, traits)
    unit = residuals / np.sqrt((residuals**2).sum(axis=0))
    degrees = sets * (adapters - 1)
    squares = np.clip(((unit.T @ unit) ** 2 * degrees - 1) / max(1, degrees - 1), 0, 1)
    np.fill_diagonal(squares, 1.0)
    return float(traits**2 / squares.sum())


def _refuse_shapes(runs: Vector, others: Vector) -> None:
    if runs.shape[1] != others.shape[2]:
        raise ValueError(
            f"dataset and references hold {runs.shape[1]} and {others.shape[2]} traits"
        )
    if min(len(runs), len(others)) < 2:
        raise ValueError(
            f"an effect needs 2 adapters and 2 references, got {len(runs)} adapters, {len(others)} references"
        )


def _readings(values: ArrayLike, name: str, axes: str) -> Vector:
    array = finite_array(values, name)
    ranks = axes.count(",") + 1
    fits = array.ndim == ranks or (axes.startswith("(...") and array.ndim >= ranks - 1)
    if not fits or not array.size:
        raise ValueError(f"{name} must be {axes} and not empty, got shape {array.shape}")
    return array


def _reaching(statistics: Vector) -> int:
    bar = statistics[0] - _TIE * abs(statistics[0])
    return int(np.count_nonzero(statistics[1:] >= bar))


def _exact(alpha: float) -> Fraction:
    # .05 is meant as 1 / 20, and .1 / 3 as 1 / 30; as binary fractions both are a little off.
    binary = Fraction(fraction(alpha, "alpha"))
    return binary.limit_denominator(_DENOMINATOR) or binary


def _level_of_draw(rank: int, references: int, confidence: float) -> float:
    if rank == 0:
        return 0.0
    return 1.0 if rank > references else beta_quantile(confidence, rank, references + 1 - rank)
