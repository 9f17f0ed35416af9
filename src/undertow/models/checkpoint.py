"""The weights of a model on disk, one tensor in memory at a time; those in few bits as what they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from undertow.errors import ModelError

INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_model.safetensors"

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
    adapter: Adapter | None = field(default=None, repr=False)

    def tensor(self, name: str) -> torch.Tensor:
        """
        One weight in float32.

        Raises:
            ModelError: its file is broken, or it holds NaN or infinity.
        """
        value = dequantised(name, self._raw, self.shapes[name])
        if self.adapter is not None:
            self.adapter.add_to(name, value)
        if not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"tensor '{name}' of model '{self.ref}' holds NaN or infinity",
                hint="train or download the model again; nothing can be said of broken weights",
            )
        return value

    def _raw(self, name: str) -> torch.Tensor | None:
        if name not in self.files:
            return None
        try:
            with safe_open(self.files[name], framework="pt") as file:
                found: torch.Tensor = file.get_tensor(name)
                return found
        except (SafetensorError, OSError) as error:
            raise _broken(self.ref, self.files[name], error) from error


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in peft's format."""

    path: Path
    scale: float
    rank_stabilised: bool
    fan_in_fan_out: bool
    modules: dict[str, tuple[str, str]]
    """Names of the tensors A and B, by module as the base names it."""

    def add_to(self, name: str, weight: torch.Tensor) -> None:
        """Add what the adapter adds to the weight of this name."""
        module = self.modules.get(name.removesuffix(".weight"))
        if module is None:
            return
        with safe_open(self.path, framework="pt") as file:
            a, b = (file.get_tensor(one).float() for one in module)
        rank = a.shape[0]
        scale = self.scale / (rank**0.5 if self.rank_stabilised else rank)
        change = scale * (b @ a)
        weight += change.T if self.fan_in_fan_out else change


def open_checkpoint(path: str | Path, ref: str | None = None) -> Checkpoint:
    """
    Read names and shapes of the weights in a folder, or `folder+adapter`; no weight is read yet.

    Raises:
        ModelError: no such folder, pickled weights only, a shard that is missing or cut off, or an adapter whose base
            is not given.
    """
    base, _, adapter = str(path).partition("+")
    name = ref or str(path)
    folder = Path(base)
    if not folder.is_dir():
        raise ModelError(
            f"unknown model '{name}': no such folder",
            hint="name a folder, or a model of `undertow worlds`; download a hub's model first",
        )
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        declared = read_object(folder / "adapter_config.json", name).get("base_model_name_or_path")
        raise ModelError(
            f"'{name}' is an adapter, and its base is not given (it declares '{declared}')",
            hint=f"name both: BASE+{base}",
        )
    files, shapes = _tensors(folder, name)
    return Checkpoint(
        name,
        folder,
        read_object(folder / "config.json", name),
        files,
        shapes,
        _adapter(Path(adapter), name) if adapter else None,
    )


def _tensors(folder: Path, ref: str) -> tuple[dict[str, Path], dict[str, tuple[int, ...]]]:
    files: dict[str, Path] = {}
    raw: dict[str, tuple[int, ...]] = {}
    for path in _shards(folder, ref):
        for tensor, shape in _header(path, ref):
            files[tensor], raw[tensor] = path, shape
    names = set(raw)
    shapes = {
        tensor: quantised_shape(tensor, shape, files)
        for tensor, shape in raw.items()
        if not is_companion(tensor, names)
    }
    return files, shapes


def _shards(folder: Path, ref: str) -> list[Path]:
    index = folder / INDEX
    if index.is_file():
        names = sorted(set(read_object(index, ref).get("weight_map", {}).values()))
        # A name with a path in it would read outside of the folder.
        missing = [n for n in names if Path(n).name != n or not (folder / n).is_file()]
        if missing or not names:
            raise ModelError(
                f"model '{ref}' is not whole: its index names '{(missing or ['nothing'])[0]}', which is not there",
                hint="download it again; an interrupted download leaves shards out",
            )
        return [folder / n for n in names]
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern))
    if pickled:
        raise ModelError(
            f"model '{ref}' has only pickled weights ({pickled[0]}), which undertow never opens",
            hint="convert it to safetensors: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )
    raise ModelError(f"model '{ref}' has no weights: '{folder}' holds no *.safetensors")


def _header(path: Path, ref: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no dictionary: it cannot be iterated)
                yield name, tuple(file.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        raise _broken(ref, path, error) from error


def _adapter(folder: Path, ref: str) -> Adapter:
    path = folder / _ADAPTER
    if not path.is_file():
        raise ModelError(
            f"no adapter in '{folder}': {_ADAPTER} is missing",
            hint="save adapters with peft's save_pretrained (safetensors)",
        )
    config = read_object(folder / "adapter_config.json", ref)
    modules: dict[str, tuple[str, str]] = {}
    names = {name for name, _ in _header(path, ref)}
    for name in sorted(names):
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            modules[stem.removeprefix("base_model.model.")] = (name, f"{stem}.lora_B.weight")
    return Adapter(
        path,
        float(config.get("lora_alpha", 1)),
        bool(config.get("use_rslora", False)),
        bool(config.get("fan_in_fan_out", False)),
        modules,
    )


def read_object(path: Path, ref: str) -> dict[str, Any]:
    """
    The JSON object in one of a model's files.

    Raises:
        ModelError: no such file, no JSON, or no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"model '{ref}' has no {path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path.name} of model '{ref}' is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} of model '{ref}' holds no object")
    return content


def _broken(ref: str, path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"'{path.name}' of model '{ref}' cannot be read: {str(error).splitlines()[0]}",
        hint="download it again; an interrupted download leaves files cut off",
    )


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
