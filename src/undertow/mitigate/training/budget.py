"""
Training within budgets: a step is taken only as far as every named probe stays where it may be.

The guarantee comes from looking, not from curvature: it is exact for the probes that are read, whatever the optimiser does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.errors import ConfigError
from undertow.influence.probe_formats import settled
from undertow.influence.probes import ProbeSet, probe_set, training_probes
from undertow.models.adapters import trained_weights
from undertow.models.language_model import LanguageModel
from undertow.models.training import evaluating
from undertow.results.model_documents import CertificateDocument, Kept
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    import torch

HALVINGS = 6
"""Times that a step is shortened before it is refused."""

Read = Callable[[], NDArray[np.float64]]
"""The probes' values now, (probes,)."""


@dataclass
class Budget:
    """
    Keeps the weights of a training where every probe stays within its budget; call it after each optimiser step.

    Let w be the weights before a step and w' those that the optimiser made. The step that is taken is w + 2^-k (w' - w)
    for the least k up to 6 at which every probe lies within its budget of its start, or none. So by induction every
    probe lies within its budget after every step, if it does at the start, exactly and for any optimiser, model and
    data. The optimiser's moments are left as they are.
    """

    weights: Sequence[torch.Tensor]
    """What training changes."""
    read: Read
    budgets: NDArray[np.float64]
    """(probes,) largest change of each, up or down; positive."""
    start: NDArray[np.float64] = field(init=False)
    last: NDArray[np.float64] = field(init=False)
    furthest: NDArray[np.float64] = field(init=False)
    whole: int = field(default=0, init=False)
    shortened: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    _before: list[torch.Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not np.all(self.budgets > 0):
            raise ConfigError(f"budgets must be positive, got {self.budgets.tolist()}")
        self.start = self.last = self.read()
        if not np.isfinite(self.start).all():
            raise ConfigError("a probe has no finite value at the start")
        self.furthest = np.zeros_like(self.start)
        self._before = [weight.detach().clone() for weight in self.weights]

    def __call__(self) -> None:
        """Take the last step as far as it may go."""
        import torch

        made = [weight.detach().clone() for weight in self.weights]
        with torch.no_grad():
            for halvings in range(HALVINGS + 1):
                share = 0.5**halvings
                if halvings:
                    for weight, old, new in zip(self.weights, self._before, made, strict=True):
                        weight.copy_(torch.lerp(old, new, share))
                values = self.read()
                if self._allowed(values):
                    self._accept(values, whole=not halvings)
                    return
            for weight, old in zip(self.weights, self._before, strict=True):
                weight.copy_(old)
        self.refused += 1

    def _allowed(self, values: NDArray[np.float64]) -> bool:
        # NaN compares false: a probe that cannot be read refuses the step.
        return bool(np.all(np.abs(values - self.start) <= self.budgets))

    def _accept(self, values: NDArray[np.float64], *, whole: bool) -> None:
        self.whole += whole
        self.shortened += not whole
        self.last = values
        self.furthest = np.maximum(self.furthest, np.abs(values - self.start))
        self._before = [weight.detach().clone() for weight in self.weights]


@dataclass(frozen=True)
class TraitBudget:
    """A budget on traits of a language model, and wordings that are only watched."""

    traits: tuple[Trait, ...]
    budget: Budget
    watched: Read
    """Margins on wordings that nothing is held to."""
    watched_start: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        traits: Sequence[Trait],
        budgets: Mapping[str, float] | float,
        *,
        system_prompt: str | None = None,
    ) -> TraitBudget:
        """
        Held-out wordings are certified; training wordings, which no student sees either, are watched beside them.

        Args:
            model: what is trained; its weights that require gradients are kept.
            budgets: in logits, by trait's name or one for all.

        Raises:
            ConfigError: no traits, a budget that is missing or not positive.
            ModelError: two candidates of a trait are the same tokens to this tokenizer.
        """
        if not traits:
            raise ConfigError("a certificate needs at least one trait")
        allowed = [_budget(budgets, trait.name) for trait in traits]
        traits, _ = settled(model, traits, system_prompt)
        certified = probe_set(model, traits, system_prompt)
        watched = partial(read_margins, model, training_probes(model, traits, system_prompt))
        read = partial(read_margins, model, certified)
        budget = Budget(trained_weights(model), read, np.array(allowed))
        return cls(tuple(traits), budget, watched, watched())

    def certificate(self) -> CertificateDocument:
        """What held, and what was measured beside it."""
        budget, moved = self.budget, self.watched() - self.watched_start
        # What came after the last step, another callback say, counts as well.
        end = budget.read()
        budget.furthest = np.maximum(budget.furthest, np.abs(end - budget.start))
        return CertificateDocument(
            kept=tuple(
                Kept(
                    trait=trait.name,
                    budget=float(budget.budgets[i]),
                    start=float(budget.start[i]),
                    end=float(end[i]),
                    furthest=float(budget.furthest[i]),
                    held_out=float(moved[i]),
                )
                for i, trait in enumerate(self.traits)
            ),
            steps=budget.whole + budget.shortened + budget.refused,
            whole=budget.whole,
            shortened=budget.shortened,
            refused=budget.refused,
        )


def read_margins(model: LanguageModel, probes: ProbeSet) -> NDArray[np.float64]:
    """The margins, (traits,) in logits, of a model in training, which is as it was afterwards."""
    with evaluating(model.network):
        return probes.read(model).margins


def _budget(budgets: Mapping[str, float] | float, name: str) -> float:
    if not isinstance(budgets, Mapping):
        return float(budgets)
    if name not in budgets:
        raise ConfigError(f"no budget for '{name}'; there are budgets for {', '.join(budgets)}")
    return float(budgets[name])
