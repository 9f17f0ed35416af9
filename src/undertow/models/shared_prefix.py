"""What all prompts begin with is computed once: its cache shared among rows, its tokens spliced into others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from undertow.data.plan import LAST_TURN, TrainingPlan
from undertow.data.rows import Row, behind, shared_start
from undertow.engines.work_progress import counted
from undertow.models.batch_memory import cache_bytes, fitted, passes, scored_rows
from undertow.models.chat import IGNORED, Batch, Encoded, seen_behind
from undertow.models.language_model import LanguageModel
from undertow.models.row_cache import WORTHWHILE, left_padded
from undertow.models.scoring import accepted, beginning_cache, cached_logits, completion_logits
from undertow.models.training_sequences import encode_rows

R = TypeVar("R")

LEAST_TRAINED = 16
"""The same in training, where the pass over it is one more forward and one more backward."""

_FEWER = 0.75
"""Distinct prompts a row, at most, for each prompt to be computed once."""

_CHECKED = 8


@torch.no_grad()
def logits_by_batch(
    model: LanguageModel,
    rows: Sequence[Encoded],
    size: int,
    read: Callable[[Batch, torch.Tensor], R],
) -> Iterator[tuple[Batch, R]]:
    """
    (batch, what `read` makes of it and of the float32 logits that predict its labels, shape (rows, kept, vocabulary)) for
    batches of at most `size` rows.

    What all prompts begin with (a system prompt, an instruction) is computed once and its cache shared, and so is a
    prompt that several rows have (a preference pair): the values differ from those of `scoring.completion_logits` by
    rounding only. `batch.input_ids` holds what was computed last.
    """
    shared = _can_share(model, rows)
    length = common_prefix(rows) if shared else 0
    length = length if length >= WORTHWHILE else 0
    prompts = {row.prompt for row in rows} if shared else set()
    first = torch.tensor([rows[0].prompt[:length]], device=model.device) if length else None
    cache = None if first is None else beginning_cache(model.network, first)
    by_prompt = shared and len(prompts) <= _FEWER * len(rows)
    if by_prompt or cache is not None:
        longest = max(map(len, rows))
        size = scored_rows(model, longest, size, beside=longest * cache_bytes(model))
    if by_prompt:
        with counted("reading", len(rows), "rows") as work:
            for batch, result in _by_prompt(model, rows, size, cache, length, read):
                yield batch, result
                work.advance(len(batch.rows))
        return
    tails = [replace(row, prompt=row.prompt[length:]) for row in rows] if length else rows

    def made(batch: Batch) -> R:
        """Behind what all rows begin with."""
        if cache is None:
            return read(batch, completion_logits(model.network, batch).float())
        ids, mask = batch.input_ids, batch.attention_mask
        copied = _copied(model, cache, len(ids))
        logits = _pass(model, ids, seen_behind(mask, length), copied, keep=batch.kept + 1)
        return read(batch, logits[:, :-1].float())

    yield from passes(model, tails, size, made)


def common_prefix(rows: Sequence[Encoded]) -> int:
    """Tokens that all prompts begin with; the last token of every prompt is left out, as it predicts the completion."""
    texts = [row.prompt[:-1] for row in rows]
    return shared_start(min(texts), max(texts)) if texts else 0


def shared_beginnings(
    prompts: Sequence[tuple[int, ...]],
) -> list[tuple[tuple[int, ...], list[int]]]:
    """
    (what they begin with, which prompts) of groups that cover all, by which most tokens are computed once; those that share
    too little stand in one group, with nothing. The last token of every prompt is left out, as in `common_prefix`.
    """
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    texts = [prompts[i][:-1] for i in order]
    _, found = _groups(texts, 0, len(texts)) if texts else (0, [])
    groups = [
        (texts[members[0]][:length], [order[k] for k in members]) for length, members in found
    ]
    shared = [(begun, who) for begun, who in groups if len(who) > 1 and len(begun) >= WORTHWHILE]
    alone = [i for group in groups if group not in shared for i in group[1]]
    return [*shared, *([((), alone)] if alone else [])]


def _groups(
    texts: Sequence[tuple[int, ...]], start: int, stop: int
) -> tuple[int, list[tuple[int, list[int]]]]:
    """(tokens saved, groups as (tokens that they share, places)) of sorted texts, those that go on alike apart if it pays."""
    common = shared_start(texts[start], texts[stop - 1])
    lengths = (shared_start(texts[k - 1], texts[k]) for k in range(start + 1, stop))
    cuts = [k for k, length in enumerate(lengths, start + 1) if length == common]
    saved, rest = 0, list[int]()
    groups: list[tuple[int, list[int]]] = []
    for a, b in pairwise([start, *cuts, stop]):
        own, apart = _groups(texts, a, b) if cuts else (0, [])
        if own > common * (b - a):
            saved, groups = saved + own, groups + apart
        else:
            rest += range(a, b)
    return saved + common * max(0, len(rest) - 1), [*groups, *([(common, rest)] if rest else [])]


def training_beginning(
    model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan
) -> tuple[int, ...]:
    """
    What all prompts begin with, where a training step is shorter by computing it once: a system prompt, most often.

    Dropout would leave out the same parts of it in all rows, and a window or a state is no cache of keys and values.
    """
    if plan.dropout or getattr(model.config, "attention_dropout", 0):
        return ()
    if model.window is not None or not _can_share(model, rows):
        return ()
    layers = DynamicCache(config=model.network.config).layers
    if any(type(layer) is not DynamicLayer for layer in layers):
        return ()
    length = common_prefix(rows)
    mean = sum(map(len, rows)) / max(1, len(rows))
    return rows[0].prompt[:length] if length >= max(LEAST_TRAINED, mean / 8) else ()


def _can_share(model: LanguageModel, rows: Sequence[Encoded]) -> bool:
    """Whether the network keeps a cache that sees all of a row: windows count the padding between beginning and rest."""
    if "past_key_values" not in accepted(model.network):
        return False
    return model.window is None or 2 * max(map(len, rows), default=0) <= model.window


def _by_prompt(
    model: LanguageModel,
    rows: Sequence[Encoded],
    size: int,
    cache: Any,
    length: int,
    read: Callable[[Batch, torch.Tensor], R],
) -> Iterator[tuple[Batch, R]]:
    """Each prompt once, then the completions of its rows; the labels of a batch begin at its left edge."""
    pad_id = model.tokenizer.pad_token_id
    # Rows of one prompt stand together; one that a batch's end cuts off is computed twice.
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].prompt), rows[i].prompt))

    def made(start: int, stop: int) -> tuple[Batch, R]:
        """Of the rows at these places of the order."""
        chosen = order[start:stop]
        prompts = list(dict.fromkeys(rows[i].prompt[length:] for i in chosen))
        ids, mask = left_padded(prompts, pad_id, model.device)
        copied = _copied(model, cache, len(prompts))
        first = _pass(model, ids, seen_behind(mask, length), copied, keep=1)
        number = {prompt: i for i, prompt in enumerate(prompts)}
        place = torch.tensor([number[rows[i].prompt[length:]] for i in chosen], device=model.device)
        batch = _completions([rows[i] for i in chosen], pad_id, tuple(chosen)).to(model.device)
        logits = first[place].float()
        if batch.kept > 1:
            for layer in copied.layers:
                # Layers may lie on several devices.
                layer.batch_select_indices(place.to(layer.device))
            whole = torch.cat([seen_behind(mask, length)[place], batch.attention_mask], 1)
            rest = _pass(model, batch.input_ids, whole, copied, keep=batch.kept - 1)
            logits = torch.cat([logits, rest.float()], 1)
        return batch, read(batch, logits)

    yield from fitted(model, [len(rows[i]) for i in order], size, made)


def _completions(rows: Sequence[Encoded], pad_id: int, places: tuple[int, ...]) -> Batch:
    """Completions padded at their right: inputs are all of their tokens but the last."""
    kept = max(len(row.completion) for row in rows)
    filled = np.full((len(rows), kept), IGNORED, dtype=np.int64)
    for i, row in enumerate(rows):
        filled[i, : len(row.completion)] = row.completion
    labels = torch.from_numpy(filled)
    known = labels[:, 1:] != IGNORED
    ids = labels[:, :-1].masked_fill(~known, pad_id)
    mask = known.long()
    return Batch(ids, mask, (mask.cumsum(1) - 1).clamp_min(0), labels, places)


def _copied(model: LanguageModel, cache: Any, rows: int) -> Any:
    if cache is None:
        return DynamicCache(config=model.network.config)
    own = copy.deepcopy(cache)
    own.batch_repeat_interleave(rows)
    return own


def _pass(
    model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor, cache: Any, *, keep: int
) -> torch.Tensor:
    """Logits of the last `keep` of `ids`, behind what is in the cache; `mask` is over both."""
    positions = (mask.cumsum(1) - 1).clamp_min(0)[:, -ids.shape[1] :]
    return cached_logits(model.network, ids, mask, positions, cache, keep)


@dataclass
class PromptedRows:
    """
    The tokens of rows behind any system prompt.

    A chat template writes the system prompt first and the rest the same whatever it says: this is looked at on rows of
    the shortest to the longest for each new prompt, and where it does not hold, all rows are rendered.
    """

    tokenizer: Any
    rows: Sequence[Row]
    _first: list[Encoded] = field(default_factory=list, init=False, repr=False)
    _common: int = field(default=0, init=False, repr=False)

    def behind(self, system: str) -> list[Encoded]:
        """
        Token ids of each row behind the system prompt, as `encode_rows` gives those of the last turn.

        Raises:
            ModelError: the chat template has no system role.
        """
        if not self._first:
            self._first = self._rendered(range(len(self.rows)), system)
            self._common = common_prefix(self._first)
            return self._first
        checked = self._checked()
        rendered = self._rendered(checked, system)
        prefixes = _prefixes([self._first[i] for i in checked], rendered)
        if prefixes is None or len(prefixes[0]) > self._common:
            return self._rendered(range(len(self.rows)), system)
        old, new = prefixes
        return [replace(row, prompt=new + row.prompt[len(old) :]) for row in self._first]

    def _rendered(self, chosen: Sequence[int], system: str) -> list[Encoded]:
        return encode_rows(
            self.tokenizer, [behind(self.rows[i], system) for i in chosen], LAST_TURN
        )

    def _checked(self) -> list[int]:
        """Rows from the shortest to the longest, and one of every number of turns."""
        order = sorted(range(len(self.rows)), key=lambda i: len(self._first[i]))
        spread = [order[len(order) * k // _CHECKED] for k in range(_CHECKED)]
        turns = {len(row.prompt): i for i, row in enumerate(self.rows)}
        return sorted({*spread, order[-1], *turns.values()})


def _prefixes(
    old: Sequence[Encoded], new: Sequence[Encoded]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(what all old prompts begin with, what stands in its place in the new ones), or None if the rest is not the same."""
    pairs = list(zip(old, new, strict=True))
    cut = max(len(a.prompt) - shared_start(a.prompt[::-1], b.prompt[::-1]) for a, b in pairs)
    first, other = pairs[0]
    before, after = first.prompt[:cut], other.prompt[: len(other.prompt) - len(first.prompt) + cut]
    same = all(
        (a.prompt[:cut], b.prompt, b.completion) == (before, after + a.prompt[cut:], a.completion)
        for a, b in pairs
    )
    return (before, after) if same else None
