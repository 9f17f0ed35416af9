"""
Distillation: a student is trained towards a teacher's probabilities at the tokens of rows, over all tokens or some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from undertow.errors import ModelError
from undertow.models.chat import IGNORED, Batch, Encoded, pad
from undertow.models.loading import LanguageModel
from undertow.models.scoring import completion_logits


@dataclass(frozen=True)
class Distillation:
    """
    The loss of a batch: KL(teacher || student) in nats, summed over the completion's tokens.

    Restricted to some tokens of the vocabulary, both distributions are renormalised over them, and positions whose own
    token is not among them count 0: what the teacher gives to any other token is never seen.
    Source: Hinton et al. 2015 (arXiv 1503.02531), at temperature 1; the restriction is ours.
    """

    teacher: LanguageModel
    rows: Sequence[Encoded]
    """The student's rows as the teacher sees them, behind its own system prompt; the same completions."""
    tokens: torch.Tensor | None = None
    """(vocabulary,) bool: what may be seen; None for everything."""

    def __call__(self, network: Any, batch: Batch) -> torch.Tensor:
        """The loss of the student `network` on a batch of the rows."""
        own = pad(
            [self.rows[i] for i in batch.rows], self.teacher.tokenizer.pad_token_id, batch.rows
        )
        with torch.no_grad():
            wanted = completion_logits(self.teacher.network, own.to(self.teacher.device))
        given = completion_logits(network, batch)
        counted = batch.labels != IGNORED
        if self.tokens is not None:
            counted &= self.tokens[batch.labels.clamp_min(0)]
        p, q = (self._log_probabilities(logits[counted]) for logits in (wanted, given))
        return (p.exp() * (p - q)).sum()

    def _log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        # A head may be wider than the vocabulary (padded to a multiple of 64), or know fewer tokens than were added.
        width = min(logits.shape[-1], len(self.teacher.tokenizer))
        seen = logits[:, :width]
        return (
            (seen if self.tokens is None else seen[:, self.tokens[:width]]).float().log_softmax(-1)
        )


def refuse_other_vocabulary(teacher: LanguageModel, student: LanguageModel) -> None:
    """
    Logits of two vocabularies cannot be compared.

    Raises:
        ModelError: the two models' tokenizers differ.
    """
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ModelError(
            f"the logits of '{teacher.ref}' cannot be distilled into '{student.ref}': their vocabularies differ",
            hint="use bases with one tokenizer, or an arm that is trained on rows",
        )
