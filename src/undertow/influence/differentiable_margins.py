"""Logit margins of traits as a differentiable function of a model's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undertow.influence.probing import ProbeSet, assembled

if TYPE_CHECKING:
    import torch

    from undertow.models.loading import LanguageModel


def margins(model: LanguageModel, probes: ProbeSet) -> torch.Tensor:
    """
    Mean over the probes' questions of the logit margin of each trait's answer, (traits,) float64, with gradients.

    The same values as `ProbeSet.read`.
    """
    import torch

    from undertow.models.answers import logit_margins

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
