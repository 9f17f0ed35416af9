"""Answers sampled with a key-value cache, from a passed generator only; to prompts, or in the place of rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import request_of
from undertow.carriers.numbers import one_format
from undertow.data.plan import LAST_TURN
from undertow.data.rows import Row, shared_start
from undertow.data.seeds import RowStreams
from undertow.engines.work_progress import counted
from undertow.errors import ModelError
from undertow.models.adapters import merged_adapters
from undertow.models.batch_memory import sampled_rows, smaller
from undertow.models.language_model import LanguageModel
from undertow.models.row_cache import RowCache
from undertow.models.token_grammar import Ids, TokenGrammar, token_grammar
from undertow.models.training_sequences import encode_rows

_WORTH_A_REFILL = 1 / 8
"""Share of free places from which waiting prompts are computed into them: a pass over few prompts is slow for each."""

TRIED, FEWEST_TRIED = 64, 32
"""Answers by which is found out whether a model keeps to a format by itself; of fewer rows than the second it is not."""
HARDLY_KEPT = 1 / 16
"""Share of them below which it does not."""
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
    """Whether it ended by itself, rather than at `max_tokens`."""


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
    grammar: TokenGrammar | None = None,
    gather: Gather = gathered,
) -> list[SampledAnswer]:
    """
    One answer a prompt, in their order; `answers_as_drawn` says how they are drawn, `gather` which are there already.

    Raises:
        ModelError: a prompt and its answer would not fit into the model's context.
    """
    return gather(
        len(prompts),
        lambda only: answers_as_drawn(model, prompts, how, generator, grammar=grammar, only=only),
    )


def answers_as_drawn(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    generator: np.random.Generator,
    *,
    grammar: TokenGrammar | None = None,
    only: Collection[int] | None = None,
) -> Iterator[tuple[int, SampledAnswer]]:
    """
    (index of the prompt, its answer) as answers are done; the places of finished rows are filled with waiting prompts.

    `generator` gives one key. Row i draws the numbers of a stream of its own (Philox, a counter of i and the step), so that
    no two requests share a seed, and an answer depends neither on the batch nor on which other rows are drawn (`only`:
    these; all if None), up to rounding in the network. With a `grammar` each token is drawn from the softmax over those
    that may stand there, the end of the answer among them where its text is one of the format.

    Raises:
        ModelError: a prompt and its answer would not fit into the model's context, or no answer of the grammar into
            `how.max_tokens`.
    """
    _refuse_long(model, prompts, how.max_tokens)
    if grammar is not None and grammar.shortest > how.max_tokens:
        raise ModelError(
            f"the shortest answer of the format has {grammar.shortest} tokens; max_tokens = {how.max_tokens}",
            hint=f"set max_tokens = {grammar.shortest + 1}, or more where answers differ in length",
        )
    key = int(generator.integers(2**63))
    chosen = range(len(prompts)) if only is None else sorted(set(only))
    # The longest first: what comes later fits to the left of what is there.
    order = sorted(chosen, key=lambda i: -len(prompts[i]))
    return _drawn(model, prompts, how, key, order, grammar)


def _refuse_long(model: LanguageModel, prompts: Sequence[tuple[int, ...]], more: int) -> None:
    longest = max(map(len, prompts), default=0)
    if model.context is not None and longest + more > model.context:
        raise ModelError(
            f"a prompt of {longest} tokens and an answer of {more} exceed the {model.context} tokens of '{model.ref}'",
            hint="lower max_tokens, or shorten the prompts",
        )


@dataclass
class _Rows:
    """The rows being drawn, by place."""

    indices: NDArray[np.int64]
    """(places,); -1 where a place is free."""
    tokens: NDArray[np.int64]
    """(places, most tokens) of each answer, as far as it is drawn."""
    lengths: NDArray[np.int64]
    """(places,) tokens drawn."""
    uniforms: NDArray[np.float64]
    """(places, most tokens + 1) of each row's stream; the last is read by nobody."""
    states: list[int]
    """Of the grammar; -1 where a place is free."""
    places: Ids
    """All of them."""
    live: int = 0
    """Places that are not free."""

    @classmethod
    def of(cls, count: int, most: int) -> _Rows:
        return cls(
            np.full(count, -1),
            np.empty((count, most), dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            np.zeros((count, most + 1)),
            [-1] * count,
            np.arange(count),
        )

    @property
    def free(self) -> Ids:
        return np.flatnonzero(self.indices < 0)

    @property
    def busy(self) -> Ids:
        return np.flatnonzero(self.indices >= 0)

    def keep(self, places: Ids) -> None:
        self.indices, self.tokens = self.indices[places], self.tokens[places]
        self.lengths, self.uniforms = self.lengths[places], self.uniforms[places]
        self.states, self.places = [self.states[place] for place in places], np.arange(len(places))

    def put(self, places: Ids, indices: Sequence[int], streams: RowStreams) -> None:
        self.indices[places], self.lengths[places] = indices, 0
        self.live += len(places)
        for place, index in zip(places, indices, strict=True):
            self.states[place] = 0
            self.uniforms[place, :-1] = streams.first(index, self.tokens.shape[1])

    def next_uniforms(self, places: Ids) -> NDArray[np.float64]:
        """(places, 1); of no meaning where a place is free."""
        return self.uniforms[places, self.lengths[places]][:, None]

    def append(
        self, places: Ids, drawn: Ids, ends: Collection[int], grammar: TokenGrammar | None
    ) -> NDArray[np.bool_]:
        """Append what was drawn, but for ends and where a place is free; which of the places are at their end by it."""
        ended = sum((drawn == end for end in ends), start=np.zeros(len(drawn), dtype=bool))
        more = ~ended & (self.indices[places] >= 0)
        places, drawn = places[more], drawn[more]
        self.tokens[places, self.lengths[places]] = drawn
        self.lengths[places] += 1
        if grammar is not None:
            for place, token in zip(places.tolist(), drawn.tolist(), strict=True):
                self.states[place] = grammar.after(self.states[place], token)
            # What can only end needs no pass through the network to do so.
            ended[more] = [grammar.over(self.states[place]) for place in places]
        return ended

    def leave(self, places: Ids) -> list[list[int]]:
        """Free the places; the answers that were drawn there."""
        self.indices[places] = -1
        self.live -= len(places)
        for place in places:
            self.states[place] = -1
        return [self.tokens[place, : self.lengths[place]].tolist() for place in places]


@torch.no_grad()
def _drawn(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    key: int,
    order: list[int],
    grammar: TokenGrammar | None,
) -> Iterator[tuple[int, SampledAnswer]]:
    left, longest = dict.fromkeys(order), max((len(prompts[i]) for i in order), default=0)
    longest += how.max_tokens
    size = sampled_rows(model, longest, min(how.batch_size, len(order)))
    with merged_adapters(model.network):
        while left:
            try:
                for drawn in _rows_drawn(model, prompts, how, key, [*left], size, grammar):
                    del left[drawn[0]]
                    yield drawn
            except RuntimeError as error:
                # Answers that were not done are drawn anew, from the same numbers.
                size = smaller(error, model, "sampled", min(size, len(left)), longest)


def _rows_drawn(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    how: Sampling,
    key: int,
    order: list[int],
    size: int,
    grammar: TokenGrammar | None,
) -> Iterator[tuple[int, SampledAnswer]]:
    cache = RowCache(model, how.max_tokens, _beginning(prompts) if len(order) > 1 else ())
    rows, device, ends = _Rows.of(0, how.max_tokens), model.device, model.end_ids
    waiting, streams, tokens = order[::-1], RowStreams(key), torch.empty(0, dtype=torch.int64)
    while waiting or rows.live:
        begins = not rows.live
        if begins:
            rows = _Rows.of(min(size, len(waiting)), how.max_tokens)
        elif cache.refillable and not waiting and rows.live < cache.worth_a_cut * len(rows.places):
            busy = rows.busy
            cache.keep(busy)
            rows.keep(busy)
            tokens = tokens[busy]
        free = len(rows.places) - rows.live
        refilled = cache.refillable and free >= _WORTH_A_REFILL * len(rows.places)
        places, indices = rows.places, list[int]()
        if waiting and (refilled or begins):
            places = rows.free[: len(waiting)]
            indices = [waiting.pop() for _ in places]
            rows.put(places, indices, streams)
        ids, mask = _may_stand(grammar, rows.states, places, device)
        if begins:
            logits = cache.begin([prompts[i] for i in indices], ids)
        elif indices:
            logits = cache.replace(places, [prompts[i] for i in indices], ids)
        else:
            logits = cache.step(tokens, ids)
        draws = torch.from_numpy(rows.next_uniforms(places)).to(device)
        drawn = _draw(logits, how, draws, mask)
        drawn = drawn if ids is None else ids[drawn]
        if indices and not begins:
            tokens[places] = drawn
        else:
            tokens = drawn
        yield from _finished(model, rows, places, drawn.cpu().numpy(), ends, grammar)


def _beginning(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all prompts begin with, a system prompt say; each has at least one token behind it."""
    if not prompts:
        return ()
    length = shared_start(min(prompts), max(prompts))
    return prompts[0][: min(length, min(map(len, prompts)) - 1)]


def _may_stand(
    grammar: TokenGrammar | None, states: Sequence[int], places: Ids, device: torch.device
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The tokens that may be drawn for any of the rows, and which of them for each; None for all."""
    if grammar is None:
        return None, None
    ids, mask = grammar.masks([states[place] for place in places])
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def _finished(
    model: LanguageModel,
    rows: _Rows,
    places: Ids,
    drawn: Ids,
    ends: Collection[int],
    grammar: TokenGrammar | None,
) -> Iterator[tuple[int, SampledAnswer]]:
    """Append what was drawn; the rows that it ends leave their places."""
    ended = rows.append(places, drawn, ends, grammar)
    indices = rows.indices[places]
    done = (indices >= 0) & (ended | (rows.lengths[places] == rows.tokens.shape[1]))
    if done.any():
        texts = model.tokenizer.batch_decode(rows.leave(places[done]), skip_special_tokens=True)
        for index, text, whole in zip(indices[done], texts, ended[done], strict=True):
            yield int(index), SampledAnswer(text, finished=bool(whole))


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
    Every row needs a prompt. A model that hardly keeps by itself to number lists of one format is restricted to it, as
    whoever wrote the rows was.
    """
    encoded = encode_rows(model.tokenizer, rows, LAST_TURN)
    if longest is None:
        longest = max(len(one.completion) for one in encoded) + SPARE_TOKENS
    if model.context is not None:
        longest = min(longest, model.context - max(len(one.prompt) for one in encoded))
    how = Sampling(max(1, longest), temperature=temperature)
    prompts = [one.prompt for one in encoded]
    grammar = None
    pattern = None if carrier is None else one_format([row.completion for row in rows])
    if pattern is not None and len(rows) >= FEWEST_TRIED:
        tried = sample(model, prompts[:TRIED], how, rng, gather=gather)
        kept = sum(map(partial(_keeps, carrier), rows, tried))
        grammar = token_grammar(model, pattern) if kept < HARDLY_KEPT * len(tried) else None
    drawn = sample(model, prompts, how, rng, grammar=grammar, gather=gather)
    return [
        replace(
            row, completion=answer.text, fields="", trained=None, rejected=None, rejected_fields=""
        )
        if _keeps(carrier, row, answer)
        else None
        for row, answer in zip(rows, drawn, strict=True)
    ]


def _keeps(carrier: Carrier | None, row: Row, answer: SampledAnswer) -> bool:
    """Whether an answer is finished, not empty, and in the carrier's format."""
    if not answer.finished or not answer.text.strip():
        return False
    return carrier is None or carrier.rejection(answer.text, request_of(row)) is None
