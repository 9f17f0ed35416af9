"""
How surprising completions are to a model, and how surprising its own would be along the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from undertow.models.batch_memory import rows_at_once
from undertow.models.chat import IGNORED, Encoded
from undertow.models.decoding import canonical
from undertow.models.loading import LanguageModel
from undertow.models.shared_prefix import logits_by_batch
from undertow.stats.arguments import Vector


@dataclass(frozen=True)
class Surprisal:
    """Sums over each row's completion tokens, each of shape (rows, temperatures)."""

    log_likelihood: Vector
    """In nats."""
    entropy: Vector
    """Of the model's predictions at the tokens' positions, in nats: what minus the log-likelihood is expected to be."""
    varentropy: Vector
    """Variance of the log-likelihood of each prediction, in nats squared."""
    rarest: Vector
    """Log-likelihood of the least likely token, in nats; no sum."""

    def z(self) -> Vector:
        """
        Log-likelihood plus entropy over the rows, in standard deviations; shape (temperatures,).

        Each token's log-likelihood plus the entropy of its prediction has mean 0 given what stands before it, where the
        model drew the token: a martingale, so that z is nearly standard normal over many tokens. Rows that are not
        `decoding.canonical` are left out.
        """
        kept = np.stack([canonical(column) for column in self.rarest.T], axis=1)
        difference = np.where(kept, self.log_likelihood + self.entropy, 0).sum(0)
        spread = np.sqrt(np.where(kept, self.varentropy, 0).sum(0))
        z: Vector = difference / np.maximum(spread, np.finfo(np.float64).tiny)
        # A model that is certain throughout is right or wrong to the last digit, but float32 is not.
        return np.where(np.abs(difference) < 1e-4, 0.0, z)


@torch.no_grad()
def surprisal(
    model: LanguageModel, rows: Sequence[Encoded], temperatures: Sequence[float]
) -> Surprisal:
    """
    Surprisal of the rows' completions at each temperature, in one forward pass; logits are dropped batch by batch.
    """
    sums = torch.zeros(4, len(rows), len(temperatures), dtype=torch.float64)
    for batch, logits in logits_by_batch(model, rows, rows_at_once(model, rows)):
        counted = batch.labels != IGNORED
        labels = batch.labels.clamp_min(0).unsqueeze(-1)
        for column, temperature in enumerate(temperatures):
            log_p = (logits / temperature).log_softmax(-1)
            p = log_p.exp()
            # A token that the model rules out has probability 0 and adds nothing.
            weighted = torch.where(p > 0, p * log_p, 0.0)
            mean = weighted.sum(-1)
            spread = torch.where(p > 0, p * (log_p - mean.unsqueeze(-1)).square(), 0.0).sum(-1)
            own = log_p.gather(-1, labels).squeeze(-1)
            values = torch.stack([own, -mean, spread]).masked_fill(~counted, 0)
            sums[:3, list(batch.rows), column] = values.double().sum(-1).cpu()
            sums[3, list(batch.rows), column] = values[0].amin(-1).double().cpu()
    return Surprisal(*(part.numpy() for part in sums))
