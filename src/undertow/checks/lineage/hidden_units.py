"""
The hidden units of a network's feed-forward layers: what goes into each and what comes out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from undertow.models.checkpoint import Checkpoint

Units = NDArray[np.float32]

_LAYER = re.compile(r"\.(?:layers|h|blocks|layer|block)\.(\d+)\.")
_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size")
_FUSED = re.compile(r"gate_up_proj|up_gate_proj")
_EXPERT = re.compile(r"experts?\.")
_NO_UNITS = re.compile(r"attn|attention|router|gate\.weight$|embed|lm_head|norm")


@dataclass(frozen=True)
class Layer:
    """The matrices of one layer that have a side of hidden units."""

    number: int
    inward: tuple[str, ...]
    """Names of those whose rows are what goes into a unit (`gate_proj`, `up_proj`, `c_fc`, `dense_h_to_4h`)."""
    outward: tuple[str, ...]
    """Names of those whose columns are what comes out of it (`down_proj`, `c_proj`, `dense_4h_to_h`)."""
    width: int
    """Hidden units."""


def layers_of(checkpoint: Checkpoint) -> list[Layer]:
    """
    Every layer with at least one such matrix, in order. Experts are left out: a router has no fixed order of them.

    Embeddings and heads are no evidence of a common start: their rows are words, which have an order of their own.
    """
    width = _width(checkpoint)
    hidden = int(checkpoint.config.get("hidden_size") or checkpoint.config.get("n_embd") or 0)
    found: dict[int, tuple[list[str], list[str]]] = {}
    for name in sorted(checkpoint.shapes):
        shape, place = checkpoint.shapes[name], _LAYER.search("." + name)
        if place is None or len(shape) != 2 or width == hidden:
            continue
        if _NO_UNITS.search(name) or _EXPERT.search(name):
            continue
        fused = bool(_FUSED.search(name)) and shape[0] == 2 * width
        if not fused and width not in shape:
            continue
        inward, outward = found.setdefault(int(place[1]), ([], []))
        (outward if _is_outward(name, shape, width) else inward).append(name)
    return [
        Layer(number, tuple(inward), tuple(outward), width)
        for number, (inward, outward) in sorted(found.items())
    ]


def matrices(checkpoint: Checkpoint, layer: Layer) -> Iterator[Units]:
    """
    The layer's matrices, inward ones first, each as (units, hidden) float32; one tensor is read at a time.
    """
    for name in (*layer.inward, *layer.outward):
        values: Units = checkpoint.tensor(name).numpy()
        if values.shape[0] == 2 * layer.width and _FUSED.search(name):
            yield values[: layer.width]
            yield values[layer.width :]
        else:
            yield values if values.shape[0] == layer.width else np.ascontiguousarray(values.T)


def together(parts: Sequence[Units]) -> Units:
    """
    (units, features) of several matrices, each of whose rows has length 1, so that all count alike.
    """
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    scaled = [p / np.where(n > 0, n, 1) for p, n in zip(parts, lengths, strict=True)]
    return np.concatenate(scaled, axis=1, dtype=np.float32)


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
