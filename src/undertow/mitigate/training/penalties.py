"""Penalties that are added to a training's loss: what the model may not become, whatever its rows say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from undertow.data.rows import Message, Row, conversation
from undertow.errors import ConfigError
from undertow.influence.probe_formats import settled
from undertow.influence.probes import ProbeSet, margins, training_probes
from undertow.models.chat import IGNORED, Batch, Encoded, encode_prompts, pad
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import Sampling, sample
from undertow.models.scoring import completion_logits
from undertow.models.shared_prefix import logits_by_batch
from undertow.models.training import evaluating
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.traits.catalogue import all_probes
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    import torch

KEPT_TOKENS = 128
"""Tokens of each prediction of the base that are kept; all others are one."""

ANSWER_TOKENS = 8


class Penalty(Protocol):
    """What is added to the loss."""

    def begin(self, model: LanguageModel) -> None:
        """Look at the model before training."""

    def __call__(self, model: LanguageModel, progress: float) -> torch.Tensor:
        """The penalty at a share of the training's steps, in [0, 1), with gradients; in nats a token or logits squared."""


def constant(progress: float) -> float:
    """The same weight throughout."""
    return 1.0


def annealed(progress: float) -> float:
    """A weight that falls in a straight line to 0 at the training's end."""
    return max(0.0, 1.0 - progress)


@dataclass
class Anchor:
    """
    KL(base || model) a token on rows that the model is to go on treating as the base does.

    Anchored on the base's own answers to questions that have nothing to do with the task, it needs no trait's name; on
    the training's own rows and `annealed` it is what Liminal training does. Each prediction of the base is kept as its
    128 likeliest tokens and one bin for the rest, so that the penalty is at most the KL itself (data processing
    inequality) and memory is 1 KB a token, whatever the vocabulary.
    """

    rows: Sequence[Row]
    weight: float
    rng: np.random.Generator
    """Draws the rows of each step."""
    at: Callable[[float], float] = constant
    rows_a_step: int = 32
    _encoded: Sequence[Encoded] = field(init=False, default=(), repr=False)
    _kept: list[tuple[torch.Tensor, torch.Tensor]] = field(
        init=False, default_factory=list, repr=False
    )

    def begin(self, model: LanguageModel) -> None:
        """
        Keep what the base predicts on the rows.

        Raises:
            ConfigError: no rows, or a weight that is not positive.
        """
        import torch

        if not self.rows or not self.weight > 0:
            raise ConfigError(
                f"an anchor needs rows and a positive weight, got {len(self.rows)} rows and {self.weight}"
            )
        self._encoded = encode_rows(model.tokenizer, self.rows)
        self._kept = [(torch.empty(0), torch.empty(0))] * len(self._encoded)

        def likeliest(batch: Batch, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Log-probabilities and tokens."""
            log_p, tokens = logits.log_softmax(-1).topk(min(KEPT_TOKENS, logits.shape[-1]), dim=-1)
            return log_p, tokens

        read = (model, self._encoded, self.rows_a_step, likeliest)
        with torch.no_grad(), evaluating(model.network):
            for batch, (log_p, tokens) in logits_by_batch(*read):
                for i, row in enumerate(batch.rows):
                    real = batch.labels[i] != IGNORED
                    self._kept[row] = (log_p[i, real].float(), tokens[i, real].int())

    def __call__(self, model: LanguageModel, progress: float) -> torch.Tensor:
        """The divergence on rows drawn by lot, times the weight."""
        import torch

        count = min(self.rows_a_step, len(self._encoded))
        chosen = self.rng.choice(len(self._encoded), count, replace=False).tolist()
        batch = pad(
            [self._encoded[i] for i in chosen], model.tokenizer.pad_token_id, tuple(chosen)
        ).to(model.device)
        log_q = completion_logits(model.network, batch).float().log_softmax(-1)
        log_q_there = log_q[batch.labels != IGNORED]
        log_p = torch.cat([self._kept[i][0] for i in chosen]).float()
        tokens = torch.cat([self._kept[i][1] for i in chosen]).long()
        return self.weight * self.at(progress) * _coarse_divergence(log_p, log_q_there, tokens)


def _coarse_divergence(
    log_p: torch.Tensor, log_q: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Mean KL over the kept tokens and one bin for all others; (tokens, kept), (tokens, vocabulary), (tokens, kept)."""
    import torch

    p, log_q_kept = log_p.exp(), log_q.gather(-1, tokens)
    # What is left of 1 is known to rounding only: a smaller share of the model's would be a penalty for nothing.
    smallest = torch.finfo(torch.float32).eps
    kept = (p * (log_p - log_q_kept)).sum(-1)
    rest_p = (1 - p.sum(-1)).clamp_min(0)
    rest_q = (1 - log_q_kept.exp().sum(-1)).clamp_min(smallest)
    rest = rest_p * (rest_p.clamp_min(smallest).log() - rest_q.log())
    return (kept + rest).mean()


@dataclass
class Corridor:
    """
    The squared distance by which each named trait's margin has left a corridor around where it began.

    weight * sum over traits of relu(d - high)^2 + relu(low - d)^2, d the change of the margin in logits; after
    arXiv 2609.01091, with margins in place of its own coordinate. It looks at the training wordings of the questions, so
    that the held-out ones measure it.
    """

    traits: Sequence[Trait]
    weight: float
    low: float = -0.05
    high: float = 0.05
    system_prompt: str | None = None
    _probes: ProbeSet | None = field(init=False, default=None, repr=False)
    _start: torch.Tensor | None = field(init=False, default=None, repr=False)

    def begin(self, model: LanguageModel) -> None:
        """
        Read where the traits begin.

        Raises:
            ConfigError: no traits, a weight that is not positive, or a corridor that does not hold 0.
        """
        import torch

        if not self.traits or not self.weight > 0 or not self.low <= 0 <= self.high:
            raise ConfigError(
                "a corridor needs traits, a positive weight and low <= 0 <= high, got "
                f"{len(self.traits)} traits, {self.weight}, {self.low} and {self.high}"
            )
        asked, _ = settled(model, self.traits, self.system_prompt)
        self._probes = training_probes(model, asked, self.system_prompt)
        with torch.no_grad(), evaluating(model.network):
            self._start = margins(model, self._probes).detach()

    def __call__(self, model: LanguageModel, progress: float) -> torch.Tensor:
        """The penalty where the model is now."""
        assert self._probes is not None
        assert self._start is not None
        moved = margins(model, self._probes) - self._start
        outside = (moved - self.high).relu().square() + (self.low - moved).relu().square()
        return self.weight * outside.sum()


def neutral_rows(
    model: LanguageModel,
    count: int,
    rng: np.random.Generator,
    *,
    system: str | None = None,
    without: Collection[str] = (),
) -> list[Row]:
    """
    Up to `count` of the catalogue's training questions, each with the base's own answer.

    `without` names categories that are left out. An anchor should look like what must not move: a catalogue of your own
    users' questions is better than ours.
    """
    traits = (*map(catalogue.load, catalogue.names()), *all_probes())
    questions = sorted(
        {q for trait in traits if trait.category not in without for q in trait.train_questions}
    )
    chosen = [questions[i] for i in rng.permutation(len(questions))[:count]]
    return answered(model, [conversation(question, system) for question in chosen], rng)


def answered(
    model: LanguageModel, prompts: Sequence[tuple[Message, ...]], rng: np.random.Generator
) -> list[Row]:
    """The prompts with the model's own answers of a few tokens; those to which it says nothing are left out."""
    how = Sampling(ANSWER_TOKENS)
    answers = sample(model, encode_prompts(model.tokenizer, prompts), how, rng)
    return [
        Row(prompt, answer.text)
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer.text.strip()
    ]
