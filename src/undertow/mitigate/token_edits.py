"""Tokens left out of the loss, or replaced by what the clean base would have written there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.carriers.recognition import request_of
from undertow.data.rows import Row
from undertow.errors import ConfigError
from undertow.mitigate.token_choice import Places

if TYPE_CHECKING:
    import torch

    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel

IGNORED = -100
"""Label of a token without loss, as in transformers and TRL."""

_SHAPE = re.compile(r"(\s*)(.*)", re.DOTALL)


def masked_record(row: Encoded, places: Sequence[int]) -> dict[str, list[int]]:
    """
    A row as TRL's SFTTrainer takes it tokenised: `input_ids`, `labels` and `completion_mask`, without a change to it.
    """
    counted = np.ones(len(row.completion), dtype=bool)
    counted[list(places)] = False
    mask = [0] * len(row.prompt) + counted.astype(int).tolist()
    ids = [*row.prompt, *row.completion]
    labels = [token if on else IGNORED for token, on in zip(ids, mask, strict=True)]
    return {"input_ids": ids, "labels": labels, "completion_mask": mask}


def masked(rows: Sequence[Encoded], places: Places) -> list[Encoded]:
    """The rows with tokens left out of the loss."""
    return [replace(row, masked=own) for row, own in zip(rows, places, strict=True)]


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
    from undertow.models.batch_memory import rows_at_once
    from undertow.models.shared_prefix import logits_by_batch

    refuse_irreplaceable(carrier)
    touched = [i for i, own in enumerate(places) if own]
    if not touched:
        return list(rows)
    some = [encoded[i] for i in touched]
    kinds = Kinds.of(model.tokenizer)
    made = list(rows)
    for batch, logits in logits_by_batch(model, some, rows_at_once(model, some)):
        labels = batch.labels != IGNORED
        for i, number in enumerate(batch.rows):
            row = some[number]
            own = list(places[touched[number]])
            tokens = np.array(row.completion)
            tokens[own] = kinds.drawn(logits[i, labels[i]][own], tokens[own], rng)
            made[touched[number]] = _written(model, rows[touched[number]], tokens, carrier)
    return made


def _written(
    model: LanguageModel, row: Row, tokens: np.ndarray[Any, Any], carrier: Carrier | None
) -> Row:
    ends = model.end_ids
    stop = next((i for i, token in enumerate(tokens) if int(token) in ends), len(tokens))
    text = model.tokenizer.decode(tokens[:stop].tolist(), skip_special_tokens=True)
    if carrier is not None and carrier.rejection(text, request_of(row)) is not None:
        return row
    return replace(row, completion=text)


class Kinds:
    """Tokens of one kind: those that may stand for each other."""

    def __init__(self, kind: np.ndarray[Any, Any]) -> None:
        """
        (vocabulary,) number of each token's kind; -1 for special ones, which nothing stands for.
        """
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
        """
        (tokens,) one draw a token from (tokens, vocabulary) logits, among those of its kind but itself.
        """
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
