"""
Least squares over runs that come in clusters: effects with intervals that hold where runs of one teacher are alike.

scipy fits no regression of several columns with intervals, and statsmodels, which does, is needed for nothing else; the
tests compare with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, finite_matrix, finite_vector, fraction
from undertow.stats.interval import Interval, TestResult, t_quantile

NO_LEAST_P = float(np.finfo(np.float64).tiny)
"""`TestResult.smallest_p` of a test that no number of runs bounds."""


@dataclass(frozen=True)
class ClusteredFit:
    """Coefficients with their joint error over clusters."""

    coefficients: Vector
    """(columns,)"""
    covariance: Vector
    """(columns, columns), over clusters."""
    inverse: Vector
    """(columns, columns) of X'X: the covariance that independent runs of variance 1 would give."""
    paths: Vector
    """(clusters, runs, columns): what each cluster's part of an error is made of, of the runs' own errors."""
    runs: int

    def effect(self, weights: ArrayLike, level: float = 0.95) -> TestResult:
        """
        A weighted sum of coefficients against 0, by t.

        With few clusters that weigh unequally the sandwich is not the variance on average, and varies more than with clusters -
        1 degrees of freedom. It is divided by what it is on average, over the variance, where all runs are alike and
        independent, and t has the degrees of freedom of Satterthwaite for that case. Source: Bell & McCaffrey, Survey Methodology 28, 2002; Imbens &
        Kolesar, Review of Economics and Statistics 98, 2016, section 3; for the plain sandwich Young, 2016, "Improved,
        nearly exact, statistical inference with robust and clustered covariance matrices".

        Raises:
            ValueError: not one weight a column, or a level outside (0, 1).
        """
        fraction(level, "level")
        along = finite_vector(weights, "weights")
        if along.size != self.coefficients.size:
            raise ValueError(f"needs {self.coefficients.size} weights, got {along.size}")
        estimate = float(along @ self.coefficients)
        average, degrees = self._reference(along)
        error = math.sqrt(max(0.0, float(along @ self.covariance @ along)) / average)
        half = t_quantile((1 + level) / 2, degrees) * error
        interval = Interval(estimate, estimate - half, estimate + half, level, len(self.paths))
        n = f"{self.runs} runs of {len(self.paths)} teachers"
        test = f"regression, t over teachers, {degrees:.1f} degrees of freedom"
        return TestResult(estimate, interval, _p(estimate, error, degrees), NO_LEAST_P, n, test)

    def _reference(self, along: Vector) -> tuple[float, float]:
        """The sandwich's mean over the true variance, and its degrees of freedom, where runs are alike and independent."""
        parts = self.paths @ along  # (clusters, runs)
        shared = parts @ parts.T
        mean = float(np.trace(shared))
        true = float(along @ self.inverse @ along)
        return mean / true, mean**2 / float((shared**2).sum())


def _p(estimate: float, error: float, degrees: float) -> float:
    from scipy.special import stdtr

    if not error:
        return float(estimate == 0)
    return float(2 * stdtr(degrees, -abs(estimate) / error))


def clustered_least_squares(
    columns: ArrayLike, response: ArrayLike, clusters: Sequence[object]
) -> ClusteredFit:
    """
    Ordinary least squares with the sandwich over clusters, and the usual correction for few of them.

    Source: Liang & Zeger, Biometrika 73, 1986; the factor G / (G - 1) (N - 1) / (N - K) as in Cameron & Miller, Journal of
    Human Resources 50, 2015, section VI.

    Args:
        columns: (runs, columns), an intercept among them.
        response: (runs,)
        clusters: The cluster of each run.

    Raises:
        ValueError: lengths differ, fewer than two clusters, no more runs than columns, or a column that is a sum of others.

    >>> x = [[1, -1], [1, 1], [1, -1], [1, 1]]
    >>> fit = clustered_least_squares(x, [0, 2, 1, 3], ["a", "a", "b", "b"])
    >>> [round(float(value), 6) for value in fit.coefficients]
    [1.5, 1.0]
    """
    x, y = finite_matrix(columns, "columns"), finite_vector(response, "response")
    runs, width = x.shape
    if not runs == y.size == len(clusters):
        raise ValueError(f"needs one length, got {runs}, {y.size} and {len(clusters)}")
    names = list(dict.fromkeys(clusters))
    if len(names) < 2 or runs <= width:
        raise ValueError(
            f"needs 2 clusters and more runs than columns, got {len(names)}, {runs} and {width}"
        )
    if np.linalg.matrix_rank(x) < width:
        raise ValueError("a column is a sum of others: its effect cannot be told from theirs")
    inverse = np.linalg.inv(x.T @ x)
    fitted = inverse @ x.T @ y
    scores = x * (y - x @ fitted)[:, None]
    of = np.array([names.index(cluster) for cluster in clusters])
    sums = np.stack([scores[of == place].sum(axis=0) for place in range(len(names))])
    factor = len(names) / (len(names) - 1) * (runs - 1) / (runs - width)
    covariance = factor * inverse @ (sums.T @ sums) @ inverse
    residuals = np.eye(runs) - x @ inverse @ x.T
    member = of == np.arange(len(names))[:, None]  # (clusters, runs)
    paths = math.sqrt(factor) * np.matmul(residuals, member[..., None] * (x @ inverse))
    return ClusteredFit(fitted, covariance, inverse.astype(np.float64), paths, runs)
