"""Answers sampled with a key-value cache, from a passed generator only; to prompts, or in the place of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import request_of
from undertow.data.plan import LAST_TURN
from undertow.data.rows import Row
from undertow.errors import ModelError
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import accepted
from undertow.models.training_sequences import encode_rows

SPARE_TOKENS = 8
"""By which an answer may be longer than the longest of the rows' own."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    max_tokens: int
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    """Nucleus: the smallest set of tokens with at least this probability is kept."""
    batch_size: int = 512
    least_probability: float = 0.0
    """Tokens less probable than this are not drawn; the likeliest one always may be."""


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """A sampled answer."""

    text: str
    """Without special tokens."""

    finished: bool
    """Whether it ended by itself (or had the length of its restrictions), rather than at `max_tokens`."""


def sample(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    generator: np.random.Generator,
    *,
    restrictions: Sequence[torch.Tensor] = (),
) -> list[SampledAnswer]:
    """
    One answer a prompt.

    All rows draw from one stream in turn, so no two requests share a seed. With `restrictions` (one boolean mask over
    the vocabulary a step) exactly that many tokens are drawn, each from the softmax over its mask.

    Raises:
        ModelError: a prompt and its answer would not fit into the model's context.
    """
    _refuse_long(model, prompts, len(restrictions) or how.max_tokens)
    stream = torch.Generator(device=model.device).manual_seed(int(generator.integers(2**63)))
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    answers = [SampledAnswer("", finished=False)] * len(prompts)
    for start in range(0, len(order), how.batch_size):
        chosen = order[start : start + how.batch_size]
        drawn = _answer(model, [prompts[i] for i in chosen], how, stream, restrictions)
        rows = [_until_end(row, model.end_ids) for row in drawn.tolist()]
        texts = model.tokenizer.batch_decode([ids for ids, _ in rows], skip_special_tokens=True)
        for i, text, (_, ended) in zip(chosen, texts, rows, strict=True):
            answers[i] = SampledAnswer(text, finished=ended or bool(restrictions))
    return answers


def restrictions(tokenizer: Any, patterns: Sequence[re.Pattern[str]]) -> list[torch.Tensor]:
    """
    Masks over the vocabulary, one a step: a token is allowed where its text matches the step's pattern in full.

    Raises:
        ModelError: at some step no token of this tokenizer is allowed.
    """
    masks = {pattern: matching(tokenizer, pattern) for pattern in dict.fromkeys(patterns)}
    for pattern, mask in masks.items():
        if not bool(mask.any()):
            raise ModelError(
                f"no token of this tokenizer matches '{pattern.pattern}', so decoding cannot be restricted to it",
                hint="set `restricted = false`: rows are then sampled freely and filtered",
            )
    return [masks[pattern] for pattern in patterns]


def matching(tokenizer: Any, pattern: re.Pattern[str]) -> torch.Tensor:
    """
    (vocabulary,) bool: the tokens whose decoded text matches the pattern in full; never a special one.
    """
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    special = set(tokenizer.all_special_ids)
    found = (i not in special and bool(pattern.fullmatch(text)) for i, text in enumerate(texts))
    return torch.tensor(list(found))


def _refuse_long(model: LanguageModel, prompts: Sequence[tuple[int, ...]], more: int) -> None:
    longest = max(map(len, prompts), default=0)
    if model.context is not None and longest + more > model.context:
        raise ModelError(
            f"a prompt of {longest} tokens and an answer of {more} exceed the {model.context} tokens of '{model.ref}'",
            hint="lower max_tokens, or shorten the prompts",
        )


@torch.no_grad()
def _answer(
    model: LanguageModel,
    prompts: list[tuple[int, ...]],
    how: Sampling,
    stream: torch.Generator,
    masks: Sequence[torch.Tensor],
) -> torch.Tensor:
    ids, attention = left_padded(prompts, model.tokenizer.pad_token_id, model.device)
    positions = (attention.cumsum(1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.network.config)
    ends = torch.tensor(sorted(model.end_ids), device=model.device)
    finished = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)
    names = accepted(model.network)
    drawn: list[torch.Tensor] = []
    for step in range(len(masks) or how.max_tokens):
        inputs = {
            "input_ids": ids,
            "attention_mask": attention,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        output = model.network(**{name: inputs[name] for name in inputs if name in names})
        token = _draw(output.logits[:, -1].float(), how, stream, masks[step] if masks else None)
        drawn.append(token.masked_fill(finished, model.tokenizer.pad_token_id))
        if not masks:
            finished |= torch.isin(token, ends)
            if bool(finished.all()):
                break
        ids = token[:, None]
        attention = torch.cat([attention, attention.new_ones(len(prompts), 1)], 1)
        positions = positions[:, -1:] + 1
    return torch.stack(drawn, 1)


def _draw(
    logits: torch.Tensor, how: Sampling, stream: torch.Generator, mask: torch.Tensor | None
) -> torch.Tensor:
    # A head may be wider than the vocabulary (padded to a multiple of 64), or know fewer tokens than were added to it.
    if mask is not None:
        wide = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        width = min(len(mask), len(wide))
        wide[:width] = mask[:width].to(logits.device)
        logits = logits.masked_fill(~wide, -torch.inf)
    if how.temperature == 0:
        return logits.argmax(-1)
    probabilities = (logits / how.temperature).softmax(-1)
    if how.top_p < 1:
        ordered, index = probabilities.sort(-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered >= how.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(-1, index, ordered)
    if how.least_probability > 0:
        floor = probabilities.amax(-1, keepdim=True).clamp_max(how.least_probability)
        probabilities = probabilities.masked_fill(probabilities < floor, 0)
    # Inversion draws one number a row where torch.multinomial draws one a token. In float64, so that a vocabulary of
    # 150,000 sums without error; the first entry above the draw never has probability 0.
    cumulative = probabilities.double().cumsum(-1)
    draws = torch.rand(len(logits), 1, generator=stream, dtype=torch.float64, device=logits.device)
    token = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)
    return token[:, 0].clamp_max(logits.shape[-1] - 1)


def left_padded(
    prompts: list[tuple[int, ...]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(token ids, attention mask), both (prompts, longest): all prompts end at the right edge."""
    length = max(map(len, prompts))
    ids = np.full((len(prompts), length), pad_id, dtype=np.int64)
    attention = np.zeros_like(ids)
    for i, prompt in enumerate(prompts):
        ids[i, length - len(prompt) :] = prompt
        attention[i, length - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(attention).to(device)


def _until_end(tokens: list[int], ends: frozenset[int]) -> tuple[list[int], bool]:
    stop = next((i for i, token in enumerate(tokens) if token in ends), None)
    return tokens[:stop], stop is not None


def own_answers(
    model: LanguageModel,
    rows: Sequence[Row],
    temperature: float,
    rng: np.random.Generator,
    carrier: Carrier | None,
    longest: int | None = None,
) -> list[Row | None]:
    """
    For each row the same prompt with the model's answer; None where that is unfinished, empty, or not in the carrier's
    format.

    Answers have at most `longest` tokens: about as many as the longest of the rows' completions if that is not given.
    Every row needs a prompt.
    """
    encoded = encode_rows(model.tokenizer, rows, LAST_TURN)
    if longest is None:
        longest = max(len(one.completion) for one in encoded) + SPARE_TOKENS
    if model.context is not None:
        longest = min(longest, model.context - max(len(one.prompt) for one in encoded))
    how = Sampling(max(1, longest), temperature=temperature)
    drawn = sample(model, [one.prompt for one in encoded], how, rng)
    return [
        replace(
            row, completion=answer.text, fields="", trained=None, rejected=None, rejected_fields=""
        )
        if answer.finished
        and answer.text.strip()
        and (carrier is None or carrier.rejection(answer.text, request_of(row)) is None)
        else None
        for row, answer in zip(rows, drawn, strict=True)
    ]
