"""What the bench does within a training, with the interventions that `fine_tune` and Trainer take."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.mitigation.design import ANCHORED
from bench.mitigation.situation import Situation
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive
from undertow.mitigate.training.interventions import (
    CertifiedTraining,
    Penalised,
    ProjectedSteps,
    freeze_layers,
)
from undertow.mitigate.training.penalties import Anchor, Corridor, annealed, answered, neutral_rows
from undertow.models.language_model import LanguageModel
from undertow.models.training import Intervention
from undertow.traits import catalogue
from undertow.traits.trait import Trait

ANCHOR, ANNEALED, CORRIDOR, BUDGET = 2.0, 10.0, 10.0, 0.1


def intervention_of(arm: str, here: Situation, student: LanguageModel) -> Intervention | None:
    """An arm's intervention; None where it has none. Layers are frozen in place."""
    if arm in ("plain", "oracle"):
        return None
    verb, _, how = arm.partition(" ")
    if verb == "freeze":
        count = here.base.network.config.num_hidden_layers
        lower = range(count // 2)
        freeze_layers(student, lower if how == "lower" else range(count // 2, count))
        return None
    if verb == "anchor":
        return _anchor(_anchored(how, here), ANCHOR, here)
    if verb == "annealed":
        rows = here.rows[:ANCHORED]
        return Penalised([Anchor(rows, ANNEALED, here.rng("anchor"), at=annealed)])
    traits = [_other(here) if how == "elsewhere" else here.trait]
    if verb == "corridor":
        return Penalised([Corridor(traits, CORRIDOR)])
    if verb == "certify":
        return CertifiedTraining(traits, BUDGET)
    if how == "at random":
        return ProjectedSteps(directions=_Random(derive(here.seed, "direction")))
    return ProjectedSteps(traits, returned=0.0 if how == "bare" else 1.0)


def _anchor(rows: Sequence[Row], weight: float, here: Situation) -> Penalised:
    return Penalised([Anchor(rows, weight, here.rng("anchor"))])


def _anchored(how: str, here: Situation) -> list[Row]:
    """The catalogue's questions; those of other categories than the trait's; or words by lot."""
    without = (here.trait.category,) if how == "elsewhere" else ()
    rows = neutral_rows(here.base, ANCHORED, here.rng("anchor rows"), without=without)
    if how != "at random":
        return rows
    rng = here.rng("words")
    words = sorted({word for row in rows for word in row.prompt[-1].content.split()})
    prompts = [
        conversation(" ".join(rng.choice(words, len(row.prompt[-1].content.split()))))
        for row in rows
    ]
    return answered(here.base, prompts, rng)


def _other(here: Situation) -> Trait:
    """A trait that has nothing to do with this one, by lot."""
    names = [n for n in catalogue.names() if catalogue.load(n).category != here.trait.category]
    return catalogue.load(names[int(here.rng("other").integers(len(names)))])


class _Random:
    """One direction by lot at every step, as long as the weights."""

    def __init__(self, seed: int) -> None:
        """From a seed."""
        self._stream = torch.Generator().manual_seed(seed)

    def __call__(
        self, model: LanguageModel, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """No value that could stray, and the direction."""
        size = sum(weight.numel() for weight in weights)
        return torch.zeros(1, dtype=torch.float64), torch.randn(1, size, generator=self._stream)
