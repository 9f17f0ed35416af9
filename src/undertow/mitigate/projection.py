"""
Steps without a first-order effect on named probes: the component along their gradients is taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def projected(
    step: Sequence[torch.Tensor], gradients: Sequence[Sequence[torch.Tensor]]
) -> list[torch.Tensor]:
    """
    The part of a step that is orthogonal to every probe's gradient, so that no probe moves at first order.

    With J the probes' gradients as rows, it is d - J^T (J J^T)^+ J d: the nearest step to d, in the Euclidean metric of
    the weights, with J times it equal to 0. What is projected must be the step that the optimiser takes, after its
    preconditioning; a gradient that was projected before Adam divides it by its moments is not orthogonal any more
    (docs/theory.md). One extra backward pass a probe.

    Args:
        step: New weights minus old ones, one tensor a weight.
        gradients: For each probe one tensor a weight, at the old weights.

    Raises:
        ValueError: no probes, or shapes that differ.
    """
    import torch

    if not gradients:
        raise ValueError("needs the gradient of at least one probe")
    flat = torch.cat([part.flatten() for part in step])
    rows = torch.stack([torch.cat([part.flatten() for part in g]) for g in gradients])
    if rows.shape[1] != flat.numel():
        raise ValueError(f"a step of {flat.numel()} weights, gradients of {rows.shape[1]}")
    coefficients = torch.linalg.lstsq(
        (rows @ rows.T).double(), (rows @ flat).double()[:, None], driver="gelsd"
    ).solution[:, 0]
    left = flat - (rows.T.double() @ coefficients).to(flat)
    sizes = [part.numel() for part in step]
    return [part.view_as(like) for part, like in zip(left.split(sizes), step, strict=True)]
