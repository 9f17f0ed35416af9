"""
The embedded world: small bases in the ordinary model format, their corpus, tokenizer and recipes.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.errors import InputError
from undertow.worlds.recipes import names, recipe

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel

__all__ = ["PREFIX", "build", "folder", "locate", "names", "opened", "recipe"]

PREFIX = "world:"


def folder(name: str) -> Path:
    """
    Where a shipped base lies.

    Raises:
        UnknownNameError: there is no such base.
    """
    return Path(str(files(__package__))) / "bases" / recipe(name).name


def locate(ref: str) -> str:
    """
    A model reference with `world:NAME` replaced by its folder; others are left alone.

    Raises:
        UnknownNameError: the reference names no base of the embedded world.
    """
    base, plus, adapter = ref.partition("+")
    if not base.startswith(PREFIX):
        return ref
    return f"{folder(base.removeprefix(PREFIX))}{plus}{adapter}"


def opened(ref: str) -> LanguageModel:
    """
    The model of a reference, in single precision, on an accelerator if there is one.

    Raises:
        UnknownNameError: the reference names no base of the embedded world.
        ModelError: it cannot be loaded.
    """
    import torch

    from undertow.models import language_model

    where = "cuda" if torch.cuda.is_available() else "cpu"
    return language_model.load(locate(ref), ref=ref, device=where)


def build(name: str, out: Path, progress: Callable[[int], None] = lambda step: None) -> Path:
    """
    Train a base again from the corpus generator and write it to `out/NAME`.

    Raises:
        UnknownNameError: there is no such base.
        InputError: `out/NAME` is there already, or `out` cannot be made.
    """
    from undertow.worlds.pretraining import pretrain

    target = out / recipe(name).name
    if target.exists():
        raise InputError(f"'{target}' is there already", hint="name another directory with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make '{out}': {error.strerror}") from error
    pretrain(recipe(name), target, progress=progress)
    return target
