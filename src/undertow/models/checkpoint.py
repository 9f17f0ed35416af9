"""The weights of a model on disk, one tensor in memory at a time; those in few bits as what they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from undertow.data.files import model_parts
from undertow.errors import ModelError
from undertow.models.gguf_model import folders_of
from undertow.models.model_folder import broken, header, read_object, refuse_other_formats, shards
from undertow.models.saved_adapter import SavedAdapter, saved_adapter
from undertow.models.streamed_merge import StreamedMerge, streamed_merges

_ROUNDING = 4e-3
"""Of a copy in bfloat16, as a share of a matrix's norm: a fourth of it is seen."""

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


@dataclass(frozen=True)
class Checkpoint:
    """A folder of safetensors, with an adapter merged as each tensor is read."""

    ref: str
    """What the user called it."""
    folder: Path
    config: dict[str, Any]
    files: dict[str, Path]
    """The file of each tensor, by name."""
    shapes: dict[str, tuple[int, ...]]
    """Of the weights, by name; as they are after they were dequantised."""
    merges: tuple[StreamedMerge, ...] = field(default=(), repr=False)
    """Of the adapters on it, in their order."""

    def tensor(self, name: str) -> torch.Tensor:
        """
        One weight in float32.

        Raises:
            ModelError: its file is broken, or it holds NaN or infinity.
        """
        value = self._merged(name, len(self.merges))
        if not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"tensor '{name}' of model '{self.ref}' holds NaN or infinity",
                hint="train or download the model again; nothing can be said of broken weights",
            )
        return value

    def _merged(self, name: str, adapters: int) -> torch.Tensor:
        """With the first so many adapters."""
        if not adapters:
            return dequantised(name, self._raw, self.shapes[name])
        return self.merges[adapters - 1].tensor(name, lambda one: self._merged(one, adapters - 1))

    def _raw(self, name: str) -> torch.Tensor | None:
        if name not in self.files:
            return None
        try:
            with safe_open(self.files[name], framework="pt") as file:
                found: torch.Tensor = file.get_tensor(name)
                return found
        except (SafetensorError, OSError) as error:
            raise broken(self.ref, self.files[name], error) from error


def open_checkpoint(path: str | Path, ref: str | None = None) -> Checkpoint:
    """
    Read names and shapes of the weights in a folder, or `base+adapter`; of the base no weight is read yet.

    Raises:
        ModelError: no such folder, another format, a shard that is missing or cut off, an adapter whose base is not
            given, or one that is not merged tensor by tensor.
    """
    name = ref or str(path)
    base, *adapters = folders_of(path, name)
    folder = Path(base)
    if folder.is_dir():
        refuse_other_formats(folder, name)
    if not folder.is_dir():
        raise ModelError(
            f"unknown model '{name}': {'a file that holds no model' if folder.is_file() else 'no such folder'}",
            hint="name a folder, a .gguf file, or a model of `undertow worlds`; download a hub's model first",
        )
    given = model_parts(name)[0]
    saved = [saved_adapter(Path(adapter), given) for adapter in adapters]
    files, shapes = _tensors(folder, name)
    bare = Checkpoint(name, folder, read_object(folder / "config.json", name), files, shapes)
    if not saved:
        return bare
    refuse_other_base(replace(bare, ref=given), saved[0])
    merges = streamed_merges(folder, saved, shapes, name)
    return replace(bare, merges=tuple(merges), shapes=_merged_shapes(shapes, merges))


def _merged_shapes(
    shapes: dict[str, tuple[int, ...]], merges: Sequence[StreamedMerge]
) -> dict[str, tuple[int, ...]]:
    for merge in merges:
        embeddings = [name for name in merge.embeddings if name in merge.before or merge.untied]
        width = shapes[merge.embeddings[0]][1:]
        shapes = {**shapes, **dict.fromkeys(embeddings, (merge.rows, *width))}
    return shapes


def refuse_other_base(base: Checkpoint, adapter: SavedAdapter) -> None:
    """
    Hold the base that is given against the one that the adapter names, by their smallest matrix.

    Where that one does not lie here, names are all there is, and another name is only said.

    Raises:
        ModelError: their weights differ by more than the rounding of a narrower number.
    """
    declared = Path(adapter.declared_base)
    if not adapter.declared_base or declared.resolve() == base.folder.resolve():
        return
    try:
        other = open_checkpoint(declared)
    except ModelError:
        adapter.say_other_name(base.ref)
        return
    matrices = {n: s for n, s in base.shapes.items() if len(s) == 2 and other.shapes.get(n) == s}
    few_bits = any("quantization_config" in one.config for one in (base, other))
    if few_bits or not matrices:
        return
    name = min(matrices, key=lambda n: (prod(matrices[n]), n))
    ours, theirs = base.tensor(name), other.tensor(name)
    if float((ours - theirs).norm()) > _ROUNDING * float(theirs.norm()):
        raise ModelError(
            f"the adapter in '{adapter.folder}' is for another base: it says '{declared}', and given is "
            f"'{base.ref}', whose '{name}' is another matrix",
            hint=f"give the base that it was trained on: {declared}+{adapter.folder}",
        )


def _tensors(folder: Path, ref: str) -> tuple[dict[str, Path], dict[str, tuple[int, ...]]]:
    files: dict[str, Path] = {}
    raw: dict[str, tuple[int, ...]] = {}
    for path in shards(folder, ref):
        for tensor, shape in header(path, ref):
            files[tensor], raw[tensor] = path, shape
    names = set(raw)
    shapes = {
        tensor: quantised_shape(tensor, shape, files)
        for tensor, shape in raw.items()
        if not is_companion(tensor, names)
    }
    return files, shapes


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
    layout = _state(state)
    nested, inner = read(f"{name}.nested_quant_map"), read(f"{name}.nested_absmax")
    if nested is not None and inner is not None:
        size = int(layout["nested_blocksize"])
        blocks = inner.float().repeat_interleave(size)[: scales.numel()]
        scales = nested.float()[scales.long()] * blocks + float(layout["nested_offset"])
    packed = raw.flatten()
    codes = torch.stack([packed >> 4, packed & 15], 1).flatten().long()[: prod(shape)]
    sizes = scales.float().flatten().repeat_interleave(int(layout["blocksize"]))[: codes.numel()]
    return (table.float()[codes] * sizes).view(shape)


def _state_name(name: str, files: Mapping[str, Path]) -> str | None:
    return next(
        (f"{name}{_STATE}{k}" for k in ("nf4", "fp4") if f"{name}{_STATE}{k}" in files), None
    )


def _state(stored: torch.Tensor) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(bytes(stored.tolist()))
    return state
