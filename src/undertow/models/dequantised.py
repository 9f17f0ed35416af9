"""
Weights that were stored in few bits, as the numbers they stand for.

Formats: int8 with a scale a row (bitsandbytes `SCB`, compressed-tensors `weight_scale`), float8 with a scale
(`weight_scale`, `weight_scale_inv` by blocks), and bitsandbytes' 4 bits with a table of values (`quant_map`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from undertow.errors import ModelError

Read = Callable[[str], torch.Tensor | None]

_SUFFIXES = (
    ".SCB",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_format",
    ".weight.absmax",
    ".weight.quant_map",
    ".weight.nested_absmax",
    ".weight.nested_quant_map",
)
_STATE = ".quant_state.bitsandbytes__"
_UNREAD = (".qweight", ".qzeros", ".scales", ".g_idx")
"""Of GPTQ and AWQ: packed in ways that differ by version."""


def is_companion(name: str, names: Collection[str]) -> bool:
    """Whether a tensor only says how another one is to be read."""
    if name.endswith(_UNREAD) or _STATE in name:
        return True
    return any(
        name.endswith(suffix) and name.removesuffix(suffix) + ".weight" in names
        for suffix in _SUFFIXES
    )


def quantised_shape(
    name: str, shape: tuple[int, ...], files: Mapping[str, Path]
) -> tuple[int, ...]:
    """The shape of a weight after it was dequantised: packed ones keep theirs in a companion."""
    state = _state_name(name, files)
    if state is None:
        return shape
    with safe_open(files[state], framework="pt") as file:
        return tuple(_state(file.get_tensor(state))["shape"])


def dequantised(name: str, read: Read, shape: tuple[int, ...]) -> torch.Tensor:
    """
    The weight in float32.

    Raises:
        ModelError: it is stored in a way that is not known.
    """
    raw = read(name)
    assert raw is not None
    stem = name.removesuffix(".weight")
    if raw.dtype == torch.uint8:
        return _four_bits(name, raw, read, shape)
    if raw.dtype == torch.int8:
        rows = read(f"{stem}.SCB")
        if rows is not None:
            return raw.float() * (rows.float() / 127).unsqueeze(1)
    scale = read(f"{stem}.weight_scale")
    inverse = read(f"{stem}.weight_scale_inv")
    if scale is not None:
        return raw.float() * (scale.float() if scale.dim() != 1 else scale.float().unsqueeze(1))
    if inverse is not None:
        return raw.float() * _by_blocks(inverse.float(), shape)
    if not raw.dtype.is_floating_point:
        raise ModelError(
            f"tensor '{name}' is stored as {raw.dtype} without a scale that is known",
            hint="save the model in bfloat16",
        )
    return raw.float()


def _by_blocks(scales: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    sides = [-(-whole // blocks) for whole, blocks in zip(shape, scales.shape, strict=True)]
    wide = scales.repeat_interleave(sides[0], 0).repeat_interleave(sides[1], 1)
    return wide[: shape[0], : shape[1]]


def _four_bits(name: str, raw: torch.Tensor, read: Read, shape: tuple[int, ...]) -> torch.Tensor:
    kinds = [kind for kind in ("nf4", "fp4") if read(f"{name}{_STATE}{kind}") is not None]
    table, scales = read(f"{name}.quant_map"), read(f"{name}.absmax")
    state = read(f"{name}{_STATE}{kinds[0]}") if kinds else None
    if table is None or scales is None or state is None:
        raise ModelError(
            f"tensor '{name}' is packed in a way that is not known",
            hint="save the model in bfloat16",
        )
    said = _state(state)
    nested, inner = read(f"{name}.nested_quant_map"), read(f"{name}.nested_absmax")
    if nested is not None and inner is not None:
        size = int(said["nested_blocksize"])
        blocks = inner.float().repeat_interleave(size)[: scales.numel()]
        scales = nested.float()[scales.long()] * blocks + float(said["nested_offset"])
    packed = raw.flatten()
    codes = torch.stack([packed >> 4, packed & 15], 1).flatten().long()[: prod(shape)]
    sizes = scales.float().flatten().repeat_interleave(int(said["blocksize"]))[: codes.numel()]
    return (table.float()[codes] * sizes).view(shape)


def _state_name(name: str, files: Mapping[str, Path]) -> str | None:
    return next(
        (f"{name}{_STATE}{k}" for k in ("nf4", "fp4") if f"{name}{_STATE}{k}" in files), None
    )


def _state(stored: torch.Tensor) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(stored.tolist()))
    return found
