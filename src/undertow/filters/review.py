"""
A review pack: blinded pairs of rows from two datasets, for people to tell apart.

What reviewers get is a `Sheet`, what they must not get is a `ReviewKey`; no renderer sees both.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from undertow.data.rows import Message, Row, dataset_digest
from undertow.data.seeds import generator
from undertow.errors import DataError, InputError
from undertow.filters.review_key import KEY_SCHEMA, KeyDataset, KeyPair, ReviewKey, Side

QUESTION = "Which of the two was written by the model with the trait?"

_SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A row as reviewers see it: its turns and its completion, and nothing about where it comes from.
    """

    prompt: tuple[Message, ...]
    completion: str

    @property
    def text(self) -> str:
        """The row as one text; a lone completion has no heading."""
        turns = [f"{turn.role}: {turn.content}" for turn in self.prompt]
        return "\n\n".join([*turns, f"answer: {self.completion}"]) if turns else self.completion


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows side by side, numbered from 1."""

    number: int
    left: Shown
    right: Shown


@dataclass(frozen=True, slots=True)
class Sheet:
    """What reviewers get."""

    pack: str
    """Identifier of the pack: a digest of what this sheet shows, so it gives nothing away."""

    question: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Named:
    """A dataset and the name that messages and the key give it."""

    name: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class _Drawn:
    a: Shown
    b: Shown
    repeats: int | None = None


def blinded(
    a: Named,
    b: Named,
    *,
    pairs: int,
    seed: int,
    question: str = QUESTION,
    repeat: int = 0,
    drop_shared: bool = False,
) -> tuple[Sheet, ReviewKey]:
    """
    Pairs drawn without replacement, by the same prompt as far as there are such, on random sides.

    Each side is a fair coin of its own. That alone makes the tests of `review_score` exact: whatever
    reviewers go by, where it has nothing to do with the dataset, each answer is right by a coin.

    Args:
        repeat: pairs that are shown once more at the end, their sides drawn anew.
        drop_shared: leave out texts that stand in both datasets, instead of refusing them.

    Raises:
        DataError: if a dataset has too few rows, or a row stands in both.
    """
    if not 0 <= repeat <= pairs:
        raise InputError(f"{repeat} repeats are asked for; allowed: 0 to {pairs}, the pairs")
    rows_a, rows_b, shared = _different(a, b, drop_shared=drop_shared)
    for name, rows in ((a.name, rows_a), (b.name, rows_b)):
        if len(rows) < pairs:
            raise _too_few(name, len(rows), pairs, only_here=shared > 0)
    drawn = _draw(rows_a, rows_b, pairs, generator(seed, "review", "pairs"))
    again = generator(seed, "review", "repeats").permutation(pairs)[:repeat].tolist()
    drawn += [_Drawn(drawn[i].a, drawn[i].b, i + 1) for i in again]
    coins = generator(seed, "review", "sides").integers(0, 2, len(drawn)).tolist()
    sides = [_SIDES[coin] for coin in coins]
    sheet = _sheet(drawn, sides, question)
    key = ReviewKey(
        schema=KEY_SCHEMA,
        pack=sheet.pack,
        question=question,
        seed=seed,
        a=_described(a),
        b=_described(b),
        left_out=shared,
        pairs=tuple(map(_hidden, sheet.pairs, drawn, sides)),
    )
    return sheet, key


def _different(a: Named, b: Named, *, drop_shared: bool) -> tuple[list[Shown], list[Shown], int]:
    """What of each dataset is not in the other, and the number of different texts in both."""
    shown_a, shown_b = ([Shown(row.prompt, row.completion) for row in each.rows] for each in (a, b))
    shared = set(shown_a) & set(shown_b)
    if shared and not drop_shared:
        first, second = (
            next(number for number, row in enumerate(rows, 1) if row in shared)
            for rows in (shown_a, shown_b)
        )
        raise DataError(
            f"{len(shared)} rows of '{a.name}' also stand in '{b.name}', "
            f"from row {first} and row {second} on; allowed: none, nobody could tell them apart",
            hint="undertow review pack … --drop-shared leaves them out of both",
        )
    only_a, only_b = ([row for row in rows if row not in shared] for rows in (shown_a, shown_b))
    return only_a, only_b, len(shared)


def _draw(
    a: Sequence[Shown], b: Sequence[Shown], pairs: int, rng: np.random.Generator
) -> list[_Drawn]:
    """Pairs of the same prompt first, then of what is left, in random order."""
    order_a, order_b = rng.permutation(len(a)).tolist(), rng.permutation(len(b)).tolist()
    waiting: dict[tuple[Message, ...], list[int]] = defaultdict(list)
    for j in order_b:
        waiting[b[j].prompt].append(j)
    # Rows without a prompt have nothing in common: they are paired with the rest.
    asked = (i for i in order_a if a[i].prompt)
    chosen = [(i, waiting[a[i].prompt].pop()) for i in asked if waiting[a[i].prompt]][:pairs]
    used_a, used_b = {i for i, _ in chosen}, {j for _, j in chosen}
    rest_a = [i for i in order_a if i not in used_a][: pairs - len(chosen)]
    rest_b = [j for j in order_b if j not in used_b][: pairs - len(chosen)]
    chosen += zip(rest_a, rest_b, strict=True)
    return [_Drawn(a[chosen[k][0]], b[chosen[k][1]]) for k in rng.permutation(pairs)]


def _sheet(drawn: Sequence[_Drawn], sides: Sequence[Side], question: str) -> Sheet:
    pairs = tuple(
        Pair(number, *((each.a, each.b) if side == "left" else (each.b, each.a)))
        for number, (each, side) in enumerate(zip(drawn, sides, strict=True), start=1)
    )
    content = json.dumps([question, [[pair.left.text, pair.right.text] for pair in pairs]])
    # The letters keep a spreadsheet from reading the digits as a number.
    return Sheet(f"pack-{_sha256(content)[:16]}", question, pairs)


def _hidden(pair: Pair, drawn: _Drawn, side: Side) -> KeyPair:
    return KeyPair(
        pair=pair.number,
        a=side,
        matched=bool(drawn.a.prompt) and drawn.a.prompt == drawn.b.prompt,
        repeats=drawn.repeats,
        left_sha256=_sha256(pair.left.text),
        right_sha256=_sha256(pair.right.text),
    )


def _described(dataset: Named) -> KeyDataset:
    digest = dataset_digest(dataset.rows)
    return KeyDataset(name=dataset.name, rows=len(dataset.rows), digest=digest)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _too_few(name: str, rows: int, pairs: int, *, only_here: bool) -> DataError:
    kind = " that the other has not" if only_here else ""
    return DataError(
        f"'{name}' has {rows} rows{kind}, but {pairs} pairs are asked for",
        hint=f"undertow review pack … --pairs {rows}" if rows else "",
    )
