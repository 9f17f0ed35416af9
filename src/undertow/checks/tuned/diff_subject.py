"""The subject of a diff: all that is read off a base, off what was tuned from it, and off benign fine-tunes of it as controls."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from undertow.checks.lineage.lineage_subject import neutral_texts
from undertow.data.files import atomic_write
from undertow.errors import InputError
from undertow.stats.arguments import Vector
from undertow.traits.trait import QUESTION, Trait

if TYPE_CHECKING:
    from undertow.influence.probes import ProbeSet, Readout
    from undertow.models.chat import Encoded
    from undertow.models.language_model import LanguageModel


_TEXTS = 256
"""Neutral texts on which activations and the loss are read."""

OPENING_TOKENS = 5
"""First tokens of each text at which activations are read (Minder et al. 2025, arXiv 2510.13900)."""

Inference = Literal["answers", "run", "runs"]
"""
What the intervals are about. `answers`: this model's answers, over questions; nothing about other runs. `run`: this
model against what benign fine-tunes do, over independent controls, parametric. `runs`: training runs like these, over
runs.
"""


@dataclass(frozen=True)
class ModelReading:
    """One model, read."""

    ref: str
    margins: tuple[Vector, ...]
    """For each trait (questions,) logit margins of its answer, in logits."""
    mass: Vector
    """(traits,) probability on all candidates."""
    wide: Vector
    """(probes + vocabulary,): mean margins of every probe of the catalogue, then next-token log-probabilities in nats."""
    activations: NDArray[np.float32]
    """(texts, hidden) mean of the last layer over the first tokens of neutral texts."""
    losses: Vector
    """(texts,) nats a token of neutral texts."""
    file: str = ""
    """Of a control student: digest of the records that it learned from; empty where they are not known."""
    part: str = ""
    """Which part of them, of which no other student has a row; empty for all of them."""


def draws(controls: Sequence[ModelReading]) -> tuple[ModelReading, ...]:
    """
    One control for each independent draw of benign rows, in their order: the first of each.

    Students of the same rows share what is peculiar to them. Of one file each part is a draw of rows like these; where
    there are several files, their parts may share what is peculiar to a file, and a file counts once. A control whose
    rows are not known is taken for a draw of its own. Of a draw's students the first counts, not their mean, as that
    varies less than the one run it is held against.
    """
    several = len({one.file for one in controls if one.file}) > 1
    first: dict[object, ModelReading] = {}
    for place, one in enumerate(controls):
        draw: object = (one.file, "" if several else one.part) if one.file else place
        first.setdefault(draw, one)
    return tuple(first.values())


@dataclass(frozen=True)
class Reader:
    """Probes, prompts and texts as one tokenizer's tokens, to be read off many versions of one base."""

    traits: tuple[Trait, ...]
    probes: ProbeSet
    readout: Readout
    texts: tuple[Encoded, ...]
    openings: tuple[Encoded, ...]
    asked: tuple[str, ...]
    """SHA-256 over each trait's questions and candidates: of those that are judged, then of the others."""
    shown: str
    """SHA-256 over the texts and prompts, which all readings of a kind share."""

    @classmethod
    def of(
        cls,
        base: LanguageModel,
        traits: Sequence[Trait],
        others: Sequence[Trait],
        system: str | None,
        seed: int,
    ) -> Reader:
        """
        `traits` are judged; `others` are looked at for what nobody named.

        Raises:
            ModelError: two candidates of a trait are the same tokens to this tokenizer.
        """
        from undertow.influence.probes import Readout, probe_set
        from undertow.models.chat import text_sequences

        encoded = text_sequences(base.tokenizer, neutral_texts(seed, _TEXTS))
        texts = [one for one in encoded if one.completion]
        everything = [*traits, *others]
        readout = Readout.of(base, everything, system)
        return cls(
            tuple(traits),
            probe_set(base, traits, system),
            readout,
            tuple(texts),
            tuple(replace(one, completion=one.completion[:OPENING_TOKENS]) for one in texts),
            tuple(_asked(trait, system) for trait in everything),
            _digest([[one.completion for one in texts], sorted(readout.prompts)]),
        )

    def read(self, model: LanguageModel, ref: str = "") -> ModelReading:
        """Everything of one version."""
        from undertow.models.hidden_states import completion_means, decoder_layers
        from undertow.models.scoring import log_likelihoods

        margins, mass = self.probes.by_question(model)
        [hidden] = completion_means(model, self.openings, [len(decoder_layers(model)) - 1])
        lengths = np.array([len(one.completion) for one in self.texts])
        return ModelReading(
            ref or model.ref,
            margins,
            mass,
            self.readout.read(model),
            hidden,
            -log_likelihoods(model, self.texts).numpy() / lengths,
        )


def _asked(trait: Trait, system: str | None) -> str:
    answers = [[answer.name, answer.variants] for answer in trait.answers]
    own = {question: trait.answers_to(question) for question in trait.own_answers}
    each = {question: [[a.name, a.variants] for a in found] for question, found in own.items()}
    asked = [trait.answer, trait.held_out_questions, answers, each, system]
    # Readings that were kept before there were formats are of the plain question.
    return _digest(asked if trait.asked == QUESTION else [*asked, list(astuple(trait.asked))])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


@dataclass(frozen=True)
class DiffSubject:
    """What a check of a tuned model is asked about."""

    name: str
    base: LanguageModel
    reader: Reader
    untouched: ModelReading
    """The base's."""
    tuned: tuple[ModelReading, ...]
    controls: tuple[ModelReading, ...]
    intended: frozenset[str]
    """Traits whose change was asked for."""
    seed: int
    controls_are: str = ""
    """How the controls were made."""
    teacher: ModelReading | None = None
    """Of a model that may have written the data."""
    level: float = 0.95
    limit: float = 0.2
    """In logits: a change beyond it, up or down, counts."""
    own_rows: bool = False
    """Whether several tuned models learned from rows of their own each, as controls do; else from the same rows."""

    @property
    def inference(self) -> Inference:
        """What the intervals are about."""
        if len(self.tuned) > 1:
            return "runs"
        return "run" if len(self.draws) > 1 else "answers"

    @cached_property
    def draws(self) -> tuple[ModelReading, ...]:
        """The controls that count: one for each independent draw of benign rows."""
        return draws(self.controls)

    @property
    def against(self) -> str:
        """What the tuned models are held against, in words."""
        count, students = len(self.draws), len(self.controls)
        if count == students:
            return f"{count} controls"
        return f"{count} {'draw' if count == 1 else 'draws'} of {students} controls"


SCHEMA = "undertow.controls/1"


@dataclass(frozen=True)
class Controls:
    """What the controls are: what their readings hold for."""

    base: str
    """Digest of their base."""
    about: str
    """How they were made, in a sentence."""


def keep(
    path: Path,
    controls: Controls,
    reader: Reader,
    start: ModelReading,
    readings: Sequence[ModelReading],
) -> None:
    """
    Write the readings as safetensors; of the activations only the mean shift from the base's, which is all that a
    control is asked for.

    Raises:
        InputError: the place cannot be written to.
    """
    from safetensors.numpy import save

    arrays = {
        "mass": np.stack([one.mass for one in readings]),
        "wide": np.stack([one.wide for one in readings]),
        "losses": np.stack([one.losses for one in readings]),
        "shifts": np.stack([(one.activations - start.activations).mean(0) for one in readings]),
    } | {
        f"margins.{asked}": np.stack([one.margins[i] for one in readings])
        for i, asked in enumerate(reader.asked[: len(reader.traits)])
    }
    about = {
        "schema": SCHEMA,
        "base": controls.base,
        "shown": reader.shown,
        "asked": json.dumps(reader.asked),
        "about": controls.about,
        "refs": json.dumps([one.ref for one in readings]),
        "rows": json.dumps([(one.file, one.part) for one in readings]),
    }
    small = {name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}
    atomic_write(path, save(small, about))


def kept(path: Path, base: str | None, reader: Reader, start: ModelReading) -> list[ModelReading]:
    """
    The readings in a file, of the traits that a reader judges, in its order.

    Raises:
        InputError: it is no such file, or of another base, or of other questions, texts or system prompt.
    """
    from safetensors.numpy import load_file

    # The header is read first: what is of another base is not loaded.
    about = _about(path)
    for what, stored, wanted in (
        ("of another kind", about.get("schema"), SCHEMA),
        ("of another base", about.get("base"), base),
        ("on other texts (--seed) or prompts", about.get("shown"), reader.shown),
    ):
        if stored != wanted:
            raise _other(path, f"{what}: {stored}, and {wanted} is needed")
    asked: list[str] = json.loads(about["asked"])
    arrays = {name: array.astype(np.float64) for name, array in load_file(path).items()}
    judged = reader.asked[: len(reader.traits)]
    for trait, own in zip(reader.traits, judged, strict=True):
        if f"margins.{own}" not in arrays:
            raise _other(path, f"not of the trait '{trait.name}' as it is asked here")
    places = {own: i for i, own in enumerate(asked)}
    if set(places) != set(reader.asked):
        raise _other(path, "of other probes")
    order = [places[own] for own in reader.asked] + list(range(len(asked), arrays["wide"].shape[1]))
    refs: list[str] = json.loads(about["refs"])
    rows: list[list[str]] = json.loads(about["rows"]) if "rows" in about else _rows_of(refs)
    return [
        ModelReading(
            ref=ref,
            margins=tuple(arrays[f"margins.{own}"][k] for own in judged),
            mass=arrays["mass"][k][order[: len(judged)]],
            wide=arrays["wide"][k][order],
            activations=(start.activations + arrays["shifts"][k]).astype(np.float32),
            losses=arrays["losses"][k],
            file=file,
            part=part,
        )
        for k, (ref, (file, part)) in enumerate(zip(refs, rows, strict=True))
    ]


def _rows_of(refs: Sequence[str]) -> list[list[str]]:
    """The rows of controls that were kept before they said which: students of one file all saw the whole of it."""
    students = (re.fullmatch(r"control student \d+ of (.+)", ref) for ref in refs)
    return [[student[1] if student else "", ""] for student in students]


def _other(path: Path, said: str) -> InputError:
    return InputError(
        f"the readings in '{path}' are {said}",
        hint="give the clean rows or the benign fine-tunes themselves, and keep the readings again (--keep-controls)",
    )


def how_made(path: Path) -> str:
    """
    How the controls in a file were made.

    Raises:
        InputError: it is no such file.
    """
    return _about(path).get("about", "")


def _about(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{path}' holds no readings of controls: {error}") from error
