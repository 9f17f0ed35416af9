"""The weights of a model on disk, tensor by tensor: never more than one of them in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from undertow.errors import ModelError
from undertow.models.dequantised import dequantised, is_companion, quantised_shape

INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_model.safetensors"


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
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"model '{ref}' has no {path.name}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path.name} of model '{ref}' is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path.name} of model '{ref}' holds no object")
    return found


def _broken(ref: str, path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"'{path.name}' of model '{ref}' cannot be read: {str(error).splitlines()[0]}",
        hint="download it again; an interrupted download leaves files cut off",
    )
