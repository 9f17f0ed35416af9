"""Layers of two models held against each other: which with which, and by which statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.checks.lineage.hidden_units import Layer, Units, matrices, together
from undertow.data.streams import generator
from undertow.stats.unit_alignment import Aligned, gram_alignment, nearest, trace_alignment

if TYPE_CHECKING:
    from undertow.checks.lineage.pair import Pair
    from undertow.models.checkpoint import Checkpoint

_HUNGARIAN = 2_048
"""Most units for which the published statistics are computed: the assignment takes cubic time."""
MOST_UNITS = 1_024
"""Units of a layer that are compared: any part of them is as exchangeable as all, and more leave little to gain."""
_GLIMPSE = 512
"""Units by which layers of networks of different depths are matched."""


@dataclass(frozen=True)
class Compared:
    """One layer of each model."""

    layers: tuple[int, int]
    """Numbers of the student's and of the teacher's layer."""
    aligned: Aligned
    rotated: Aligned
    agreeing: int
    """Units that the first inward and the last matrix match to the same unit of the other model, when each is free."""
    units: int
    tried: int
    """Layers of the other model among which this one was chosen."""
    csw: float | None
    """The published CSW statistic: Spearman's correlation of the best assignment with the identity; None if not computed."""
    match: float | None
    """The published MATCH statistic: that of the assignments by two matrices."""


def compared(subject: Pair, mine: Sequence[Layer], others: Sequence[Layer]) -> Iterator[Compared]:
    """Each pair of layers in turn, read one tensor at a time."""
    ours, theirs = subject.student.checkpoint, subject.teacher.checkpoint
    for (one, other), tried in _matched(ours, theirs, mine, others):
        rng = generator(subject.seed, "units", one.number, other.number)
        chosen = np.sort(rng.permutation(one.width)[:MOST_UNITS])
        yield _compare(ours, theirs, one, other, chosen, tried)


def _matched(
    ours: Checkpoint, theirs: Checkpoint, mine: Sequence[Layer], others: Sequence[Layer]
) -> list[tuple[tuple[Layer, Layer], int]]:
    """
    Layers to compare, and among how many each was chosen: by number, or by a glimpse where depths differ.
    """
    if len(mine) == len(others):
        return [(pair, 1) for pair in zip(mine, others, strict=True)]
    seen = [
        [
            together([part[:_GLIMPSE].copy() for part in matrices(checkpoint, layer)])
            for layer in found
        ]
        for checkpoint, found in ((ours, mine), (theirs, others))
    ]
    z = np.zeros((len(mine), len(others)))
    for i, j in product(range(len(mine)), range(len(others))):
        z[i, j] = trace_alignment(seen[0][i], seen[1][j]).z
    if len(mine) < len(others):
        return [((one, others[int(z[i].argmax())]), len(others)) for i, one in enumerate(mine)]
    return [((mine[int(z[:, j].argmax())], other), len(mine)) for j, other in enumerate(others)]


def _compare(
    ours: Checkpoint,
    theirs: Checkpoint,
    one: Layer,
    other: Layer,
    chosen: NDArray[np.int64],
    tried: int,
) -> Compared:
    parts: tuple[list[Units], list[Units]] = ([], [])
    views: list[NDArray[np.int64]] = []
    small = one.width <= _HUNGARIAN
    assigned: list[NDArray[np.int64]] = []
    last = len(one.inward) + len(one.outward) - 1
    for place, (mine, its) in enumerate(
        zip(matrices(ours, one), matrices(theirs, other), strict=True)
    ):
        kept = mine[chosen]
        # The first inward matrix and the last one: two views of the same units.
        if place == 0 or place >= last:
            views.append(nearest(kept, its))
            if small:
                assigned.append(_assigned(mine, its))
        parts[0].append(kept)
        parts[1].append(its[chosen])
    a, b = together(parts[0]), together(parts[1])
    csw, match = _published(assigned)
    return Compared(
        (one.number, other.number),
        trace_alignment(a, b),
        gram_alignment(a, b),
        int((views[0] == views[-1]).sum()) if len(views) > 1 else 0,
        len(a),
        tried,
        csw,
        match,
    )


def _published(assigned: Sequence[NDArray[np.int64]]) -> tuple[float | None, float | None]:
    if not assigned:
        return None, None
    from scipy.stats import spearmanr

    csw = spearmanr(assigned[0], np.arange(len(assigned[0]))).statistic
    match = spearmanr(assigned[0], assigned[-1]).statistic if len(assigned) > 1 else None
    return float(csw), None if match is None else float(match)


def _assigned(ours: Units, theirs: Units) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    a, b = together([ours]), together([theirs])
    found: NDArray[np.int64] = linear_sum_assignment(a @ b.T, maximize=True)[1]
    return found
