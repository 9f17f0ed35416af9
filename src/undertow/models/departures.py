"""Where one model's predictions part from another's along the same rows, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.models.batch_memory import rows_at_once
from undertow.models.chat import IGNORED, Batch, Encoded, batches
from undertow.models.loading import LanguageModel
from undertow.models.scoring import completion_logits
from undertow.stats.arguments import Vector


@dataclass(frozen=True)
class Departures:
    """
    Sums over each row's completion tokens, and counts over all rows of each token of the vocabulary.
    """

    tokens: Vector
    """(rows,) completion tokens."""
    divergent: Vector
    """(rows,) tokens that the one model ranks first and the other does not."""
    log_ratio: Vector
    """(rows,) log-likelihood under the one model minus that under the other, in nats."""
    divergence: Vector
    """(rows,) KL(one || other) in nats, over the whole vocabulary."""
    seen: NDArray[np.int64]
    """(vocabulary,) how often each token is a divergent one."""


@torch.no_grad()
def departures(one: LanguageModel, other: LanguageModel, rows: Sequence[Encoded]) -> Departures:
    """
    Compare two models of one vocabulary on the rows, each in one forward pass; logits are dropped batch by batch.

    A token x_t is divergent where the one model's most likely token is x_t and the other's is not: the definition of
    Schrodi et al. 2025 (arXiv 2509.23886), with the other model in the place of their counterfactual teachers.
    """
    width = len(one.tokenizer)
    sums = torch.zeros(4, len(rows), dtype=torch.float64)
    seen = torch.zeros(width, dtype=torch.int64)
    size = rows_at_once(one, rows, most=64)
    for batch in batches(rows, size, one.tokenizer.pad_token_id):
        ours, theirs = (
            _log_probabilities(model, batch.to(model.device), width).to(one.device)
            for model in (one, other)
        )
        labels = batch.labels.to(one.device)
        counted, ids = labels != IGNORED, labels.clamp_min(0)
        divergent = counted & (ours.argmax(-1) == ids) & (theirs.argmax(-1) != ids)
        at = ids.unsqueeze(-1)
        ratio = (ours.gather(-1, at) - theirs.gather(-1, at)).squeeze(-1)
        kl = (ours.exp() * (ours - theirs)).sum(-1)
        values = torch.stack([counted, divergent, ratio * counted, kl * counted])
        sums[:, list(batch.rows)] = values.double().sum(-1).cpu()
        seen += torch.bincount(ids[divergent], minlength=width).cpu()
    tokens, parted, log_ratio, divergence = (part.numpy() for part in sums)
    return Departures(tokens, parted, log_ratio, divergence, seen.numpy())


def _log_probabilities(model: LanguageModel, batch: Batch, width: int) -> torch.Tensor:
    # A head may be wider than the vocabulary (padded to a multiple of 64); what no token stands for is never compared.
    return completion_logits(model.network, batch)[..., :width].float().log_softmax(-1)
