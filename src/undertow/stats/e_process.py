"""E-processes: evidence against a null that may be looked at after every row, and stopped whenever it suffices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, finite_vector, fraction


@dataclass
class EProcess:
    """
    The running e-value of a mixture of alternatives over the likeliest member of a null, fed row by row or in chunks.

    log E_n = logsumexp_k(log w_k + sum_i alternative_ik) - max_m sum_i null_im, the sums over the first n rows. Where an
    alternative's value for a row depends on earlier rows only, P(sup_n E_n >= 1 / alpha) <= alpha under every member of
    the null. Source: universal inference (Wasserman, Ramdas & Balakrishnan 2020, PNAS 117) with Ville's inequality.

    >>> process = EProcess((0.5, 0.5))
    >>> process.update([[0.0, -1.0], [0.0, -1.0]], [[-1.0], [-1.0]]).round(3).tolist()
    [0.62, 1.434]
    >>> process.log_e == process.log_maximum, process.rows
    (True, 2)
    """

    weights: Sequence[float]
    """Of the alternatives, positive; scaled to sum to 1."""

    rows: int = field(default=0, init=False)
    """Rows seen."""

    log_e: float = field(default=0.0, init=False)
    """Log of the e-value after the last row, in nats."""

    log_maximum: float = field(default=0.0, init=False)
    """Its largest value so far, that before the first row (0) included."""

    _path: list[Vector] = field(default_factory=list, init=False, repr=False)
    _alternatives: Vector = field(init=False, repr=False)
    _nulls: Vector | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        weights = finite_vector(self.weights, "weights")
        if weights.min() <= 0:
            raise ValueError(f"weights must be positive, got {weights.min()}")
        self._alternatives = np.log(weights / weights.sum())

    def update(self, alternatives: ArrayLike, nulls: ArrayLike) -> Vector:
        """
        Take further rows in; returns log E after each of them, shape (rows,), in nats.

        Args:
            alternatives: Log-likelihoods, shape (rows, alternatives); -inf where one rules the row out.
            nulls: Log-likelihoods, shape (rows, members of the null); the same members in every chunk.

        Raises:
            ValueError: shapes do not fit, a value is NaN or +inf, or every member of the null rules the rows out.
        """
        ours = _log_likelihoods(alternatives, "alternatives", self._alternatives.size)
        theirs = _log_likelihoods(nulls, "nulls", None if self._nulls is None else self._nulls.size)
        if len(ours) != len(theirs):
            raise ValueError(f"{len(ours)} rows of alternatives but {len(theirs)} rows of nulls")
        if not len(ours):
            return np.empty(0)
        start = np.zeros(theirs.shape[1]) if self._nulls is None else self._nulls
        above = self._alternatives + ours.cumsum(0)
        below = start + theirs.cumsum(0)
        best = below.max(1)
        if np.isneginf(best[-1]):
            raise ValueError("every member of the null rules the rows out: the ratio is infinite")
        path: Vector = np.logaddexp.reduce(above, axis=1) - best
        self._alternatives, self._nulls = above[-1], below[-1]
        self.rows += len(path)
        self.log_e = float(path[-1])
        self.log_maximum = max(self.log_maximum, float(path.max()))
        self._path.append(path)
        return path

    def crossed_at(self, alpha: float) -> int | None:
        """Number of rows after which E was 1 / alpha or more for the first time; None if it never was."""
        threshold = -math.log(fraction(alpha, "alpha"))
        above = np.flatnonzero(np.concatenate([np.empty(0), *self._path]) >= threshold)
        return int(above[0]) + 1 if above.size else None


def _log_likelihoods(values: ArrayLike, name: str, columns: int | None) -> Vector:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.shape[1] or columns not in (None, matrix.shape[1]):
        wanted = "several" if columns is None else columns
        raise ValueError(f"{name} must have shape (rows, {wanted}), got {matrix.shape}")
    if np.isnan(matrix).any() or np.isposinf(matrix).any():
        raise ValueError(f"{name} must be finite or -inf")
    return matrix
