"""Exact probabilities of candidate answers to a question, scored by the log-likelihood of their whole token sequences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from undertow.data.rows import Message
from undertow.errors import ModelError
from undertow.models.batch_memory import fitted
from undertow.models.chat import prompt_text, rendered, token_ids
from undertow.models.language_model import LanguageModel
from undertow.models.output_head import exact_logits
from undertow.models.row_cache import left_padded
from undertow.models.scoring import cached_logits, sequences_at_once
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

    def read(self, model: LanguageModel, *, batch_size: int = 256) -> Probed:
        """Read the model's log-likelihoods; at most `batch_size` sequences are computed at a time."""
        return self._summed(continuations(model, self.prompts, self._flat, batch_size=batch_size))

    def read_blocks(self, model: LanguageModel, blocks: int) -> list[Probed]:
        """Read several adapters that are active side by side, in one pass."""
        values = continuations_in_blocks(model, self.prompts, self._flat, blocks)
        return [self._summed(block) for block in values]

    def differentiable(self, model: LanguageModel) -> torch.Tensor:
        """(questions, answers) float64 log-likelihoods in nats, with gradients, in one pass."""
        values = differentiable_continuations(model, self.prompts, self._flat)
        return self._summed(values).log_likelihoods

    @property
    def sequences(self) -> int:
        """How many sequences a reading computes."""
        return len(self.prompts) * max(1, len({form[:-1] for form in self._flat if len(form) > 1}))

    @property
    def _flat(self) -> list[tuple[int, ...]]:
        return [form for forms in self.forms for form in forms]

    def _summed(self, values: torch.Tensor) -> Probed:
        columns, start = [], 0
        for forms in self.forms:
            columns.append(values[:, start : start + len(forms)].logsumexp(1))
            start += len(forms)
        return Probed(self.names, torch.stack(columns, 1))


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


@torch.no_grad()
def continuations(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    forms: Sequence[tuple[int, ...]],
    *,
    batch_size: int = 256,
) -> torch.Tensor:
    """
    Log-likelihood in nats of every form after every prompt, (prompts, forms) float64; `batch_size` sequences at a time.

    A form of one token costs nothing beyond its prompt; a longer one, its tokens but the last.
    """
    result = torch.empty(len(prompts), len(forms), dtype=torch.float64)
    batch_size = sequences_at_once(model, max(map(len, forms), default=1), batch_size)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    short = [i for i, form in enumerate(forms) if len(form) == 1]
    long = [i for i, form in enumerate(forms) if len(form) > 1]
    at_once = max(1, batch_size // max(1, min(batch_size, len(order))))
    groups = [long[i : i + at_once] for i in range(0, len(long), at_once)] or [[]]

    def made(start: int, stop: int) -> tuple[list[int], torch.Tensor]:
        rows = order[start:stop]
        values = torch.empty(len(rows), len(forms), dtype=torch.float64)
        for number, group in enumerate(groups):
            chosen = [forms[i] for i in group]
            first, later = _after(model, [prompts[i] for i in rows], chosen)
            if number == 0 and short:
                values[:, short] = first[:, [forms[i][0] for i in short]]
            if group:
                values[:, group] = first[:, [form[0] for form in chosen]] + later
        return rows, values

    for rows, values in fitted(model, [len(prompts[i]) for i in order], batch_size, made):
        result[rows] = values
    return result


@torch.no_grad()
def continuations_in_blocks(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    forms: Sequence[tuple[int, ...]],
    blocks: int,
) -> torch.Tensor:
    """The same of each of several adapters that are active side by side, (blocks, prompts, forms) float64."""
    positions = blocks * len({form[:-1] for form in forms}) * max(map(len, forms))
    size = sequences_at_once(model, positions, len(prompts))

    def made(start: int, stop: int) -> torch.Tensor:
        part = prompts[start:stop]
        return _at_once(model, [*part] * blocks, forms).view(blocks, len(part), -1)

    longest = max(map(len, prompts), default=0)
    return torch.cat([*fitted(model, [blocks * longest] * len(prompts), size, made)], 1)


def differentiable_continuations(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], forms: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    """The same of one model, (prompts, forms) float64, as a function of its weights: gradients are kept."""
    with torch.enable_grad():
        return _at_once(model, [*prompts], forms)


def _at_once(
    model: LanguageModel, prompts: list[tuple[int, ...]], forms: Sequence[tuple[int, ...]]
) -> torch.Tensor:
    long = [i for i, form in enumerate(forms) if len(form) > 1]
    first, later = _after(model, prompts, [forms[i] for i in long])
    result = first[:, [form[0] for form in forms]]
    result[:, long] += later
    return result


def _after(
    model: LanguageModel, prompts: list[tuple[int, ...]], forms: list[tuple[int, ...]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    ((prompts, vocabulary) log-probabilities of the next token, (prompts, forms) log-likelihood of what follows a
    form's first token).
    """
    ids, mask = left_padded(prompts, model.tokenizer.pad_token_id, model.device)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.network.config) if forms else None
    with exact_logits(model.network):
        logits = cached_logits(model.network, ids, mask, positions, cache, 1)
    first = logits[:, -1].double().log_softmax(-1).cpu()
    if not forms or cache is None:
        return first, torch.empty(len(prompts), 0)
    # Forms that begin alike are fed once: what follows is read off the same logits.
    prefixes = list(dict.fromkeys(form[:-1] for form in forms))
    fed = max(map(len, prefixes))
    tokens = torch.full((len(prefixes), fed), model.tokenizer.pad_token_id)
    for i, prefix in enumerate(prefixes):
        tokens[i, : len(prefix)] = torch.tensor(prefix)
    real = torch.arange(fed) < torch.tensor([len(prefix) for prefix in prefixes])[:, None]
    tokens, real = (each.repeat(len(prompts), 1).to(model.device) for each in (tokens, real))
    cache.batch_repeat_interleave(len(prefixes))
    whole = torch.cat([mask.repeat_interleave(len(prefixes), 0), real.to(mask)], 1)
    last = positions[:, -1:].repeat_interleave(len(prefixes), 0)
    steps = last + 1 + torch.arange(fed, device=model.device)
    with exact_logits(model.network):
        logits = cached_logits(model.network, tokens, whole, steps, cache, fed)
    logits = logits.float().view(len(prompts), len(prefixes), fed, -1)
    # One look-up for all forms: one each would make backward passes write a whole table of zeros a token.
    numbers = {prefix: row for row, prefix in enumerate(prefixes)}
    looked = [
        (column, numbers[form[:-1]], place, token)
        for column, form in enumerate(forms)
        for place, token in enumerate(form[1:])
    ]
    columns, rows, places, chosen = torch.tensor(looked, device=logits.device).T
    each = logits[:, rows, places, chosen] - logits.logsumexp(-1)[:, rows, places]
    later = torch.zeros(len(prompts), len(forms), dtype=torch.float64, device=logits.device)
    return first, later.index_add(1, columns, each.double()).cpu()
