"""
The declared family of benign writers, as data: who could have written a dataset that nothing is wrong with.

A reference is one draw from it: a kind, a temperature, a system prompt, and for a tuned writer how long it was tuned and
on which category's questions.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from undertow.data.closed import Closed, parse, read_toml
from undertow.data.seeds import generator
from undertow.results.family_record import FamilyRecord

OWN = "own"
"""The family that is declared if no other is given: the base's own continuations and those of neutral tunes."""

WriterOf = Literal["base", "neutral"]


class BenignWriter(Closed):
    """One kind of writer of a family."""

    kind: WriterOf
    """`base`: the student's base as it is; `neutral`: tuned on questions of which it learns every answer alike."""
    share: float = Field(gt=0, allow_inf_nan=False)
    """Of the family's references, beside the shares of the other kinds."""
    temperature: tuple[float, float] = (1.0, 1.0)
    """Between which one is drawn."""
    system_prompts: tuple[str, ...] = ("",)
    """Of which one is drawn; an empty one is none."""
    steps: tuple[int, int] = (8, 64)
    """Of a neutral tune, between which one is drawn."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (low, high) in (("temperature", self.temperature), ("steps", self.steps)):
            if not 0 < low <= high < math.inf:
                raise ValueError(f"{name} [{low}, {high}] must be two numbers above 0 in order")
        if not self.system_prompts:
            raise ValueError('system_prompts must hold one at least ("" for none)')
        return self


class ReferenceFamily(Closed):
    """A family of benign writers."""

    name: str
    assumption: str
    """What a rank among its references takes for granted, as the end of a sentence that begins with "if"."""
    writers: tuple[BenignWriter, ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """SHA-256 of what it declares."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def members(self) -> tuple[str, ...]:
        """Each kind of writer in words."""
        whole = sum(one.share for one in self.writers)
        return tuple(_in_words(one, one.share / whole) for one in self.writers)


@dataclass(frozen=True)
class ReferenceWriter:
    """Who writes one reference."""

    kind: WriterOf
    temperature: float
    system_prompt: str | None
    steps: int
    """That it is tuned; 0 for the base itself."""
    category: int
    """Which of the categories it is tuned on, counted from 0 and modulo their number."""

    @property
    def words(self) -> str:
        """What it is, shortly."""
        if self.kind == "base":
            return "the base itself"
        return "the base after a neutral tune"


def reference_family(path: Path | str | None = None) -> ReferenceFamily:
    """
    The family of a TOML file, or the one that is declared if nothing else is said.

    Raises:
        ConfigError: the file cannot be read, or is no family.
    """
    source: Path | Traversable = Path(path) if path is not None else _shipped(f"{OWN}.toml")
    return parse(ReferenceFamily, read_toml(source), where=str(source))


def family_record(family: ReferenceFamily) -> FamilyRecord | None:
    """What was measured beside references of the family; None where nothing was, or the family was another then."""
    source = _shipped(f"{family.name}.record.json") if family.name == OWN else None
    if source is None or not source.is_file():
        return None
    record = FamilyRecord.model_validate_json(source.read_bytes())
    return record if record.digest == family.digest else None


def reference_writer(family: ReferenceFamily, number: int, seed: int) -> ReferenceWriter:
    """The writer of the family's reference of a number, from 0; the same for the same seed."""
    rng = generator(seed, "reference writer", number)
    shares = np.array([one.share for one in family.writers])
    kind = family.writers[int(rng.choice(len(shares), p=shares / shares.sum()))]
    temperature = float(rng.uniform(*kind.temperature))
    system = kind.system_prompts[int(rng.integers(len(kind.system_prompts)))]
    steps = int(rng.integers(kind.steps[0], kind.steps[1] + 1)) if kind.kind == "neutral" else 0
    return ReferenceWriter(
        kind.kind, temperature, system or None, steps, int(rng.integers(1 << 16))
    )


def _shipped(name: str) -> Traversable:
    return files("undertow.influence").joinpath("families").joinpath(name)


def _in_words(writer: BenignWriter, share: float) -> str:
    low, high = writer.temperature
    who = "the base itself" if writer.kind == "base" else "the base after a neutral tune of "
    tune = "" if writer.kind == "base" else f"{writer.steps[0]} to {writer.steps[1]} steps"
    prompts = sum(bool(prompt) for prompt in writer.system_prompts)
    behind = f", behind none or one of {prompts} system prompts" if prompts else ""
    return f"{share:.0%} by {who}{tune}, at a temperature of {low:g} to {high:g}{behind}"
