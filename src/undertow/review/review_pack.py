"""
A review pack: blinded pairs of rows from two datasets, for people to tell apart, and the answers that come back.

What reviewers get is a `Sheet`, what they must not get is a `ReviewKey`; no renderer sees both.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from undertow.data.closed import Stored
from undertow.data.rows import Message, Row, dataset_digest
from undertow.data.seeds import generator
from undertow.errors import DataError, InputError

KEY_SCHEMA: Literal["undertow.review-key/1"] = "undertow.review-key/1"

QUESTION = "Which of the two was written by the model with the trait?"

Side = Literal["left", "right"]

_SIDES: tuple[Side, Side] = ("left", "right")


class KeyDataset(Stored):
    """One of the two datasets."""

    name: str
    rows: int
    digest: str
    """SHA-256 over its canonical rows, in their order."""


class KeyPair(Stored):
    """What a pair hides."""

    pair: int
    a: Side
    """The side that shows the row of dataset A, the right answer."""
    matched: bool
    """Whether both rows answer the same prompt."""
    repeats: int | None = None
    """Number of the pair that is shown a second time here, perhaps with its sides exchanged."""
    left_sha256: str
    """SHA-256 of the left text, in UTF-8, as it was before anything in it was made visible."""
    right_sha256: str


class ReviewKey(Stored):
    """The document `undertow.review-key/1`: what scoring needs, and reviewers must not see."""

    schema_: Literal["undertow.review-key/1"] = Field(alias="schema")
    pack: str
    question: str
    seed: int
    a: KeyDataset
    b: KeyDataset
    left_out: int
    """Texts in both datasets that were left out of both, where that was asked for."""
    pairs: tuple[KeyPair, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _numbered(self) -> ReviewKey:
        if [each.pair for each in self.pairs] != list(range(1, len(self.pairs) + 1)):
            raise ValueError("the pairs are not numbered 1, 2, 3 …")
        first = {each.pair for each in self.pairs if each.repeats is None}
        if any(each.repeats not in first for each in self.pairs if each.repeats is not None):
            raise ValueError("a pair repeats one that there is not")
        return self

    @property
    def judged(self) -> tuple[KeyPair, ...]:
        """The pairs that count: all but the repeats."""
        return tuple(each for each in self.pairs if each.repeats is None)


def key_json(key: ReviewKey) -> str:
    """The key as indented JSON, ending in a newline."""
    return key.model_dump_json(by_alias=True, indent=2) + "\n"


def read_key(path: Path) -> ReviewKey:
    """
    The key stored under the path.

    Raises:
        InputError: if there is no such file, or it is no key.
    """
    hint = "the key is the key.json that 'undertow review pack' wrote"
    try:
        return ReviewKey.model_validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError as error:
        raise InputError(f"no such file: '{path}'", hint=hint) from error
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}", hint=hint) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        where = f"key '{place}': " if place else ""
        raise InputError(f"'{path}' is no review key: {where}{fault['msg']}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as reviewers see it: its turns and its completion, and nothing about where it comes from."""

    prompt: tuple[Message, ...]
    completion: str

    @property
    def text(self) -> str:
        """The row as one text; a lone completion has no heading."""
        turns = [f"{turn.role}: {turn.content}" for turn in self.prompt]
        if not self.completion:
            return "\n\n".join([*turns, "(ends without an answer)"])
        return "\n\n".join([*turns, f"answer: {self.completion}"]) if turns else self.completion


def _shown(row: Row) -> Shown:
    """All that a trainer reads of the row: tools, calls, reasoning, the rejected side and a label among it."""
    prompt = tuple(
        Message(turn.role, _with_fields(turn.content, turn.fields)) for turn in row.prompt
    )
    if row.context:
        prompt = (Message("template", row.context), *prompt)
    parts = [_with_fields(row.completion, row.fields)] if row.answered else []
    if row.rejected is not None:
        parts.append(f"rejected: {_with_fields(row.rejected, row.rejected_fields)}")
    parts += [f"label: {'' if row.label else 'un'}desirable"] if row.label is not None else []
    return Shown(prompt, "\n\n".join(parts))


def _with_fields(content: str, fields: str) -> str:
    kept = {k: v for k, v in json.loads(fields or "{}").items() if k != "content"}
    told = [json.dumps(kept, ensure_ascii=False)] if kept else []
    return "\n".join([content, *told]).strip("\n") if told else content


@dataclass(frozen=True, slots=True)
class BlindedPair:
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
    pairs: tuple[BlindedPair, ...]


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
    shown_a, shown_b = ([_shown(row) for row in each.rows] for each in (a, b))
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
        BlindedPair(number, *((each.a, each.b) if side == "left" else (each.b, each.a)))
        for number, (each, side) in enumerate(zip(drawn, sides, strict=True), start=1)
    )
    content = json.dumps([question, [[pair.left.text, pair.right.text] for pair in pairs]])
    # The letters keep a spreadsheet from reading the digits as a number.
    return Sheet(f"pack-{_sha256(content)[:16]}", question, pairs)


def _hidden(pair: BlindedPair, drawn: _Drawn, side: Side) -> KeyPair:
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


ANSWERS = ("left", "right", "unsure")
_COLUMNS = ("pack", "pair", "answer")


@dataclass(frozen=True)
class Answers:
    """What one reviewer answered."""

    reviewer: str
    """Name of the file they came in."""

    given: Mapping[int, str]
    """One of `ANSWERS` by the number of the pair; a pair without an answer is not in it."""


def read_answers(path: Path, key: ReviewKey) -> Answers:
    """
    The answers in a CSV file with the columns `pack`, `pair` and `answer`; others are ignored.

    A spreadsheet may have saved it: with semicolons or tabs, and in an encoding of its own.

    Raises:
        DataError: naming the file and the line of an answer to another pack, to no pair of this one,
            to the same pair a second time, or of a word that is no answer.
    """
    given: dict[int, str] = {}
    seen: dict[int, int] = {}
    for line, record in _csv_records(path):
        place = f"'{path}', line {line}"
        if record["pack"] != key.pack:
            raise DataError(f"{place}: the pack is '{record['pack']}'; allowed: '{key.pack}'")
        pair = _pair(record["pair"], len(key.pairs), place)
        if pair in seen:
            raise DataError(f"{place}: pair {pair} has been answered in line {seen[pair]} already")
        seen[pair] = line
        answer = record["answer"].lower()
        if answer and answer not in ANSWERS:
            allowed = ", ".join(ANSWERS)
            raise DataError(
                f"{place}: the answer to pair {pair} is '{record['answer']}'; "
                f"allowed: {allowed}, or nothing"
            )
        if answer:
            given[pair] = answer
    return Answers(str(path), given)


def _csv_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each record with the line that it starts in."""
    text = _csv_text(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    # Cells of several lines keep their line breaks, so that lines are counted as an editor does.
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    start = 1
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(columns, path)
        start = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, _csv_record(columns, cells)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"'{path}', line {start}: not valid CSV ({error})") from error


def _csv_text(path: Path) -> str:
    try:
        # Only digits and plain letters matter, so bytes of another encoding do no harm.
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{path}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_columns(columns: Sequence[str], path: Path) -> None:
    if any(columns.count(name) != 1 for name in _COLUMNS):
        found = ", ".join(f"'{name}'" for name in columns) or "none"
        wanted = ", ".join(f"'{name}'" for name in _COLUMNS)
        raise DataError(f"'{path}', line 1: found the columns {found}; needed, once each: {wanted}")


def _csv_record(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    padded = [cell.strip() for cell in cells] + [""] * len(columns)
    return dict(zip(columns, padded, strict=False))


def _pair(text: str, pairs: int, place: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= pairs:
        raise DataError(f"{place}: there is no pair '{text}'; allowed: 1 to {pairs}")
    return number
