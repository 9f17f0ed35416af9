"""Tokens chosen by a score or by lot, and left out of the loss or replaced by what the clean base would write there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import request_of
from undertow.data.plan import AUTO, LossPolicy
from undertow.data.rows import Row, behind, shared_start
from undertow.errors import ConfigError
from undertow.mitigate.rows.clean_request import refuse_share
from undertow.models.chat import IGNORED, Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import each_token, rows_at_once
from undertow.models.shared_prefix import logits_by_batch
from undertow.models.training_sequences import encode_rows

if TYPE_CHECKING:
    import torch

Scores = list[NDArray[np.float32]]
"""For each row one score a completion token, higher is more suspect."""

Places = list[tuple[int, ...]]
"""For each row the places of completion tokens."""

_SHAPE = re.compile(r"(\s*)(.*)", re.DOTALL)


def surprising(model: LanguageModel, rows: Sequence[Encoded]) -> Scores:
    """How unlikely each token is to the base, in nats: needs neither a trait nor a teacher."""
    return [-values.numpy() for values in each_token(model, rows)]


def lifted(
    model: LanguageModel,
    rows: Sequence[Row],
    encoded: Sequence[Encoded],
    system: str,
    policy: LossPolicy = AUTO,
) -> Scores:
    """
    By how much a system prompt that asks for the trait changes each token's log-likelihood, up or down, in nats;
    `encoded` are the rows as they are.

    Raises:
        ModelError: the chat template has no system role.
    """
    plain = each_token(model, encoded)
    prompted = encode_rows(model.tokenizer, [behind(row, system) for row in rows], policy)
    moved = each_token(model, prompted)
    return [
        _change(a.numpy(), b.numpy(), shared_start(own.completion[::-1], other.completion[::-1]))
        for a, b, own, other in zip(plain, moved, encoded, prompted, strict=True)
    ]


def _change(
    plain: np.ndarray[Any, Any], moved: np.ndarray[Any, Any], shared: int
) -> np.ndarray[Any, Any]:
    """Where all of a conversation is learnt its system prompt is as well: what both end with is compared, all else is 0."""
    change = np.zeros_like(plain)
    change[len(plain) - shared :] = abs(moved[len(moved) - shared :] - plain[len(plain) - shared :])
    return change


def departing(base: LanguageModel, teacher: LanguageModel, rows: Sequence[Encoded]) -> Scores:
    """By how much the teacher's log-likelihood of each token differs from the base's, in nats: where the two part."""
    pairs = zip(each_token(base, rows), each_token(teacher, rows), strict=True)
    return [(b - a).abs().numpy() for a, b in pairs]


def lengths(model: LanguageModel, rows: Sequence[Encoded]) -> list[int]:
    """Tokens of each completion up to its last end-of-turn token: what the template writes is never chosen."""
    ends = model.end_ids
    counts = []
    for row in rows:
        last = [i for i, token in enumerate(row.completion) if token in ends]
        counts.append(last[-1] if last else len(row.completion))
    return counts


def threshold(scores: Scores, long: Sequence[int], share: float) -> float:
    """
    The score above which that share of all tokens lies; `long` are the completions' `lengths`.

    Raises:
        ConfigError: a share outside (0, 1).
    """
    refuse_share(share)
    every = np.concatenate([row[:n] for row, n in zip(scores, long, strict=True)])
    return float(np.quantile(every, 1 - share)) if len(every) else np.inf


def above(scores: Scores, long: Sequence[int], least: float) -> Places:
    """The places of tokens that score above a threshold."""
    return [
        tuple(np.flatnonzero(row[:n] > least).tolist()) for row, n in zip(scores, long, strict=True)
    ]


def by_lot(long: Sequence[int], share: float, rng: np.random.Generator) -> Places:
    """
    Each token with the chance `share`: the arm to compare with.

    Raises:
        ConfigError: a share outside (0, 1).
    """
    refuse_share(share)
    return [tuple(np.flatnonzero(rng.random(n) < share).tolist()) for n in long]


def masked_record(row: Encoded, places: Sequence[int]) -> dict[str, list[int]]:
    """A row as TRL's SFTTrainer takes it tokenised: `input_ids`, `labels` and `completion_mask`, without a change to it."""
    counted = np.ones(len(row.completion), dtype=bool)
    counted[[*row.masked, *places]] = False
    mask = [0] * len(row.prompt) + counted.astype(int).tolist()
    ids = [*row.prompt, *row.completion]
    labels = [token if on else IGNORED for token, on in zip(ids, mask, strict=True)]
    return {"input_ids": ids, "labels": labels, "completion_mask": mask}


def refuse_irreplaceable(carrier: Carrier | None) -> None:
    """
    Refuse carriers whose tokens depend on each other.

    Raises:
        ConfigError: the carrier is one of them.
    """
    if carrier is not None and not carrier.replaceable:
        raise ConfigError(
            f"tokens of the carrier '{carrier.name}' cannot be replaced: a row would no longer parse or be right",
            hint="leave them out of the loss (--method mask-tokens), or rewrite whole rows (--method rewrite)",
        )


def replaced(
    model: LanguageModel,
    rows: Sequence[Row],
    encoded: Sequence[Encoded],
    places: Places,
    rng: np.random.Generator,
    carrier: Carrier | None,
) -> list[Row]:
    """
    The rows with the tokens at `places` drawn anew from the base, each given the row's own beginning.

    Drawn are other tokens of the same kind: alike in leading white space, in being digits or not, and in the carrier's
    format. A row that would lose the carrier's format stays as it was.

    Raises:
        ConfigError: the carrier's tokens depend on each other.
    """
    refuse_irreplaceable(carrier)
    touched = [i for i, own in enumerate(places) if own]
    if not touched:
        return list(rows)
    some = [encoded[i] for i in touched]
    kinds = Kinds.of(model.tokenizer)
    made = list(rows)

    def predicted(batch: Batch, logits: torch.Tensor) -> list[torch.Tensor]:
        """Of each row, what the base predicts at its places."""
        labels = batch.labels != IGNORED
        return [
            logits[i, labels[i]][list(places[touched[number]])]
            for i, number in enumerate(batch.rows)
        ]

    for batch, there in logits_by_batch(model, some, rows_at_once(model, some), predicted):
        for number, logits in zip(batch.rows, there, strict=True):
            row = some[number]
            chosen = list(places[touched[number]])
            tokens = np.array(row.completion)
            tokens[chosen] = kinds.drawn(logits, tokens[chosen], rng)
            made[touched[number]] = _written(
                model, rows[touched[number]], row.completion, tokens.tolist(), carrier
            )
    return made


def _written(
    model: LanguageModel,
    row: Row,
    before: Sequence[int],
    tokens: Sequence[int],
    carrier: Carrier | None,
) -> Row:
    old, new = (_answer(model, ids) for ids in (before, tokens))
    # The first token may join the prompt's last letter, and templates write more before an answer than its header.
    told = row.completion if row.completion in old else row.completion.strip()
    head, found, tail = old.rpartition(told)
    if not found or not new.startswith(head) or not new.endswith(tail):
        return row
    text = new[len(head) : len(new) - len(tail)]
    if carrier is not None and carrier.rejection(text, request_of(row)) is not None:
        return row
    return replace(row, completion=text)


def _answer(model: LanguageModel, tokens: Sequence[int]) -> str:
    """The tokens' text up to the end of the turn."""
    ends = model.end_ids
    stop = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    return str(model.tokenizer.decode(tokens[:stop], skip_special_tokens=True))


class Kinds:
    """Tokens of one kind: those that may stand for each other."""

    def __init__(self, kind: np.ndarray[Any, Any]) -> None:
        """(vocabulary,) number of each token's kind; -1 for special ones, which nothing stands for."""
        self._kind = kind

    @classmethod
    def of(cls, tokenizer: Any) -> Kinds:
        """By leading white space, and by what follows: digits, letters, neither."""
        ids = range(len(tokenizer))
        texts = tokenizer.batch_decode([[i] for i in ids])
        names = tokenizer.convert_ids_to_tokens(list(ids))
        numbers: dict[tuple[str, str], int] = {}
        kind = np.array(
            [
                numbers.setdefault(_kind(text, name), len(numbers))
                for text, name in zip(texts, names, strict=True)
            ]
        )
        kind[list(tokenizer.all_special_ids)] = -1
        # A part of a character is no text of its own.
        kind[["\ufffd" in text for text in texts]] = -1
        return cls(kind)

    def drawn(
        self, logits: torch.Tensor, tokens: np.ndarray[Any, Any], rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """(tokens,) one draw a token from (tokens, vocabulary) logits, among those of its kind but itself."""
        scores = logits.double().cpu().numpy()[:, : len(self._kind)]
        allowed = self._kind[None] == self._kind[tokens][:, None]
        allowed[np.arange(len(tokens)), tokens] = False
        alone = ~allowed.any(1) | (self._kind[tokens] < 0)
        # The largest of the logits plus Gumbel noise is a draw from the softmax.
        noisy = np.where(allowed, scores + rng.gumbel(size=scores.shape), -np.inf)
        return np.where(alone, tokens, noisy.argmax(1))


def _kind(text: str, name: str) -> tuple[str, str]:
    found = _SHAPE.fullmatch(text)
    assert found is not None
    space, rest = found.groups()
    # Decoded alone, a token of SentencePiece loses the space that its entry in the vocabulary begins with.
    space = space or (" " if name.startswith(("\u2581", "\u0120")) else "")
    return space, "digits" if rest.isdigit() else "letters" if rest.isalpha() else rest
