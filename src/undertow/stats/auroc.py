"""The area under the ROC curve: how often a positive scores above a negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from undertow.stats.arguments import finite_vector


def auroc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """
    Probability that a random positive scores above a random negative, ties counted half; 0.5 is chance.

    The Mann-Whitney statistic over the number of pairs. Source: Hanley & McNeil 1982, Radiology 143.

    >>> auroc([2, 3], [1, 2])
    0.875
    """
    high, low = finite_vector(positives, "positives"), finite_vector(negatives, "negatives")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    pairs = len(high) * len(low)
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / pairs)
