"""
Steps whose first-order effect on named probes is what it is asked to be: nothing, or the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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
