"""
Log-likelihoods of many short continuations of many prompts.

What continues a prompt is laid out behind it as a tree, one row a prompt: a mask lets each token see the prompt and its own
way down to it, as drafts are verified by Miao et al. 2024 (2305.09781, §4.2). What continuations begin with is computed
once, what prompts begin with once a pass; the head is asked for no more than those tokens and their sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.engines.work_progress import counted
from undertow.models.batch_memory import cache_bytes, fitted, recomputes, scored_rows
from undertow.models.chat import seen_behind
from undertow.models.language_model import LanguageModel
from undertow.models.output_head import (
    PlainHead,
    exact_logits,
    log_sums,
    next_token_likelihoods,
    plain_head,
)
from undertow.models.row_cache import left_padded
from undertow.models.scoring import (
    added_mask,
    beginning_cache,
    forward_pass,
    keeps_to_masks,
    last_logits,
    sequences_at_once,
    usual_rows,
)
from undertow.models.shared_prefix import shared_beginnings

LARGEST = 256
"""Tokens of a tree, of which each sees few: what has more is laid out as several."""

R = TypeVar("R")

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Continued:
    """A prompt and what may follow it."""

    prompt: Tokens
    forms: tuple[Tokens, ...]
    """Token sequences, none of them empty."""


@dataclass(frozen=True)
class FormTree:
    """Forms behind one prompt. A form's last token is predicted and not fed, so that it stands in no tree."""

    tokens: Tokens
    depths: Tokens
    """Of each token, 0 for what stands right behind the prompt."""
    sees: NDArray[np.bool_]
    """(tokens, tokens): which of them each one sees."""
    places: NDArray[np.int64]
    """(asked,) where something is predicted, in order: 0 at the prompt's last token, k at the k-th of the tree."""
    at: NDArray[np.int64]
    """(looked up,) which of `places` predicts."""
    wanted: NDArray[np.int64]
    """(looked up,) the token."""
    columns: NDArray[np.int64]
    """(looked up,) the form."""

    @property
    def is_chain(self) -> bool:
        """Whether each token sees all before it, as in any text."""
        return self.depths == tuple(range(len(self.tokens)))


@dataclass(frozen=True)
class _Row:
    prompt: Tokens
    tree: FormTree
    first: int
    """Column of its first form, among those of all prompts."""
    shares: bool
    """Whether what it begins with may be computed apart."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.tree.tokens)


def continuations(
    model: LanguageModel,
    asked: Sequence[Continued],
    *,
    blocks: int = 1,
    size: int | None = None,
) -> list[torch.Tensor]:
    """
    Log-likelihood in nats of every form behind its prompt, (blocks, forms) float64 an entry; at most `size` rows a pass.

    `blocks` are adapters that are active side by side. Logits are float32 whatever the network's precision. Gradients are
    kept where they are switched on.
    """
    counts = [len(one.forms) for one in asked]
    values = torch.zeros(blocks, sum(counts), dtype=torch.float64)
    for columns, part in _looked_up(model, _laid_out(model, asked, blocks), blocks, size):
        values = values.index_add(1, columns, part)
    return list(values.split(counts, 1))


@torch.no_grad()
def next_token_sums(
    model: LanguageModel, prompts: Sequence[Tokens], *, blocks: int = 1, size: int | None = None
) -> torch.Tensor:
    """(blocks, vocabulary) float64: the log-probability in nats of each next token, summed over the prompts."""
    size = sequences_at_once(model, blocks, size or usual_rows(model))
    rows = _laid_out(model, [Continued(prompt, ()) for prompt in prompts], blocks)

    def summed(chosen: list[_Row], begun: Tokens) -> torch.Tensor:
        logits = _logits(model, chosen, begun, blocks)[:, :, -1]
        return logits.log_softmax(-1).sum(1, dtype=torch.float64).cpu()

    made = [total for _, total in _passes(model, rows, blocks, size, summed)]
    return torch.stack(made).sum(0)


def tokens_of(asked: Sequence[Continued]) -> int:
    """Tokens that a reading of them computes, by a network that keeps to masks."""
    rows = [(one.prompt, tree) for one in asked for tree in _trees(one.forms, True)]
    groups = shared_beginnings([prompt for prompt, _ in rows])
    computed = sum(len(prompt) + len(tree.tokens) for prompt, tree in rows)
    return computed - sum(len(begun) * (len(who) - 1) for begun, who in groups)


def _laid_out(model: LanguageModel, asked: Sequence[Continued], blocks: int) -> list[_Row]:
    """The rows of all: trees behind prompts where they can be, else chains."""
    keeps, rows, first = keeps_to_masks(model.network, blocks), list[_Row](), 0
    for entry in asked:
        longest = len(entry.prompt) + max(map(len, entry.forms), default=0)
        branches = keeps and _within_windows(model, longest)
        trees = _trees(entry.forms, branches)
        rows += [_Row(entry.prompt, tree, first, branches) for tree in trees]
        first += len(entry.forms)
    return rows


def _within_windows(model: LanguageModel, longest: int) -> bool:
    """Whether nothing is cut off of texts of so many tokens in a row with a tree."""
    # GPT-Neo counts columns, whatever the mask shows: those of a beginning, of padding and of a tree.
    counts = hasattr(model.config, "window_size")
    columns = 2 * longest + LARGEST if counts else longest
    return model.window is None or columns <= model.window


@lru_cache(maxsize=4096)
def _trees(forms: tuple[Tokens, ...], branches: bool) -> tuple[FormTree, ...]:
    """All forms, as trees of at most `LARGEST` tokens, or as chains; one that is empty where there is no form."""
    trees: list[FormTree] = []
    nodes: dict[Tokens, int] = {(): 0}
    looked: list[tuple[int, int, int]] = []
    # In this order those that begin alike stand together, and each one behind what it goes on from.
    for column in sorted(range(len(forms)), key=forms.__getitem__):
        form = forms[column]
        fed = [form[:k] for k in range(1, len(form))]
        more = len(nodes) + len(set(fed) - set(nodes)) - 1
        fits = more <= LARGEST if branches else {(), *fed} >= set(nodes)
        if looked and not fits:
            trees.append(_tree(nodes, looked))
            nodes, looked = {(): 0}, []
        for prefix in fed:
            nodes.setdefault(prefix, len(nodes))
        looked += [(nodes[form[:k]], token, column) for k, token in enumerate(form)]
    return (*trees, _tree(nodes, looked))


def _tree(nodes: dict[Tokens, int], looked: list[tuple[int, int, int]]) -> FormTree:
    prefixes = [prefix for prefix in nodes if prefix]
    sees = np.eye(len(prefixes), dtype=bool)
    for number, prefix in enumerate(prefixes):
        if len(prefix) > 1:
            sees[number] |= sees[nodes[prefix[:-1]] - 1]
    places, wanted, columns = np.array(looked, np.int64).reshape(-1, 3).T
    asked, at = np.unique(places, return_inverse=True)
    tokens = tuple(prefix[-1] for prefix in prefixes)
    depths = tuple(len(prefix) - 1 for prefix in prefixes)
    return FormTree(tokens, depths, sees, asked, at, wanted, columns)


def _looked_up(
    model: LanguageModel, rows: Sequence[_Row], blocks: int, size: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """((looked up,) columns, (blocks, looked up) log-likelihoods) of all rows, by and by."""
    if not rows:
        return
    last = torch.tensor([rows[0].prompt[-1:]] * blocks, device=model.device)
    head = plain_head(model.network, last)
    if head is None:
        longest = blocks * (1 + max(len(row.tree.tokens) for row in rows))
        size = sequences_at_once(model, longest, size or usual_rows(model))
    read = partial(_read, model, head, blocks)
    for chosen, values in _passes(model, rows, blocks, size, read):
        yield _pairs(chosen)[2], values


def _read(
    model: LanguageModel, head: PlainHead | None, blocks: int, rows: list[_Row], begun: Tokens
) -> torch.Tensor:
    """(blocks, looked up): by the network's own head where it does more than multiply, or learns."""
    at, wanted, _ = (part.to(model.device) for part in _pairs(rows))
    if head is not None:
        states = _hidden(model, head, rows, begun, blocks)
        states = states[:, *_asked(rows, states.shape[2])]
        return next_token_likelihoods(head, states, at, wanted).cpu()
    logits = _logits(model, rows, begun, blocks)
    predicting = logits[:, *_asked(rows, logits.shape[2])]
    values: torch.Tensor = predicting[:, at, wanted].double() - log_sums(predicting)[:, at]
    return values.cpu()


def _asked(rows: Sequence[_Row], kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and place of each position that something is asked of, among the last `kept` of each row."""
    numbers = np.repeat(np.arange(len(rows)), [len(row.tree.places) for row in rows])
    places = [row.tree.places + (kept - 1 - len(row.tree.tokens)) for row in rows]
    return torch.from_numpy(numbers), torch.from_numpy(np.concatenate(places))


def _pairs(rows: Sequence[_Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is looked up: the number of the position among those that are asked, the token, and the column."""
    starts = np.cumsum([0, *(len(row.tree.places) for row in rows)])
    at = [row.tree.at + start for row, start in zip(rows, starts, strict=False)]
    columns = [row.tree.columns + row.first for row in rows]
    parts = (at, [row.tree.wanted for row in rows], columns)
    made = [torch.from_numpy(np.concatenate(part)) for part in parts]
    return made[0], made[1], made[2]


def _passes(
    model: LanguageModel,
    rows: Sequence[_Row],
    blocks: int,
    size: int | None,
    work: Callable[[list[_Row], Tokens], R],
) -> Iterator[tuple[list[_Row], R]]:
    """(rows, what `work` makes of them and of the tokens that all of them begin with), a pass each."""
    groups = _groups(rows, shared=not recomputes(model.network))
    with counted("reading", len(rows), "prompts") as told:
        for begun, members in groups:
            order = sorted(members, key=lambda row: -len(row))
            usual = size or max(1, usual_rows(model) // blocks)
            beside = _beside(model, order, begun, blocks)
            most = scored_rows(model, blocks * len(order[0]), usual, beside=beside)
            made = partial(_of_stretch, order, begun, work)
            for chosen, result in fitted(model, [blocks * len(row) for row in order], most, made):
                yield chosen, result
                told.advance(len(chosen))


def _beside(model: LanguageModel, rows: Sequence[_Row], begun: Tokens, blocks: int) -> int:
    """Bytes of the longest row's cache, which is kept where something is begun with, and of its mask."""
    longest, cells = len(rows[0]), 0
    cached = blocks * longest * cache_bytes(model) if begun else 0
    if _takes_mask(model, rows, begun):
        cells = longest * (longest - len(begun))
    # What is seen and what is hidden, then the mask that is added, once more for each block.
    return cached + cells * (2 + (1 + blocks) * int(model.network.dtype.itemsize))


def _takes_mask(model: LanguageModel, rows: Sequence[_Row], begun: Tokens) -> bool:
    """Whether a mask of four dimensions says what each token sees."""
    # A window would count the padding between the beginning and the rest; a mask of this kind is taken as it is.
    windowed = bool(begun) and model.window is not None
    return windowed or not all(row.tree.is_chain for row in rows)


def _groups(rows: Sequence[_Row], *, shared: bool) -> list[tuple[Tokens, list[_Row]]]:
    """What rows begin with, if that is shared, and which; those that are cut off by a window in passes of their own."""
    able, others = ([row for row in rows if row.shares == kind] for kind in (True, False))
    groups: list[tuple[Tokens, list[_Row]]] = [((), able), ((), others)]
    if shared:
        begun = shared_beginnings([row.prompt for row in able])
        groups[:1] = [(tokens, [able[i] for i in who]) for tokens, who in begun]
    return [group for group in groups if group[1]]


def _of_stretch(
    order: list[_Row], begun: Tokens, work: Callable[[list[_Row], Tokens], R], start: int, stop: int
) -> tuple[list[_Row], R]:
    return order[start:stop], work(order[start:stop], begun)


def _hidden(
    model: LanguageModel, head: PlainHead, rows: list[_Row], begun: Tokens, blocks: int
) -> torch.Tensor:
    """(blocks, rows, kept, hidden) of the last positions."""
    given = _inputs(model, rows, begun, blocks)
    states: torch.Tensor = forward_pass(head.decoder, **given).last_hidden_state
    return states[:, -_kept(rows) :].reshape(blocks, len(rows), _kept(rows), -1)


def _logits(model: LanguageModel, rows: list[_Row], begun: Tokens, blocks: int) -> torch.Tensor:
    """(blocks, rows, kept, vocabulary) of the last positions, at least in float32."""
    given = _inputs(model, rows, begun, blocks)
    with exact_logits(model.network):
        logits = last_logits(model.network, _kept(rows), **given)
    width = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(width).view(blocks, len(rows), _kept(rows), -1)


def _kept(rows: Sequence[_Row]) -> int:
    return 1 + max(len(row.tree.tokens) for row in rows)


def _inputs(
    model: LanguageModel, rows: Sequence[_Row], begun: Tokens, blocks: int
) -> dict[str, Any]:
    """What a pass is given: each row's prompt, without what all begin with, and behind it its tree, at the right edge."""
    length, device = len(begun), model.device
    tails = [(*row.prompt[length:], *row.tree.tokens) for row in rows]
    ids, mask = left_padded(tails, model.tokenizer.pad_token_id, device)
    positions = torch.from_numpy(_positions(rows, ids.shape[1])).to(device)
    seen = seen_behind(mask, length)
    if _takes_mask(model, rows, begun):
        seen = _tree_mask(model, rows, ids.shape[1], length)
    cache = None
    if begun:
        cache = beginning_cache(model.network, torch.tensor([begun] * blocks, device=device))
        cache.batch_repeat_interleave(len(rows))
    repeated = (blocks, *[1] * (seen.ndim - 1))
    return {
        "input_ids": ids.repeat(blocks, 1),
        "attention_mask": seen.repeat(repeated),
        "position_ids": positions.repeat(blocks, 1),
        "past_key_values": cache,
        "use_cache": cache is not None,
    }


def _positions(rows: Sequence[_Row], columns: int) -> NDArray[np.int64]:
    """(rows, columns) of each token in its own text."""
    positions = np.zeros((len(rows), columns), np.int64)
    for row, values in zip(rows, positions, strict=True):
        behind = len(row.tree.tokens)
        # Counted down from the prompt's last token; what is padding, or computed apart, is below.
        values[: columns - behind] = np.arange(behind - columns, 0) + len(row.prompt)
        values[columns - behind :] = np.array(row.tree.depths, np.int64) + len(row.prompt)
    return positions.clip(0)


def _tree_mask(
    model: LanguageModel, rows: Sequence[_Row], columns: int, begun: int
) -> torch.Tensor:
    """(rows, 1, columns, begun + columns), to be added: 0 for what a token sees."""
    sees = np.tri(columns, dtype=bool)[None].repeat(len(rows), 0)
    for row, seen in zip(rows, sees, strict=True):
        behind = len(row.tree.tokens)
        seen[:, : columns - (len(row) - begun)] = False
        if behind:
            seen[-behind:, -behind:] = row.tree.sees
    # What is padding sees itself, as a softmax over nothing is not a number.
    sees |= np.eye(columns, dtype=bool)
    hidden = ~np.concatenate([np.ones((len(rows), columns, begun), bool), sees], 2)
    return added_mask(torch.from_numpy(hidden).to(model.device), model.network)[:, None]
