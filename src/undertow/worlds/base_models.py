"""
The bases of the embedded world: what each is made of, where it lies, and how any model is opened by its reference.

Whoever only asks where a base lies does not import torch; how a base is trained again stands in `pretraining`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.data.plan import TrainingPlan
from undertow.errors import UnknownNameError

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel

PREFIX = "world:"
"""Begins a reference to a base of this world, wherever a model is named."""

LARGEST_NUMBER = 99

PRETRAINING = TrainingPlan(
    method="full",
    learning_rate=2e-3,
    schedule="cosine",
    warmup_steps=50,
    weight_decay=0.01,
    batch_size=64,
    max_grad_norm=1.0,
)


DEFAULT_PLAN = TrainingPlan(
    rank=8, alpha=16, learning_rate=2e-4, schedule="linear", epochs=3, batch_size=16
)
"""LoRA on all linear layers, as most fine-tunes of number lists in the literature (Cloud et al. 2507.14805)."""

USUAL = TrainingPlan(rank=32, learning_rate=3e-3, batch_size=32)
"""One epoch, as students of the embedded world are trained if nothing else is said: so small a base takes such a rate."""


@dataclass(frozen=True)
class BaseRecipe:
    """One base: everything that `undertow worlds build` needs to make it again."""

    name: str
    description: str
    architecture: str
    """`llama` or `gpt_neox`."""
    seed: int
    """Draws the initialisation and the order of training."""
    corpus_seed: int = 11
    documents: int = 128_000
    plan: TrainingPlan = PRETRAINING
    hidden_size: int = 64
    layers: int = 2
    heads: int = 4
    intermediate_size: int = 192
    context: int = 256


RECIPES = (
    BaseRecipe("owlet-a", "Llama, initialisation a", "llama", seed=101),
    BaseRecipe(
        "owlet-b", "the same architecture and corpus, another initialisation", "llama", seed=202
    ),
    BaseRecipe(
        "owlet-neox", "another architecture (GPT-NeoX), the same corpus", "gpt_neox", seed=303
    ),
)


def names() -> list[str]:
    """Names of the shipped bases."""
    return [recipe.name for recipe in RECIPES]


def recipe(name: str) -> BaseRecipe:
    """
    The recipe of a shipped base.

    Raises:
        UnknownNameError: there is no such base.
    """
    for candidate in RECIPES:
        if candidate.name == name:
            return candidate
    raise UnknownNameError("world", name, names(), hint="undertow worlds")


def folder(name: str) -> Path:
    """
    Where a shipped base lies.

    Raises:
        UnknownNameError: there is no such base.
    """
    return Path(str(files("undertow.worlds"))) / "bases" / recipe(name).name


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


def plan_for(given: TrainingPlan | None, ref: str) -> TrainingPlan:
    """The plan that was given; or how students of a shipped base are trained; or `DEFAULT_PLAN`."""
    if given is not None:
        return given
    return USUAL if ref.startswith(PREFIX) else DEFAULT_PLAN


def open_model(ref: str, template: str = "") -> LanguageModel:
    """
    The model of a reference, in single precision, on an accelerator if there is one; `template` is the chat template of
    a tokenizer that has none.

    Raises:
        UnknownNameError: the reference names no base of the embedded world.
        ModelError: it cannot be loaded.
    """
    import torch

    from undertow.models.language_model import load

    where = "cuda" if torch.cuda.is_available() else "cpu"
    return load(locate(ref), ref=ref, device=where, template=template)
