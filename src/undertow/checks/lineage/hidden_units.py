"""The hidden units of a network's feed-forward layers, and the layers of two networks held against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.data.seeds import generator
from undertow.stats.unit_alignment import Aligned, gram_alignment, nearest, trace_alignment

if TYPE_CHECKING:
    from undertow.models.checkpoint import Checkpoint


Units = NDArray[np.float32]
_LAYER = re.compile(r"\.(?:layers|h|blocks|layer|block)\.(\d+)\.")
_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size")
_FUSED = re.compile(r"gate_up_proj|up_gate_proj")
_EXPERT = re.compile(r"experts?\.")
_NO_UNITS = re.compile(r"attn|attention|router|gate\.weight$|embed|lm_head|norm")
_HUNGARIAN = 2_048
"""Most units for which the published statistics are computed: the assignment takes cubic time."""

MOST_UNITS = 1_024
"""Units of a layer that are compared: any part of them is as exchangeable as all, and more leave little to gain."""

_GLIMPSE = 512
"""Units by which layers of networks of different depths are matched."""


@dataclass(frozen=True)
class FeedForward:
    """The matrices of one layer that have a side of hidden units."""

    number: int
    inward: tuple[str, ...]
    """Names of those whose rows are what goes into a unit (`gate_proj`, `up_proj`, `c_fc`, `dense_h_to_4h`)."""
    outward: tuple[str, ...]
    """Names of those whose columns are what comes out of it (`down_proj`, `c_proj`, `dense_4h_to_h`)."""
    width: int
    """Hidden units."""


def layers_of(checkpoint: Checkpoint) -> list[FeedForward]:
    """
    Every layer with at least one such matrix, in order. Experts are left out: a router has no fixed order of them.

    Embeddings and heads are no evidence of a common start: their rows are words, which have an order of their own.
    """
    width = _width(checkpoint)
    hidden = int(checkpoint.config.get("hidden_size") or checkpoint.config.get("n_embd") or 0)
    by_number: dict[int, tuple[list[str], list[str]]] = {}
    for name in sorted(checkpoint.shapes):
        shape, place = checkpoint.shapes[name], _LAYER.search("." + name)
        if place is None or len(shape) != 2 or width == hidden:
            continue
        if _NO_UNITS.search(name) or _EXPERT.search(name):
            continue
        fused = bool(_FUSED.search(name)) and shape[0] == 2 * width
        if not fused and width not in shape:
            continue
        inward, outward = by_number.setdefault(int(place[1]), ([], []))
        (outward if _is_outward(name, shape, width) else inward).append(name)
    return [
        FeedForward(number, tuple(inward), tuple(outward), width)
        for number, (inward, outward) in sorted(by_number.items())
    ]


def _width(checkpoint: Checkpoint) -> int:
    config = checkpoint.config
    for key in _WIDTHS:
        if isinstance(config.get(key), int):
            return int(config[key])
    return 4 * int(config.get("hidden_size") or config.get("n_embd") or 0)


def _is_outward(name: str, shape: tuple[int, ...], width: int) -> bool:
    # GPT-2 keeps its matrices the other way round; its names tell which is which.
    if re.search(r"down|c_proj|4h_to_h|fc2|fc_out|wo\b|w2\b", name):
        return True
    return shape[1] == width and not re.search(r"up|gate|c_fc|h_to_4h|fc1|fc_in|w1\b|w3\b", name)


def matrices(checkpoint: Checkpoint, layer: FeedForward) -> Iterator[Units]:
    """The layer's matrices, inward ones first, each as (units, hidden) float32; one tensor is read at a time."""
    for name in (*layer.inward, *layer.outward):
        values: Units = checkpoint.tensor(name).numpy()
        if values.shape[0] == 2 * layer.width and _FUSED.search(name):
            yield values[: layer.width]
            yield values[layer.width :]
        else:
            yield values if values.shape[0] == layer.width else np.ascontiguousarray(values.T)


def together(parts: Sequence[Units]) -> Units:
    """(units, features) of several matrices, each of whose rows has length 1, so that all count alike."""
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    scaled = [p / np.where(n > 0, n, 1) for p, n in zip(parts, lengths, strict=True)]
    return np.concatenate(scaled, axis=1, dtype=np.float32)


@dataclass(frozen=True)
class ComparedLayers:
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


def compared(
    subject: LineageSubject, mine: Sequence[FeedForward], others: Sequence[FeedForward]
) -> Iterator[ComparedLayers]:
    """Each pair of layers in turn, read one tensor at a time."""
    ours, theirs = subject.student.checkpoint, subject.teacher.checkpoint
    for (first, second), tried in _matched(ours, theirs, mine, others):
        rng = generator(subject.seed, "units", first.number, second.number)
        chosen = np.sort(rng.permutation(first.width)[:MOST_UNITS])
        yield _compare(ours, theirs, first, second, chosen, tried)


def _matched(
    ours: Checkpoint, theirs: Checkpoint, mine: Sequence[FeedForward], others: Sequence[FeedForward]
) -> list[tuple[tuple[FeedForward, FeedForward], int]]:
    """Layers to compare, and among how many each was chosen: by number, or by a glimpse where depths differ."""
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
    first: FeedForward,
    second: FeedForward,
    chosen: NDArray[np.int64],
    tried: int,
) -> ComparedLayers:
    parts: tuple[list[Units], list[Units]] = ([], [])
    views: list[NDArray[np.int64]] = []
    small = first.width <= _HUNGARIAN
    assigned: list[NDArray[np.int64]] = []
    last = len(first.inward) + len(first.outward) - 1
    for place, (mine, its) in enumerate(
        zip(matrices(ours, first), matrices(theirs, second), strict=True)
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
    return ComparedLayers(
        (first.number, second.number),
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
