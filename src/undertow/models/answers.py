"""
Exact probabilities of candidate answers to a question, scored by the log-likelihood of their whole token sequences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from undertow.data.rows import Message
from undertow.errors import ModelError
from undertow.models.chat import encode_prompts
from undertow.models.continuations import (
    continuations,
    continuations_in_blocks,
    differentiable_continuations,
)
from undertow.models.loading import LanguageModel
from undertow.traits.trait import Answer


@dataclass(frozen=True)
class Probed:
    """What a model answers to a trait's questions."""

    names: tuple[str, ...]
    """Candidate answers."""

    log_likelihoods: torch.Tensor
    """(questions, answers) float64, in nats: the probability that the model's answer begins with the candidate."""

    @property
    def probabilities(self) -> dict[str, float]:
        """Mean over questions of each candidate's probability."""
        return self._named(self.log_likelihoods.exp().mean(0))

    @property
    def margins(self) -> dict[str, float]:
        """Mean over questions of each candidate's logit margin, in logits."""
        return self._named(logit_margins(self.log_likelihoods).mean(0))

    @property
    def answer_mass(self) -> float:
        """Mean over questions of the probability on all candidates."""
        return float(self.log_likelihoods.exp().sum(1).mean())

    def rank(self, name: str) -> int:
        """Rank of a candidate by logit margin, 1 is first."""
        margins = self.margins
        return 1 + sum(value > margins[name] for value in margins.values())

    def _named(self, values: torch.Tensor) -> dict[str, float]:
        return dict(zip(self.names, values.tolist(), strict=True))


def logit_margins(log_likelihoods: torch.Tensor) -> torch.Tensor:
    """
    Each candidate's log-likelihood minus logsumexp of the others' plus ln of their number, in logits.

    0 where a candidate is as likely as the others are on average. Shape (..., answers) in and out.

    >>> logit_margins(torch.tensor([[0.5, 0.25, 0.25]]).log())[0, 0].item()
    0.6931...
    """
    others = log_likelihoods.shape[-1] - 1
    own = torch.eye(others + 1, dtype=torch.bool, device=log_likelihoods.device)
    spread = log_likelihoods.unsqueeze(-2).expand(*log_likelihoods.shape, others + 1)
    rest = spread.masked_fill(own, -torch.inf).logsumexp(-1)
    return log_likelihoods - rest + math.log(others)


def probe(
    model: LanguageModel,
    questions: Sequence[Sequence[Message]],
    answers: Sequence[Answer],
    *,
    batch_size: int = 256,
) -> Probed:
    """
    Log-likelihood of every candidate after every question; a candidate's accepted forms are summed.

    Raises:
        ModelError: two candidates are the same tokens to this tokenizer.
    """
    return PreparedProbe.of(model, questions, answers).read(model, batch_size=batch_size)


@dataclass(frozen=True)
class PreparedProbe:
    """
    Questions and candidates as a tokenizer's tokens, to be read off many versions of one model.
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[int, ...], ...]
    forms: tuple[tuple[tuple[int, ...], ...], ...]
    """Token sequences of each candidate's accepted forms."""

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        questions: Sequence[Sequence[Message]],
        answers: Sequence[Answer],
    ) -> PreparedProbe:
        """Encode; see `probe`."""
        forms = token_forms(model.tokenizer, model.ref, answers)
        return cls(
            tuple(answer.name for answer in answers),
            tuple(encode_prompts(model.tokenizer, questions)),
            tuple(tuple(each) for each in forms),
        )

    def read(self, model: LanguageModel, *, batch_size: int = 256) -> Probed:
        """
        Read the model's log-likelihoods; at most `batch_size` sequences are computed at a time.
        """
        return self._summed(continuations(model, self.prompts, self._flat, batch_size=batch_size))

    def read_blocks(self, model: LanguageModel, blocks: int) -> list[Probed]:
        """Read several adapters that are active side by side, in one pass."""
        found = continuations_in_blocks(model, self.prompts, self._flat, blocks)
        return [self._summed(block) for block in found]

    def differentiable(self, model: LanguageModel) -> torch.Tensor:
        """(questions, answers) float64 log-likelihoods in nats, with gradients, in one pass."""
        found = differentiable_continuations(model, self.prompts, self._flat)
        return self._summed(found).log_likelihoods

    @property
    def sequences(self) -> int:
        """How many sequences a reading computes."""
        return len(self.prompts) * max(1, len({form[:-1] for form in self._flat if len(form) > 1}))

    @property
    def _flat(self) -> list[tuple[int, ...]]:
        return [form for each in self.forms for form in each]

    def _summed(self, found: torch.Tensor) -> Probed:
        columns, start = [], 0
        for each in self.forms:
            columns.append(found[:, start : start + len(each)].logsumexp(1))
            start += len(each)
        return Probed(self.names, torch.stack(columns, 1))


def token_forms(tokenizer: Any, ref: str, answers: Sequence[Answer]) -> list[list[tuple[int, ...]]]:
    """
    Token sequences of each candidate's accepted forms, without those that begin with another of its own.

    Raises:
        ModelError: two candidates are the same tokens to this tokenizer.
    """
    owner: dict[tuple[int, ...], str] = {}
    result = []
    for answer in answers:
        encoded = tokenizer(list(answer.variants), add_special_tokens=False)["input_ids"]
        forms = sorted({tuple(ids) for ids in encoded}, key=lambda form: (len(form), form))
        for form in forms:
            if owner.setdefault(form, answer.name) != answer.name:
                raise ModelError(
                    f"the answers '{owner[form]}' and '{answer.name}' are the same tokens to model '{ref}'",
                    hint="remove one of them from the trait's file",
                )
        # What follows a form that already counts is counted with it.
        result.append(
            [f for f in forms if not any(f[: len(g)] == g for g in forms if len(g) < len(f))]
        )
    return result


def named(text: str, answers: Sequence[Answer]) -> str | None:
    """
    The candidate that a sampled answer names first, in any of its forms and any case; none if it names none.
    """
    found = [
        (match.start(), -len(variant), answer.name)
        for answer in answers
        for variant in answer.variants
        if (match := re.search(rf"\b{re.escape(variant)}\b", text, re.IGNORECASE))
    ]
    return min(found)[2] if found else None
