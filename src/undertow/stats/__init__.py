"""Statistics over runs: exact tests with their intervals, power and multiplicity."""

from undertow.stats.designs import (
    pairs_in_words,
    smallest_p_matrix,
    smallest_p_rank_correlation,
    smallest_p_sign_flip,
    smallest_p_two_sample,
    supports,
)
from undertow.stats.exact_tests import (
    detectable_effect,
    diagonal_contrast,
    double_centre,
    matrix_permutation,
    sign_flip,
    two_sample_permutation,
)
from undertow.stats.interval import Interval, TestResult, clopper_pearson, mean_t, pooled_sd, wilson
from undertow.stats.linear_classifier import auroc
from undertow.stats.multiplicity import holm

__all__ = [
    "Interval",
    "TestResult",
    "auroc",
    "clopper_pearson",
    "detectable_effect",
    "diagonal_contrast",
    "double_centre",
    "holm",
    "matrix_permutation",
    "mean_t",
    "pairs_in_words",
    "pooled_sd",
    "sign_flip",
    "smallest_p_matrix",
    "smallest_p_rank_correlation",
    "smallest_p_sign_flip",
    "smallest_p_two_sample",
    "supports",
    "two_sample_permutation",
    "wilson",
]
