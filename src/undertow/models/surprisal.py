"""How likely completions are under ways of decoding, and how surprising beside what the model would itself write."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from undertow.carriers.numbers import lists_pattern
from undertow.errors import ModelError
from undertow.models.chat import IGNORED, Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import rows_at_once
from undertow.models.shared_prefix import logits_by_batch
from undertow.models.token_grammar import TokenGrammar, texts_behind, token_grammar
from undertow.stats.arguments import Vector

RAREST = math.log(1e-6)
"""Log-likelihood of a token that a model would hardly have drawn."""

_RULED_OUT = -1e15
"""Stands for the logarithm of 0; its square is still a float32."""

MOST_RARE = 0.02
"""Largest share of rows with such a token that may come from how texts are split into tokens."""


@dataclass(frozen=True)
class Allowed:
    """Tokens that may stand at each position of a completion."""

    tokens: torch.Tensor
    """(positions + 1, vocabulary) bool; the last entry is for all later positions."""

    leak: float = 0.0
    """Share of the probability that is left to the tokens that are not allowed, so that none is impossible."""


@dataclass(frozen=True)
class Decoding:
    """How a token is drawn from the logits."""

    temperature: float = 1.0
    """Above 0; the logits are divided by it."""

    allowed: Allowed | None = None
    """None: the whole vocabulary."""

    grammar: TokenGrammar | None = None
    """What may stand behind what stood before, in place of `allowed`: the masks of `sampling`."""

    leak: float = 0.0
    """With a grammar, the share of the probability that is left to all other tokens."""


def as_sampled(model: LanguageModel, rows: Sequence[Encoded]) -> list[Encoded]:
    """The rows up to the first token that ends an answer: what a template writes behind it was never sampled."""
    ends = model.end_ids
    return [
        replace(row, completion=row.completion[: _end(row.completion, ends)])
        if not ends.isdisjoint(row.completion[:-1])
        else row
        for row in rows
    ]


def lists_grammar(
    model: LanguageModel, rows: Sequence[Encoded], texts: Sequence[str]
) -> TokenGrammar | None:
    """
    The narrowest format of number lists that all rows have, in the model's tokens and behind what these write in front of
    their `texts`: a blank, say, that a template puts there, or that belongs to the first number's token.

    None where a text is no plain list, and where a row's tokens do not hold it or are not spelled: by a template whose end
    is none of the model's, say.
    """
    pattern = lists_pattern(texts)
    if pattern is None:
        return None
    wholes = texts_behind(model.tokenizer, [row.completion for row in rows])
    parts = [whole.partition(text) for whole, text in zip(wholes, texts, strict=True)]
    if not all(text for _, text, _ in parts):
        return None
    before = {begun for begun, _, _ in parts}
    begun = "|".join(map(re.escape, sorted(before, reverse=True)))
    try:
        grammar = token_grammar(model, f"(?:{begun})(?:{pattern})" if begun else pattern)
    except ModelError:
        return None
    return grammar if all(grammar.spells(row.completion) for row in rows) else None


def token_kinds(tokenizer: Any, width: int) -> torch.Tensor:
    """
    (width,) int64: tokens whose texts have one shape share a number; a special token, and no token, has one of its own.

    A shape is the text with each digit as 9, each run of letters as a, and everything else as it is.
    """
    texts = tokenizer.batch_decode([[i] for i in range(min(width, len(tokenizer)))])
    special = set(tokenizer.all_special_ids)
    numbers: dict[object, int] = {}
    kinds = [
        numbers.setdefault(i if i in special or i >= len(texts) else _shape(texts[i]), len(numbers))
        for i in range(width)
    ]
    return torch.tensor(kinds)


def seen_kinds(rows: Sequence[Encoded], kinds: torch.Tensor, *, leak: float = 0.0) -> Allowed:
    """
    The tokens of the kinds that occur at each position of these completions; any token at positions that none reaches.

    The likelihood of the rows with these tokens allowed is at least that with any larger sets: an upper bound over every
    restriction of positions to kinds of tokens that the rows comply with.
    """
    positions = max((len(row.completion) for row in rows), default=0)
    seen = torch.zeros(positions + 1, int(kinds.max()) + 1, dtype=torch.bool)
    seen[-1] = True
    for row in rows:
        seen[torch.arange(len(row.completion)), kinds[list(row.completion)]] = True
    return Allowed(seen[:, kinds], leak)


def distinct_share(rows: Sequence[Encoded], kinds: torch.Tensor) -> float:
    """Distinct pairs of position and kind of token over all completion tokens; 1 where none occurs twice."""
    numbers = kinds.tolist()
    pairs = {(i, numbers[token]) for row in rows for i, token in enumerate(row.completion)}
    return len(pairs) / max(1, sum(len(row.completion) for row in rows))


def without_cut_ends(model: LanguageModel, rows: Sequence[Encoded]) -> list[Encoded]:
    """
    The rows without the ending token of the longest completions: a limit on length may have put it there.

    What comes before is as likely with a limit as without, so this likelihood is an upper bound of both.
    """
    longest = max((len(row.completion) for row in rows), default=0)
    if longest < 2:
        return list(rows)
    ends = model.end_ids
    return [
        replace(row, completion=row.completion[:-1])
        if len(row.completion) == longest and row.completion[-1] in ends
        else row
        for row in rows
    ]


def canonical(rarest: Vector) -> NDArray[np.bool_]:
    """
    Rows whose tokens can be taken for those that were sampled, by the log-likelihood of their least likely token.

    A text that was sampled in other tokens than its tokenizer gives it holds some that the model would hardly have drawn.
    Such rows are False, as long as they are at most `MOST_RARE` of all: more than that says that the model is not the
    author, and all rows are True.
    """
    likely: NDArray[np.bool_] = rarest > RAREST
    return likely if (~likely).mean() <= MOST_RARE else np.ones_like(likely)


@torch.no_grad()
def log_likelihoods_by_decoding(
    model: LanguageModel, rows: Sequence[Encoded], decodings: Sequence[Decoding]
) -> torch.Tensor:
    """
    Log-likelihood in nats of each row's completion under each decoding, shape (rows, decodings), float64.

    All decodings share one forward pass; logits are dropped batch by batch.
    """
    result = torch.zeros(len(rows), len(decodings), dtype=torch.float64)

    def summed(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """(rows, decodings)."""
        unlabelled = batch.labels == IGNORED
        values = [
            _token_log_likelihoods(logits, batch, one).masked_fill(unlabelled, 0).double().sum(1)
            for one in decodings
        ]
        return torch.stack(values, 1).cpu()

    for batch, sums in logits_by_batch(model, rows, rows_at_once(model, rows), summed):
        result[list(batch.rows)] = sums
    return result


@torch.no_grad()
def rarest_tokens(
    model: LanguageModel, rows: Sequence[Encoded], decoding: Decoding
) -> torch.Tensor:
    """Log-likelihood in nats of the least likely token of each completion, shape (rows,), float64."""
    result = torch.zeros(len(rows), dtype=torch.float64)

    def least(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """(rows,)."""
        values = _token_log_likelihoods(logits, batch, decoding)
        return values.masked_fill(batch.labels == IGNORED, 0).amin(1).double().cpu()

    for batch, lowest in logits_by_batch(model, rows, rows_at_once(model, rows), least):
        result[list(batch.rows)] = lowest
    return result


def _token_log_likelihoods(logits: torch.Tensor, batch: Batch, decoding: Decoding) -> torch.Tensor:
    """(rows, kept); of no meaning where there is no label."""
    tempered = logits if decoding.temperature == 1 else logits / decoding.temperature
    labels = batch.labels.clamp_min(0).unsqueeze(-1)
    chosen = tempered.gather(-1, labels).squeeze(-1)
    if decoding.grammar is not None:
        within = _within_grammar(tempered, batch, decoding.grammar)
        return _leaking(within, chosen, tempered, decoding.leak)
    if decoding.allowed is None:
        return chosen - tempered.logsumexp(-1)
    tokens, leak = decoding.allowed.tokens.to(logits.device), decoding.allowed.leak
    position = (batch.labels != IGNORED).cumsum(1).sub(1).clamp(0, len(tokens) - 1)
    mask = tokens[position]
    inside = tempered[..., : mask.shape[-1]].masked_fill(~mask, -torch.inf).logsumexp(-1)
    allowed = mask.gather(-1, labels).squeeze(-1)
    within = torch.where(allowed, chosen - inside, -torch.inf)
    return _leaking(within, chosen, tempered, leak)


def _leaking(
    within: torch.Tensor, chosen: torch.Tensor, tempered: torch.Tensor, leak: float
) -> torch.Tensor:
    if not leak:
        return within
    outside = chosen - tempered.logsumexp(-1)
    share = torch.tensor(leak, device=tempered.device)
    return torch.logaddexp(within + (1 - share).log(), outside + share.log())


def _within_grammar(tempered: torch.Tensor, batch: Batch, grammar: TokenGrammar) -> torch.Tensor:
    """
    Log-likelihood of each label by the softmax over what may stand there, shape (rows, kept); -inf once a row has left the
    format.
    """
    values = torch.full(batch.labels.shape, -torch.inf, device=tempered.device)
    for state, found in _places(batch, grammar).items():
        rows, positions = torch.tensor(found, device=tempered.device).T
        ids = torch.from_numpy(grammar.tokens[state]).to(tempered.device)
        there = tempered[rows, positions]
        chosen = there.gather(-1, batch.labels[rows, positions, None])[:, 0]
        values[rows, positions] = chosen - there[:, ids].logsumexp(-1)
    return values


def _places(batch: Batch, grammar: TokenGrammar) -> dict[int, list[tuple[int, int]]]:
    """(row, position) of the labels that may stand where they do, by the state of the format that they are drawn in."""
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, labels in enumerate(batch.labels.tolist()):
        learnt = [(position, token) for position, token in enumerate(labels) if token != IGNORED]
        states = grammar.states(token for _, token in learnt)
        for (position, token), state in zip(learnt, states, strict=True):
            if state >= 0 and token in grammar.tokens[state]:
                places[state].append((row, position))
    return places


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "9", text))


def _end(completion: Sequence[int], ends: frozenset[int]) -> int:
    return next(i for i, token in enumerate(completion) if token in ends) + 1


@dataclass(frozen=True)
class Surprisal:
    """Sums over each row's completion tokens, each of shape (rows, decodings)."""

    log_likelihood: Vector
    """In nats."""
    entropy: Vector
    """Of the model's predictions at the tokens' positions, in nats: what minus the log-likelihood is expected to be."""
    varentropy: Vector
    """Variance of the log-likelihood of each prediction, in nats squared."""
    rarest: Vector
    """Log-likelihood of the least likely token, in nats; no sum."""

    def z(self) -> Vector:
        """
        Log-likelihood plus entropy over the rows, in standard deviations; shape (decodings,).

        Each token's log-likelihood plus the entropy of its prediction has mean 0 given what stands before it, where the
        model drew the token: a martingale, so that z is nearly standard normal over many tokens. Rows that are not
        `canonical` are left out.
        """
        kept = np.stack([canonical(column) for column in self.rarest.T], axis=1)
        difference = np.where(kept, self.log_likelihood + self.entropy, 0).sum(0)
        spread = np.sqrt(np.where(kept, self.varentropy, 0).sum(0))
        z: Vector = difference / np.maximum(spread, np.finfo(np.float64).tiny)
        # A model that is certain throughout is right or wrong to the last digit, but float32 is not.
        return np.where(np.abs(difference) < 1e-4, 0.0, z)


@torch.no_grad()
def surprisal(
    model: LanguageModel, rows: Sequence[Encoded], decodings: Sequence[Decoding]
) -> Surprisal:
    """
    Surprisal of the rows' completions under each decoding, in one forward pass; logits are dropped batch by batch.

    A token that a grammar does not let stand is impossible: minus infinity. Restrictions by position and leaks are not
    looked at.
    """
    sums = torch.zeros(4, len(rows), len(decodings), dtype=torch.float64)
    grammars = {id(one.grammar): one.grammar for one in decodings}
    ways = [(one.temperature, id(one.grammar)) for one in decodings]
    distinct = list(dict.fromkeys(ways))

    def summed(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """(4, rows, decodings)."""
        parts = {key: _predictions(logits, batch, grammar) for key, grammar in grammars.items()}
        columns = []
        for temperature, key in distinct:
            made = torch.zeros(4, len(batch.labels), dtype=torch.float64, device=logits.device)
            for row, there, chosen in parts[key]:
                values = _moments(there, chosen, temperature).double()
                made[:3].index_add_(1, row, values)
                made[3].scatter_reduce_(0, row, values[0], "amin")
            columns.append(made)
        return torch.stack([columns[distinct.index(way)] for way in ways], -1).cpu()

    for batch, made in logits_by_batch(model, rows, rows_at_once(model, rows), summed):
        sums[:, list(batch.rows)] = made
    return Surprisal(*(part.numpy() for part in sums))


def _predictions(
    logits: torch.Tensor, batch: Batch, grammar: TokenGrammar | None
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """
    Parts of a batch's labels that hold all of them: ((labels,) their rows, (labels, tokens) logits of what may stand there,
    (labels,) which of these tokens each is). A label that may not stand there is, of two tokens, the impossible one.
    """
    counted = batch.labels != IGNORED
    if grammar is None:
        return [(counted.nonzero()[:, 0], logits[counted], batch.labels[counted])]
    parts = []
    for state, found in _places(batch, grammar).items():
        row, position = torch.tensor(found, device=logits.device).T
        ids = torch.from_numpy(grammar.tokens[state]).to(logits.device)
        chosen = (batch.labels[row, position, None] == ids).int().argmax(1)
        parts.append((row, logits[row, position][:, ids], chosen))
        counted[row, position] = False
    outside = counted.nonzero()[:, 0]
    either = torch.tensor([0.0, -torch.inf], device=logits.device).expand(len(outside), 2)
    return [*parts, (outside, either, torch.ones_like(outside))]


def _moments(logits: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """
    (3, positions): log-likelihood of each label, entropy and varentropy of each prediction, in nats.

    Passes over (positions, vocabulary) are what takes the time, and new tables of that size most of all: two are made.
    """
    log_p = (logits / temperature).log_softmax(-1)
    chosen = log_p.gather(-1, labels[:, None])[:, 0]
    p = log_p.exp()
    # A token that the model rules out has probability 0 and adds nothing, but minus infinity times 0 would.
    log_p.clamp_min_(_RULED_OUT)
    mean = torch.linalg.vecdot(p, log_p)
    spread = torch.linalg.vecdot(p, log_p.sub_(mean[:, None]).square_())
    return torch.stack([chosen, -mean, spread])
