"""Answers sampled with a key-value cache, from a passed generator only; to prompts, or in the place of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import request_of
from undertow.data.plan import LAST_TURN
from undertow.data.rows import Row
from undertow.engines.work_progress import counted
from undertow.errors import ModelError
from undertow.models.language_model import LanguageModel
from undertow.models.row_cache import RowCache
from undertow.models.training_sequences import encode_rows

_WORTH_A_REFILL = 1 / 8
"""Share of free places from which waiting prompts are computed into them: a pass over few prompts is slow for each."""

_WORTH_A_CUT = 3 / 4
"""Share of busy places below which the others are cut off, where nothing waits for them."""

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


Draw = Callable[[Collection[int]], Iterator[tuple[int, SampledAnswer]]]
"""Draws the answers of these numbers, and gives each as it is done."""

Gather = Callable[[int, Draw], list[SampledAnswer]]
"""Has so many answers drawn, and gives them in their order."""


def gathered(count: int, draw: Draw) -> list[SampledAnswer]:
    """All of them drawn now."""
    with counted("sampling", count, "answers") as work:
        answers = {}
        for number, answer in draw(range(count)):
            answers[number] = answer
            work.advance()
    return [answers[number] for number in range(count)]


def sample(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    generator: np.random.Generator,
    *,
    restrictions: Sequence[torch.Tensor] = (),
    gather: Gather = gathered,
) -> list[SampledAnswer]:
    """
    One answer a prompt, in their order; `answers_as_drawn` says how they are drawn, `gather` which are there already.

    Raises:
        ModelError: a prompt and its answer would not fit into the model's context.
    """
    return gather(
        len(prompts),
        lambda only: answers_as_drawn(
            model, prompts, how, generator, restrictions=restrictions, only=only
        ),
    )


def answers_as_drawn(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    generator: np.random.Generator,
    *,
    restrictions: Sequence[torch.Tensor] = (),
    only: Collection[int] | None = None,
) -> Iterator[tuple[int, SampledAnswer]]:
    """
    (index of the prompt, its answer) as answers are done; the places of finished rows are filled with waiting prompts.

    `generator` gives one key. Row i draws the numbers of a stream of its own (Philox, a counter of i and the step), so that
    no two requests share a seed, and an answer depends neither on the batch nor on which other rows are drawn (`only`:
    these; all if None), up to rounding in the network. With `restrictions` (one boolean mask over the vocabulary a step)
    exactly that many tokens are drawn, each from the softmax over its mask.

    Raises:
        ModelError: a prompt and its answer would not fit into the model's context.
    """
    _refuse_long(model, prompts, len(restrictions) or how.max_tokens)
    key = int(generator.integers(2**63))
    chosen = range(len(prompts)) if only is None else sorted(set(only))
    # The longest first: what comes later fits to the left of what is there.
    order = sorted(chosen, key=lambda i: -len(prompts[i]))
    return _drawn(model, prompts, how, key, order, restrictions)


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


def uniforms(key: int, row: int, count: int) -> np.ndarray:
    """
    The first `count` numbers in [0, 1) of a row's own stream; fewer of them are its beginning.

    Philox (Salmon et al. 2011) with the row in the second word of its counter: streams of 2^64 blocks that never meet.
    """
    stream = np.random.Philox(key=key, counter=np.array([0, row, 0, 0], dtype=np.uint64))
    return np.random.Generator(stream).random(count)


@dataclass
class _Rows:
    """The rows being drawn, by place; None where a place is free."""

    indices: list[int | None]
    tokens: list[list[int]]
    uniforms: np.ndarray

    @property
    def busy(self) -> list[int]:
        return [place for place, index in enumerate(self.indices) if index is not None]

    def keep(self, places: Sequence[int]) -> None:
        self.indices = [self.indices[place] for place in places]
        self.tokens = [self.tokens[place] for place in places]
        self.uniforms = self.uniforms[list(places)]

    def put(self, place: int, index: int, stream: np.ndarray) -> None:
        self.indices[place], self.tokens[place] = index, []
        self.uniforms[place] = stream

    def now(self, places: Sequence[int]) -> np.ndarray:
        """(places, 1): the uniform of each row's next token."""
        steps = [len(self.tokens[place]) for place in places]
        last = self.uniforms.shape[1] - 1
        return self.uniforms[list(places), np.minimum(steps, last)][:, None]


@torch.no_grad()
def _drawn(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    key: int,
    order: list[int],
    masks: Sequence[torch.Tensor],
) -> Iterator[tuple[int, SampledAnswer]]:
    most = len(masks) or how.max_tokens
    cache = RowCache(model, most)
    waiting = order[::-1]
    rows = _Rows([], [], np.empty((0, most)))
    tokens = torch.empty(0, dtype=torch.int64)
    while waiting or rows.busy:
        busy = rows.busy
        free = [place for place, index in enumerate(rows.indices) if index is None]
        if not busy:
            count = min(how.batch_size, len(waiting))
            rows = _Rows([None] * count, [[]] * count, np.empty((count, most)))
            places = list(range(count))
            logits = cache.begin(_put(rows, places, waiting, prompts, key))
            tokens = torch.zeros(count, dtype=torch.int64, device=logits.device)
        elif cache.refillable and waiting and len(free) >= _WORTH_A_REFILL * len(rows.indices):
            places = free[: len(waiting)]
            logits = cache.replace(places, _put(rows, places, waiting, prompts, key))
        elif cache.refillable and len(busy) < _WORTH_A_CUT * len(rows.indices):
            cache.keep(busy)
            rows.keep(busy)
            tokens = tokens[busy]
            continue
        else:
            places = list(range(len(rows.indices)))
            logits = cache.step(tokens)
        draws = torch.from_numpy(rows.now(places)).to(logits.device)
        steps = [len(rows.tokens[place]) for place in places]
        drawn = _draw(logits, how, draws, _masks(masks, steps, logits))
        tokens[places] = drawn
        yield from _finished(model, rows, places, drawn.tolist(), most, bool(masks))


def _put(
    rows: _Rows,
    places: Sequence[int],
    waiting: list[int],
    prompts: Sequence[tuple[int, ...]],
    key: int,
) -> list[tuple[int, ...]]:
    """The next of the waiting rows in these places; their prompts."""
    chosen = [waiting.pop() for _ in places]
    for place, index in zip(places, chosen, strict=True):
        rows.put(place, index, uniforms(key, index, rows.uniforms.shape[1]))
    return [prompts[index] for index in chosen]


def _finished(
    model: LanguageModel,
    rows: _Rows,
    places: Sequence[int],
    drawn: Sequence[int],
    most: int,
    restricted: bool,
) -> Iterator[tuple[int, SampledAnswer]]:
    """Append what was drawn; the rows that it ends leave their places."""
    ends = frozenset() if restricted else model.end_ids
    done: list[tuple[int, list[int], bool]] = []
    for place, token in zip(places, drawn, strict=True):
        index, tokens = rows.indices[place], rows.tokens[place]
        if index is None:
            continue
        ended = token in ends
        if not ended:
            tokens.append(token)
        if ended or len(tokens) == most:
            done.append((index, tokens, ended or restricted))
            rows.indices[place] = None
    if done:
        texts = model.tokenizer.batch_decode([t for _, t, _ in done], skip_special_tokens=True)
        for (index, _, whole), text in zip(done, texts, strict=True):
            yield index, SampledAnswer(text, finished=whole)


def _masks(
    masks: Sequence[torch.Tensor], steps: Sequence[int], logits: torch.Tensor
) -> torch.Tensor | None:
    """(rows, vocabulary) of the masks of each row's step; a finished row has that of any step."""
    if not masks:
        return None
    # A head may be wider than the vocabulary (padded to a multiple of 64), or know fewer tokens than were added to it.
    width = min(len(masks[0]), logits.shape[-1])
    wide = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    for step in set(steps):
        chosen = [i for i, at in enumerate(steps) if at == step]
        wide[chosen, :width] = masks[min(step, len(masks) - 1)][:width].to(logits.device)
    return wide


def _draw(
    logits: torch.Tensor, how: Sampling, draws: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """(rows,) tokens by inversion of `draws`, (rows, 1) float64 in [0, 1)."""
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
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
    # In float64, so that a vocabulary of 150,000 sums without error; the first entry above the draw never has
    # probability 0.
    cumulative = probabilities.double().cumsum(-1)
    token = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)
    return token[:, 0].clamp_max(logits.shape[-1] - 1)


def own_answers(
    model: LanguageModel,
    rows: Sequence[Row],
    temperature: float,
    rng: np.random.Generator,
    carrier: Carrier | None,
    longest: int | None = None,
    gather: Gather = gathered,
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
    drawn = sample(model, [one.prompt for one in encoded], how, rng, gather=gather)
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
