"""Interventions in a training, whatever its loop: penalties, projected steps, certified steps, frozen layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from undertow.errors import ConfigError
from undertow.influence.probe_formats import settled
from undertow.influence.probes import margin_gradients, training_probes
from undertow.mitigate.training.budget import TraitBudget
from undertow.mitigate.training.penalties import Penalty
from undertow.models.adapters import trained_weights
from undertow.models.hidden_states import decoder_layers
from undertow.models.language_model import LanguageModel
from undertow.models.training import evaluating
from undertow.results.model_documents import CertificateDocument
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    import torch

Directions = Callable[
    ["LanguageModel", list["torch.Tensor"]], tuple["torch.Tensor", "torch.Tensor"]
]
"""((probes,) values, (probes, entries of all trained weights) gradients) of a model."""


@dataclass
class Penalised:
    """
    Adds the gradient of penalties to that of the loss, after the latter was clipped.

    On several processes each adds the same, if its generators are seeded alike.
    """

    penalties: Sequence[Penalty]
    history: list[float] = field(default_factory=list, init=False)
    """The summed penalty at each step."""
    _model: LanguageModel | None = field(default=None, init=False, repr=False)
    _steps: int = field(default=1, init=False)

    def begin(self, model: LanguageModel, steps: int) -> None:
        """Let each penalty look at the base."""
        self._model, self._steps = model, steps
        self.history = []
        for penalty in self.penalties:
            penalty.begin(model)

    def before_update(self, optimizer: Any) -> None:
        """Add the gradients."""
        assert self._model is not None
        progress = len(self.history) / max(1, self._steps)
        total = 0.0
        with evaluating(self._model.network):
            for penalty in self.penalties:
                value = penalty(self._model, progress)
                value.backward()
                total += float(value.detach())
        self.history.append(total)

    def after_update(self) -> None:
        """Nothing is left to do."""


@dataclass
class ProjectedSteps:
    """
    Takes out of every step what moves the named traits, and moves them back by as much as they have strayed.

    The step that is taken has a first-order effect of minus `returned` times each trait's change so far, and is the
    nearest such step to the optimiser's own, in the optimiser's metric (the square root of Adam's second moments) where
    it has one. It looks at the training wordings of the questions, so that held-out ones measure it. A backward pass a
    trait and step.
    """

    traits: Sequence[Trait] = ()
    returned: float = 1.0
    """Share of a trait's change so far that a step takes back; 0 for a bare projection."""
    system_prompt: str | None = None
    directions: Directions | None = None
    """In place of the traits' margins."""
    _model: LanguageModel | None = field(default=None, init=False, repr=False)
    _weights: list[torch.Tensor] = field(default_factory=list, init=False, repr=False)
    _start: torch.Tensor | None = field(default=None, init=False, repr=False)
    _before: list[torch.Tensor] = field(default_factory=list, init=False, repr=False)
    _now: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, init=False, repr=False)
    _optimizer: Any = field(default=None, init=False, repr=False)

    def begin(self, model: LanguageModel, steps: int) -> None:
        """
        Read where the traits begin.

        Raises:
            ConfigError: neither traits nor directions, or a share outside [0, 1].
        """
        if not 0 <= self.returned <= 1:
            raise ConfigError(f"returned is {self.returned}; allowed: 0 to 1")
        self._model = model
        self._weights = list(trained_weights(model))
        if self.directions is None:
            self.directions = margin_directions(model, self.traits, self.system_prompt)
        self._start, _ = self._looked()

    def before_update(self, optimizer: Any) -> None:
        """Take the gradients of the traits at the weights before the step."""
        self._now = self._looked()
        self._before = [weight.detach().clone() for weight in self._weights]
        self._optimizer = optimizer

    def after_update(self) -> None:
        """Put the weights where the projected step leads."""
        import torch

        assert self._now is not None
        assert self._start is not None
        values, gradients = self._now
        wanted = self.returned * (self._start - values)
        with torch.no_grad():
            step = torch.cat(
                [
                    (weight - old).flatten().float()
                    for weight, old in zip(self._weights, self._before, strict=True)
                ]
            )
            taken = projected(step, gradients, effect=wanted, metric=self._metric())
            sizes = [weight.numel() for weight in self._weights]
            for weight, old, part in zip(
                self._weights, self._before, taken.split(sizes), strict=True
            ):
                weight.copy_(old + part.view_as(weight).to(weight.dtype))

    def _looked(self) -> tuple[torch.Tensor, torch.Tensor]:

        assert self._model is not None
        assert self.directions is not None
        with evaluating(self._model.network):
            return self.directions(self._model, self._weights)

    def _metric(self) -> torch.Tensor | None:
        """The optimiser's own: how far it lets each weight go for a unit of gradient, None where it keeps no moments."""
        import torch

        # Trainers wrap the optimiser.
        state = getattr(self._optimizer, "optimizer", self._optimizer).state
        moments = [state.get(weight, {}).get("exp_avg_sq") for weight in self._weights]
        if any(moment is None for moment in moments):
            return None
        flat = torch.cat([moment.flatten().float() for moment in moments]).sqrt()
        # Weights that were never pulled would be free to go anywhere.
        return 1 / (flat + flat.mean().clamp_min(1e-12) * 0.1)


def margin_directions(
    model: LanguageModel, traits: Sequence[Trait], system_prompt: str | None
) -> Directions:
    """
    The traits' margins on their training wordings.

    Raises:
        ConfigError: no traits.
        ModelError: two candidates of a trait are the same tokens to this tokenizer.
    """
    if not traits:
        raise ConfigError("a projection needs at least one trait")
    asked, _ = settled(model, traits, system_prompt)
    probes = training_probes(model, asked, system_prompt)
    return lambda now, weights: margin_gradients(now, probes, weights)


@dataclass
class CertifiedTraining:
    """Takes every step only as far as each named trait stays within its budget, and leaves a certificate."""

    traits: Sequence[Trait]
    budgets: Mapping[str, float] | float = 0.2
    """In logits, by trait's name or one for all."""
    system_prompt: str | None = None
    _kept: TraitBudget | None = field(default=None, init=False, repr=False)

    def begin(self, model: LanguageModel, steps: int) -> None:
        """Read the start."""
        self._kept = TraitBudget.of(
            model, self.traits, self.budgets, system_prompt=self.system_prompt
        )

    def before_update(self, optimizer: Any) -> None:
        """Nothing is to be done."""

    def after_update(self) -> None:
        """Take the step as far as it may go."""
        assert self._kept is not None
        self._kept.budget()

    def certificate(self) -> CertificateDocument:
        """
        What held of the run so far.

        Raises:
            RuntimeError: no training has begun.
        """
        if self._kept is None:
            raise RuntimeError("no training has begun, so there is nothing to certify")
        return self._kept.certificate()


@dataclass
class Together:
    """Several interventions in one training, in their order."""

    parts: Sequence[Any]

    def begin(self, model: LanguageModel, steps: int) -> None:
        """Begin each."""
        for part in self.parts:
            part.begin(model, steps)

    def before_update(self, optimizer: Any) -> None:
        """Each in turn."""
        for part in self.parts:
            part.before_update(optimizer)

    def after_update(self) -> None:
        """Each in turn: what certifies comes last."""
        for part in self.parts:
            part.after_update()


def projected(
    step: torch.Tensor,
    gradients: torch.Tensor,
    *,
    effect: torch.Tensor | None = None,
    metric: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    The nearest step to `step` whose first-order effect on every probe is `effect`.

    With J the probes' gradients as rows, P the diagonal metric and e the effect it is d - P J^T (J P J^T)^+ (J d - e),
    nearest in the norm x^T P^-1 x: P is what the optimiser lets each weight move for a unit of gradient, the identity
    for SGD. Where the gradients depend on each other and no step has the effect, the nearest effect is taken. What is
    projected must be the step that the optimiser takes, after its preconditioning; a gradient that was projected before
    Adam divides it by its moments is not orthogonal any more (docs/theory.md).

    Args:
        step: (weights,) new weights minus old ones.
        gradients: (probes, weights), at the old weights.
        effect: (probes,) wanted change of each probe; 0 if not given.
        metric: (weights,) positive; all 1 if not given.

    Raises:
        ValueError: no probes, or shapes that differ.
    """
    import torch

    if not len(gradients):
        raise ValueError("needs the gradient of at least one probe")
    if gradients.shape[1] != step.numel():
        raise ValueError(f"a step of {step.numel()} weights, gradients of {gradients.shape[1]}")
    scaled = gradients if metric is None else gradients * metric
    missed = (gradients @ step).double()
    if effect is not None:
        missed = missed - effect.to(missed)
    inverse = torch.linalg.pinv((gradients @ scaled.T).double(), hermitian=True)
    coefficients = inverse @ missed
    taken: torch.Tensor = step - (scaled.T.double() @ coefficients).to(step)
    return taken


def freeze_layers(model: LanguageModel, frozen: Collection[int]) -> None:
    """
    Take the decoder layers of these numbers, from 0, out of what is trained: their adapters, or their own weights.

    In the literature one adapted layer near the bottom is enough for a trait to cross and the upper ones are not
    (Schrodi et al. 2026, arXiv 2509.23886), so that the lower half is the one to freeze.

    Raises:
        ConfigError: there is no such layer, or nothing would be left to train.
        ModelError: the decoder layers cannot be found.
    """
    layers = decoder_layers(model)
    wrong = [number for number in frozen if not 0 <= number < len(layers)]
    if wrong:
        raise ConfigError(f"there is no layer {wrong[0]}; allowed: 0 to {len(layers) - 1}")
    for number in frozen:
        layers[number].requires_grad_(False)
    if not trained_weights(model):
        raise ConfigError(f"all {len(layers)} layers are frozen: nothing is left to train")
