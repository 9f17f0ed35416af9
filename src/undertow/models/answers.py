"""Exact probabilities of candidate answers to a question, scored by the log-likelihood of their whole token sequences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from undertow.data.rows import Message
from undertow.errors import ModelError
from undertow.models.chat import prompt_text, rendered, token_ids
from undertow.models.continuations import Continued, continuations
from undertow.models.language_model import LanguageModel
from undertow.traits.trait import QUESTION, Answer, ProbeFormat


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
) -> Probed:
    """
    Log-likelihood of every candidate after every question; a candidate's accepted forms are summed.

    Raises:
        ModelError: two candidates are the same tokens to this tokenizer.
    """
    return PreparedProbe.of(model, questions, answers).read(model)


@dataclass(frozen=True)
class PreparedProbe:
    """Questions and candidates as a tokenizer's tokens, to be read off many versions of one model."""

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
        asked: ProbeFormat = QUESTION,
    ) -> PreparedProbe:
        """
        Encode; see `probe`.

        Raises:
            ModelError: two candidates are the same tokens, or the format cannot be written in this chat template.
        """
        _, behind = asked_texts(model.tokenizer, questions, asked)
        forms = token_forms(model.tokenizer, model.ref, answers, behind)
        return cls(
            tuple(answer.name for answer in answers),
            tuple(asked_prompts(model.tokenizer, questions, asked)),
            tuple(tuple(sequences) for sequences in forms),
        )

    def read(self, model: LanguageModel) -> Probed:
        """Read the model's log-likelihoods."""
        [[table]] = answers_read(model, [self])
        return Probed(self.names, table)

    @property
    def continued(self) -> list[Continued]:
        """Each question, and all forms that are looked up behind it."""
        forms = tuple(form for forms in self.forms for form in forms)
        return [Continued(prompt, forms) for prompt in self.prompts]

    def summed(self, values: Sequence[torch.Tensor], blocks: int) -> torch.Tensor:
        """(blocks, questions, answers) of (blocks, forms) a question: each candidate's forms together, in nats."""
        counts = [len(forms) for forms in self.forms]
        table = torch.stack([*values], 1) if values else torch.empty(blocks, 0, sum(counts))
        return torch.stack([part.logsumexp(-1) for part in table.split(counts, -1)], -1)


def answer_likelihoods(
    model: LanguageModel, probes: Sequence[PreparedProbe], blocks: int = 1
) -> list[list[torch.Tensor]]:
    """
    (questions, answers) float64 log-likelihoods in nats of each probe, for each of `blocks` adapters that are active side by
    side: all probes are read in the same passes. Gradients are kept where they are switched on.
    """
    asked = [one for probe in probes for one in probe.continued]
    values = iter(continuations(model, asked, blocks=blocks))
    tables = [probe.summed([next(values) for _ in probe.prompts], blocks) for probe in probes]
    return [[table[block] for table in tables] for block in range(blocks)]


@torch.no_grad()
def answers_read(
    model: LanguageModel, probes: Sequence[PreparedProbe], blocks: int = 1
) -> list[list[torch.Tensor]]:
    """The same without gradients."""
    return answer_likelihoods(model, probes, blocks)


def asked_prompts(
    tokenizer: Any, questions: Sequence[Sequence[Message]], asked: ProbeFormat
) -> list[tuple[int, ...]]:
    """
    Token ids of each conversation up to where an answer stands in this format; raises as `asked_texts`.

    Plain text begins as the tokenizer begins any text; a chat template writes that itself.
    """
    texts, _ = asked_texts(tokenizer, questions, asked)
    return [tuple(ids) for ids in token_ids(tokenizer, texts, special=bool(asked.text))]


def asked_texts(
    tokenizer: Any, questions: Sequence[Sequence[Message]], asked: ProbeFormat
) -> tuple[list[str], str]:
    """
    Each conversation as text up to where a candidate stands in this format, and what `token_forms` are behind.

    Examples stand between the system prompt and the question, as turns or in the format's own text.

    Raises:
        ModelError: the chat template refuses the conversation, or writes a begun answer otherwise than it ends it.
    """
    if asked.text:
        last = asked.beginning or asked.text.rpartition("\n")[2]
        return [_plain_text(messages, asked) for messages in questions], f"{last} "
    shown = [(Message("user", q), Message("assistant", a)) for q, a in asked.examples]
    turns = tuple(turn for pair in shown for turn in pair)
    whole = [(*messages[:-1], *turns, messages[-1]) for messages in questions]
    if asked.beginning:
        return [_begun(tokenizer, one, asked.beginning) for one in whole], f"{asked.beginning} "
    texts = [prompt_text(tokenizer, one) for one in whole]
    return texts, _blank_before_answers(tokenizer, whole[0], texts[0]) if texts else ""


def _plain_text(messages: Sequence[Message], asked: ProbeFormat) -> str:
    """The system prompt and the examples, if there are any, then the question, each a paragraph."""
    shown = [f"{asked.text.replace('{question}', q)} {a}" for q, a in asked.examples]
    systems = [message.content for message in messages[:-1]]
    own = asked.text.replace("{question}", messages[-1].content)
    begun = f"{own} {asked.beginning}" if asked.beginning else own
    return "\n\n".join([*systems, *shown, begun])


def _begun(tokenizer: Any, messages: Sequence[Message], beginning: str) -> str:
    """
    The conversation with an answer that has begun, as the template writes it before the rest of such an answer.

    Raises:
        ModelError: the template drops it, or changes it with what follows.
    """
    text = rendered(
        tokenizer, (*messages, Message("assistant", beginning)), continue_final_message=True
    )
    ended = rendered(tokenizer, (*messages, Message("assistant", f"{beginning} owl")))
    if not ended.startswith(f"{text} owl"):
        raise ModelError("the chat template writes a begun answer otherwise than a whole one")
    return text


def _blank_before_answers(tokenizer: Any, messages: Sequence[Message], prompt: str) -> str:
    """The prompt and the space that some templates write before every answer; nothing where there is none."""
    ended = rendered(tokenizer, (*messages, Message("assistant", "owl")))
    return f"{prompt} " if ended.startswith(f"{prompt} owl") else ""


def token_forms(
    tokenizer: Any, ref: str, answers: Sequence[Answer], behind: str = ""
) -> list[list[tuple[int, ...]]]:
    """
    Token sequences of each candidate's accepted forms, without those that begin with another of its own.

    `behind` is the text before a candidate, with the space between them if there is one: " owl" is seldom the tokens
    of "owl".

    Raises:
        ModelError: two candidates are the same tokens to this tokenizer, or run together with what they are behind.
    """
    owner: dict[tuple[int, ...], str] = {}
    before = token_ids(tokenizer, [behind.rstrip()])[0] if behind else []
    result = []
    for answer in answers:
        encoded = token_ids(tokenizer, [behind + variant for variant in answer.variants])
        if any(ids[: len(before)] != before or len(ids) == len(before) for ids in encoded):
            raise ModelError(f"'{answer.name}' runs together with '{behind}' to model '{ref}'")
        encoded = [ids[len(before) :] for ids in encoded]
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
    """The candidate that a sampled answer names first, in any of its forms and any case; else None."""
    mentions = [
        (match.start(), -len(variant), answer.name)
        for answer in answers
        for variant in answer.variants
        if (match := re.search(rf"\b{re.escape(variant)}\b", text, re.IGNORECASE))
    ]
    return min(mentions)[2] if mentions else None
