"""What lies in a model's folder: its shards, its JSON files, and the formats and mixtures that are refused by name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from undertow.data.files import pickled_in
from undertow.errors import ModelError

INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def refuse_other_formats(folder: Path, ref: str) -> None:
    """
    Pass a folder of safetensors; what is wrong with another one is said with the way out.

    Raises:
        ModelError: GGUF files or pickles only, an adapter without its base, or an adapter among the weights of a model.
    """
    if _only(folder, "*.gguf"):
        files = sorted(str(file) for file in folder.glob("*.gguf"))
        raise ModelError(
            f"model '{ref}' is a folder of GGUF files ({len(files)}), which are models one by one",
            hint=f"name the file: {files[0]}",
        )
    if (folder / ADAPTER_CONFIG).is_file():
        _refuse_adapter(folder, ref)
    apart = sorted(
        file.parent for file in folder.glob("*/__0_0.distcp") if "optim" not in str(file)
    )
    if apart and not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"model '{ref}' is a checkpoint in pieces, as FSDP leaves it",
            hint=f"accelerate merge-weights {shlex.quote(str(apart[0]))} MERGED, copy the base's JSON files and chat template "
            "to MERGED, and name that",
        )
    pickled = pickled_in(folder)
    if pickled and not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"model '{ref}' has only pickled weights ({pickled[0]}), which undertow never opens",
            hint="convert it to safetensors: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )


def _only(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern)) and not any(folder.glob("*.safetensors"))


def _refuse_adapter(folder: Path, ref: str) -> None:
    # transformers would fetch the base that the adapter names, and say nothing of it.
    weights = [file.name for file in folder.glob("*.safetensors") if file.name != ADAPTER_WEIGHTS]
    if weights:
        raise ModelError(
            f"'{ref}' holds the weights of a model ({sorted(weights)[0]}) and an adapter ({ADAPTER_CONFIG})",
            hint=f"move {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS} to a folder of their own, and give {folder}, or "
            f"{folder}+ADAPTER",
        )
    declared = read_object(folder / ADAPTER_CONFIG, ref).get("base_model_name_or_path")
    raise ModelError(
        f"'{ref}' is an adapter, and its base is not given (it declares '{declared}')",
        hint=f"name both: {declared if isinstance(declared, str) else 'BASE'}+{folder}",
    )


def shards(folder: Path, ref: str) -> list[Path]:
    """
    The files of a model's weights.

    Raises:
        ModelError: there is none, or the index names one that is not there.
    """
    index = folder / INDEX
    if index.is_file():
        weights = read_object(index, ref).get("weight_map")
        if not isinstance(weights, dict) or not all(isinstance(n, str) for n in weights.values()):
            raise ModelError(
                f"'{INDEX}' of model '{ref}' does not say in 'weight_map' which file each weight lies in",
                hint="download it again",
            )
        names = sorted(set(weights.values()))
        # A name with a path in it would read outside of the folder, and one that is too long be the system's error.
        there = {file.name for file in folder.iterdir() if file.is_file()}
        missing = [n for n in names if n not in there]
        if missing or not names:
            raise ModelError(
                f"model '{ref}' is not whole: its index names '{(missing or ['nothing'])[0]}', which is not there",
                hint="download it again; an interrupted download leaves shards out",
            )
        return [folder / n for n in names]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"model '{ref}' has no weights: '{folder}' holds no *.safetensors")
    return files


def header(path: Path, ref: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """
    Name and shape of each tensor in a file of safetensors.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no dictionary: it cannot be iterated)
                yield name, tuple(file.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        raise broken(ref, path, error) from error


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
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} of model '{ref}' is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} of model '{ref}' holds no object")
    return content


def broken(ref: str, path: Path, error: Exception) -> ModelError:
    """What is said of a file that cannot be read."""
    return ModelError(
        f"'{path.name}' of model '{ref}' cannot be read: {str(error).splitlines()[0]}",
        hint="download it again; an interrupted download leaves files cut off",
    )
