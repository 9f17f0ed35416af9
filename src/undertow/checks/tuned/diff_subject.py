"""The subject of a diff: all that is read off a base, off what was tuned from it, and off benign fine-tunes of it as controls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from undertow.checks.lineage.lineage_subject import neutral_texts
from undertow.data.rows import Row
from undertow.stats.arguments import Vector
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.influence.probes import ProbeSet
    from undertow.influence.readout import Readout
    from undertow.models.chat import Encoded
    from undertow.models.language_model import LanguageModel


_TEXTS = 256
"""Neutral texts on which activations and the loss are read."""

OPENING_TOKENS = 5
"""First tokens of each text at which activations are read (Minder et al. 2025, arXiv 2510.13900)."""

Inference = Literal["answers", "run", "runs"]
"""
What the intervals are about. `answers`: this model's answers, over questions; nothing about other runs. `run`: this
model against what benign fine-tunes do, over controls, parametric. `runs`: training runs like these, over runs.
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


@dataclass(frozen=True)
class Reader:
    """
    Probes, prompts and texts as one tokenizer's tokens, to be read off many versions of one base.
    """

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
        from undertow.influence.probes import probe_set
        from undertow.influence.readout import Readout
        from undertow.models.chat import encode_rows

        rows = [Row((), text, chat=False) for text in neutral_texts(seed, _TEXTS)]
        texts = [one for one in encode_rows(base.tokenizer, rows) if one.completion]
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
    return _digest([trait.answer, trait.held_out_questions, answers, each, system])


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

    @property
    def inference(self) -> Inference:
        """What the intervals are about."""
        if len(self.tuned) > 1:
            return "runs"
        return "run" if len(self.controls) > 1 else "answers"
