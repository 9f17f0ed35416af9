"""The weights on their way to a folder that undertow opens: joined from pieces, checked, taken out of GGUF."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch

BLOCK = 1 << 22
NAME = "model.gguf"


class WeightsError(Exception):
    """A piece is missing, or the pieces are not the file that they were."""


def join(pieces: list[Path], expected: str, target: Path) -> Path:
    """
    The pieces one behind the other in `target`, whose SHA-256 must be `expected`.

    Raises:
        WeightsError: a piece is missing, or the whole has another digest; nothing is left in `target`.
    """
    missing = [str(piece) for piece in pieces if not piece.is_file()]
    if missing:
        raise WeightsError(f"piece {missing[0]} is missing; carry it, or run `gpu.sh keep` first")
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as part:
                while block := part.read(BLOCK):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != expected:
        target.unlink()
        raise WeightsError(f"the pieces' SHA-256 is {digest.hexdigest()}; expected {expected}")
    return target


def converted(gguf: Path, folder: Path) -> Path:
    """
    A folder of safetensors with the weights and the tokenizer of `gguf`, as `undertow worlds fetch` makes it.

    Raises:
        WeightsError: the file cannot be converted.
    """
    from undertow.errors import UndertowError
    from undertow.models.gguf_model import convert

    try:
        convert(gguf, folder, gguf.name)
    except UndertowError as error:
        raise WeightsError(error.message) from error
    return folder


def drawn(shape: Path, folder: Path, *, layers: int | None = None, seed: int = 0) -> Path:
    """The same folder with weights drawn at random, with fewer layers if they are given: as fast, and knows nothing."""
    torch.manual_seed(seed)
    return _saved(_fresh(shape, layers), shape, folder)


def _fresh(shape: Path, layers: int | None = None) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(shape))
    if layers is not None:
        config.num_hidden_layers = layers
    return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def _saved(network: Any, shape: Path, folder: Path) -> Path:
    network.save_pretrained(str(folder))
    for file in shape.iterdir():
        if file.name != "config.json" and file.suffix != ".safetensors":
            shutil.copy(file, folder / file.name)
    return folder
