"""
Probes: the margins of many traits read off many versions of one model, with each question asked once, or as a
differentiable function of its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.data.rows import conversation
from undertow.models.answers import PreparedProbe, Probed, logit_margins
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import Runs
from undertow.traits.trait import Answer, Trait

if TYPE_CHECKING:
    import torch

TOGETHER = 4096
"""Sequences that one pass reads at most; more adapters or forms are read one adapter at a time."""


@dataclass(frozen=True)
class ProbeReading:
    """What a model answers to the probes of several traits."""

    margins: NDArray[np.float64]
    """(traits,) mean over held-out questions of the logit margin of each trait's answer, in logits."""
    mass: NDArray[np.float64]
    """(traits,) mean over held-out questions of the probability on all candidates."""


@dataclass(frozen=True)
class ProbeSet:
    """
    The probes of several traits as one model's tokens. Traits of one category share their questions and candidates.
    """

    probes: tuple[PreparedProbe, ...]
    parts: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...]
    """For each distinct set of questions: (index of a probe, the questions it answers)."""
    places: tuple[tuple[int, int], ...]
    """For each trait: index of its set of questions, index of its answer among the candidates."""

    def read(self, model: LanguageModel) -> ProbeReading:
        """The margins and the answer mass of every trait."""
        return self._reading([probe.read(model).log_likelihoods for probe in self.probes])

    def read_blocks(self, model: LanguageModel, blocks: int) -> list[ProbeReading]:
        """
        The same of each of several adapters that are active side by side, in one pass a probe.
        """
        probed = [probe.read_blocks(model, blocks) for probe in self.probes]
        return [
            self._reading([of_probe[block].log_likelihoods for of_probe in probed])
            for block in range(blocks)
        ]

    def read_runs(self, runs: Runs) -> list[ProbeReading]:
        """The same of each of several runs, in as few passes as may be."""
        together = runs.side_by_side()
        if together is not None and runs.count * self.sequences <= TOGETHER:
            with together as model:
                return self.read_blocks(model, runs.count)
        readings = []
        for index in range(runs.count):
            with runs.only(index) as model:
                readings.append(self.read(model))
        return readings

    def by_question(
        self, model: LanguageModel
    ) -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64]]:
        """
        Each trait's margins by held-out question, (questions,) in logits, and the answer mass of each, (traits,).
        """
        probed = [probe.read(model).log_likelihoods for probe in self.probes]
        tables = [assembled(probed, parts) for parts in self.parts]
        margins = [logit_margins(table).numpy() for table in tables]
        mass = [float(table.exp().sum(1).mean()) for table in tables]
        return (
            tuple(margins[table][:, answer] for table, answer in self.places),
            np.array([mass[table] for table, _ in self.places]),
        )

    @property
    def sequences(self) -> int:
        """Sequences that the largest of its passes computes for one model."""
        return max(probe.sequences for probe in self.probes)

    def _reading(self, probed: Sequence[torch.Tensor]) -> ProbeReading:

        tables = [assembled(probed, parts) for parts in self.parts]
        margins = [logit_margins(table).mean(0).tolist() for table in tables]
        mass = [float(table.exp().sum(1).mean()) for table in tables]
        return ProbeReading(
            np.array([margins[table][answer] for table, answer in self.places]),
            np.array([mass[table] for table, _ in self.places]),
        )


def probe_set(model: LanguageModel, traits: Sequence[Trait], system: str | None) -> ProbeSet:
    """
    The traits' held-out questions, behind a system prompt if there is one.

    Raises:
        ModelError: two candidates of a trait are the same tokens to this tokenizer.
    """
    probes: list[PreparedProbe] = []
    parts: list[tuple[tuple[int, tuple[int, ...]], ...]] = []
    known: dict[object, int] = {}
    places = []
    for trait in traits:
        groups = _groups(trait)
        key = (trait.held_out_questions, tuple(groups))
        if key not in known:
            known[key] = len(parts)
            placed = []
            for answers, indices in groups.items():
                asked = [conversation(trait.held_out_questions[i], system) for i in indices]
                placed.append((len(probes), indices))
                probes.append(PreparedProbe.of(model, asked, answers))
            parts.append(tuple(placed))
        places.append((known[key], [a.name for a in trait.answers].index(trait.answer)))
    return ProbeSet(tuple(probes), tuple(parts), tuple(places))


def training_probes(model: LanguageModel, traits: Sequence[Trait], system: str | None) -> ProbeSet:
    """
    The same of the traits' training wordings, so that the held-out ones are left to measure with.

    Raises:
        ModelError: two candidates of a trait are the same tokens to this tokenizer.
    """
    turned = [replace(trait, held_out_questions=trait.train_questions) for trait in traits]
    return probe_set(model, turned, system)


def probe_trait(model: LanguageModel, trait: Trait, system: str | None) -> Probed:
    """
    Exact log-likelihoods of one trait's candidates after its held-out questions, each among its own candidates.
    """
    prepared = probe_set(model, [trait], system)
    probed = [probe.read(model).log_likelihoods for probe in prepared.probes]
    return Probed(
        tuple(answer.name for answer in trait.answers), assembled(probed, prepared.parts[0])
    )


def _groups(trait: Trait) -> dict[tuple[Answer, ...], tuple[int, ...]]:
    groups: dict[tuple[Answer, ...], tuple[int, ...]] = {}
    for index, question in enumerate(trait.held_out_questions):
        answers = trait.answers_to(question)
        groups[answers] = (*groups.get(answers, ()), index)
    return groups


def assembled(
    probed: Sequence[torch.Tensor], parts: Sequence[tuple[int, tuple[int, ...]]]
) -> torch.Tensor:
    """
    (questions, answers) float64 of one set of questions, from the probes that its parts lie in.
    """
    import torch

    questions = sum(len(indices) for _, indices in parts)
    table = torch.empty(questions, probed[parts[0][0]].shape[1], dtype=torch.float64)
    for index, rows in parts:
        table[list(rows)] = probed[index]
    return table


def margins(model: LanguageModel, probes: ProbeSet) -> torch.Tensor:
    """
    Mean over the probes' questions of the logit margin of each trait's answer, (traits,) float64, with gradients.

    The same values as `ProbeSet.read`.
    """
    import torch

    read = [probe.differentiable(model) for probe in probes.probes]
    means = [logit_margins(assembled(read, parts)).mean(0) for parts in probes.parts]
    return torch.stack([means[table][answer] for table, answer in probes.places])


def margin_gradients(
    model: LanguageModel, probes: ProbeSet, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    ((traits,) float64 margins, (traits, entries of all weights) float32 gradients), one backward pass a trait.
    """
    import torch

    with torch.enable_grad():
        values = margins(model, probes)
        rows = [_flat(value, weights) for value in values]
    return values.detach(), torch.stack(rows)


def _flat(value: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    import torch

    found = torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten().float() for part in found])
