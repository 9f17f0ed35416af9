"""Statistics over runs: exact tests with their intervals, equivalence, power and multiplicity."""

from undertow.stats.auroc import auroc
from undertow.stats.clustered import clustered_share
from undertow.stats.correlation import rank_correlation
from undertow.stats.designs import (
    smallest_p_matrix,
    smallest_p_rank_correlation,
    smallest_p_sign_flip,
    smallest_p_two_sample,
    supports,
)
from undertow.stats.equivalence import (
    Equivalence,
    equivalence,
    sign_flip_equivalence,
    two_sample_equivalence,
)
from undertow.stats.interval import Interval
from undertow.stats.matrices import diagonal_contrast, double_centre, matrix_permutation
from undertow.stats.means import mean_t, pooled_sd, ratio_of_means
from undertow.stats.multiplicity import benjamini_hochberg, holm
from undertow.stats.permutation import two_sample_permutation
from undertow.stats.power import detectable_effect
from undertow.stats.proportions import clopper_pearson, wilson
from undertow.stats.result import TestResult
from undertow.stats.sign_flip import sign_flip

__all__ = [
    "Equivalence",
    "Interval",
    "TestResult",
    "auroc",
    "benjamini_hochberg",
    "clopper_pearson",
    "clustered_share",
    "detectable_effect",
    "diagonal_contrast",
    "double_centre",
    "equivalence",
    "holm",
    "matrix_permutation",
    "mean_t",
    "pooled_sd",
    "rank_correlation",
    "ratio_of_means",
    "sign_flip",
    "sign_flip_equivalence",
    "smallest_p_matrix",
    "smallest_p_rank_correlation",
    "smallest_p_sign_flip",
    "smallest_p_two_sample",
    "supports",
    "two_sample_equivalence",
    "two_sample_permutation",
    "wilson",
]
