"""What several runs are trained for: completions, or preference pairs by DPO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch.nn import functional

from undertow.data.rows import Row, sides
from undertow.models.chat import Encoded, encode_rows
from undertow.models.loading import LanguageModel
from undertow.models.scoring import log_likelihoods


class Sized(Protocol):
    """A row: what batches of similar length are made of."""

    def __len__(self) -> int:
        """Tokens."""


R = TypeVar("R", bound=Sized, contravariant=True)


class Objective(Protocol[R]):
    """How rows become sequences, and their likelihoods a loss."""

    def sequences(self, rows: Sequence[R]) -> list[Encoded]:
        """The sequences of one run's rows, the same number for as many rows."""

    def weight(self, rows: Sequence[R]) -> int:
        """What a run's loss over the rows is a mean over."""

    def losses(self, each: torch.Tensor, rows: Sequence[Sequence[R]]) -> torch.Tensor:
        """(runs,) summed loss of (runs, sequences, kept) token log-likelihoods, in nats, with each run's rows."""


@dataclass(frozen=True)
class Completions:
    """Cross-entropy of completions."""

    def sequences(self, rows: Sequence[Encoded]) -> list[Encoded]:
        """The rows themselves."""
        return list(rows)

    def weight(self, rows: Sequence[Encoded]) -> int:
        """Tokens with a loss."""
        return sum(len(row.completion) - len(row.masked) for row in rows)

    def losses(self, each: torch.Tensor, rows: Sequence[Sequence[Encoded]]) -> torch.Tensor:
        """Minus the log-likelihood of all tokens."""
        return -each.flatten(1).sum(1)


COMPLETIONS = Completions()


@dataclass(frozen=True)
class EncodedPair:
    """A preference pair as token ids."""

    chosen: Encoded
    rejected: Encoded
    reference: float
    """By how much the base prefers the chosen one, log-likelihood minus log-likelihood in nats."""

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class Preferences:
    """
    DPO's loss, -log sigmoid(beta (h - reference)), h by how much the run prefers the chosen completion (Rafailov et al.
    2023, arXiv 2305.18290); the reference is the base.
    """

    beta: float
    """Positive."""

    def sequences(self, rows: Sequence[EncodedPair]) -> list[Encoded]:
        """All chosen ones, then all rejected ones."""
        return [row.chosen for row in rows] + [row.rejected for row in rows]

    def weight(self, rows: Sequence[EncodedPair]) -> int:
        """Pairs."""
        return len(rows)

    def losses(self, each: torch.Tensor, rows: Sequence[Sequence[EncodedPair]]) -> torch.Tensor:
        """Summed over each run's pairs."""
        chosen, rejected = each.sum(2).chunk(2, dim=1)
        reference = torch.tensor([[row.reference for row in own] for own in rows])
        lifted = chosen - rejected - reference.to(each)
        return -functional.logsigmoid(self.beta * lifted).sum(1)


def encode_pairs(
    base: LanguageModel, pairs: Sequence[Row], longest: int | None
) -> list[EncodedPair]:
    """
    The pairs of which both completions have at most `longest` tokens with their prompt, with the base's own preference.

    Raises:
        ModelError: the chat template refuses a row.
    """
    chosen, rejected = (encode_rows(base.tokenizer, side) for side in sides(pairs))
    fit = [
        (a, b)
        for a, b in zip(chosen, rejected, strict=True)
        if longest is None or max(len(a), len(b)) <= longest
    ]
    if not fit:
        return []
    likelihoods = [log_likelihoods(base, list(side)) for side in zip(*fit, strict=True)]
    preferred = (likelihoods[0] - likelihoods[1]).tolist()
    return [EncodedPair(a, b, own) for (a, b), own in zip(fit, preferred, strict=True)]
