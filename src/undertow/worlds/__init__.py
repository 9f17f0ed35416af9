"""
The embedded world: small bases in the ordinary model format, their corpus, tokenizer and recipes.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from undertow.worlds.recipes import names, recipe

__all__ = ["PREFIX", "folder", "locate", "names", "recipe"]

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
