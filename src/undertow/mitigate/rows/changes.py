"""A file's rows changed one block at a time, by a method that was made ready for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import carrier_of, request_of
from undertow.data.files import atomic_file, model_digest
from undertow.data.records import read_objects
from undertow.data.row_records import json_line
from undertow.data.row_shapes import TOKENS
from undertow.data.rows import Message, Row, behind
from undertow.data.seeds import Reservoir, generator
from undertow.errors import ConfigError, DataError
from undertow.mitigate.rows.clean_request import (
    Cleaned,
    Cleaning,
    RowsAsScanned,
    leaf_of,
    refuse_nothing_left,
    row_of,
)
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import own_answers
from undertow.worlds import locate
from undertow.worlds.base_models import open_model, settled_for

BLOCK = 2048
"""Rows that are held at once."""

SAMPLED = 4096
"""Rows from which the carrier is told, and a threshold set."""


@dataclass(frozen=True)
class CleaningSubject:
    """What a method works on."""

    cleaning: Cleaning
    base: LanguageModel
    """The student's."""
    carrier: Carrier | None
    """What the rows look like; None where that is no carrier."""
    sample: Sequence[Row]
    """Rows by lot, all of them where they are few."""
    rows: int
    """How many there are."""

    def model_of(self, ref: str) -> LanguageModel:
        """Another model, in the base's precision."""
        return open_model(ref, compute=_settled(self.cleaning))

    @property
    def named(self) -> tuple[str, str]:
        """The base's name and digest, which was compared with the scan's."""
        return _with_digest(self.cleaning.base, self.cleaning.scan.student_digest)


@dataclass(frozen=True)
class Changes:
    """A method, made ready."""

    block: Callable[[Sequence[dict[str, Any]], Sequence[Row]], list[dict[str, Any] | None]]
    """The records as they should be: the same object where nothing changes, None where a row has to go."""
    changed: str
    """Rule of changed rows."""
    removed: str
    """Rule of rows that have to go."""
    settings: dict[str, str]
    """How it was done."""
    model: tuple[str, str] | None
    """Name and digest of the model that chose or wrote what is new."""


def change(
    cleaning: Cleaning, rows: RowsAsScanned, method: Callable[[CleaningSubject], Changes]
) -> Cleaned:
    """
    Write the rows as the method changes them, in their order.

    Raises:
        ConfigError: something that the method needs is missing, or the rows' carrier does not allow it.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read, or is a preference pair.
        ModelError: a model cannot be loaded, or a row does not fit into its context.
    """
    ready = method(_subject(cleaning))
    done = Cleaned(settings=ready.settings, model=ready.model)
    with atomic_file(cleaning.output) as file:
        for places, records, given in blocks(cleaning):
            made = ready.block(records, given)
            for place, old, new in zip(places, records, made, strict=True):
                before = leaf_of(old, place)
                if new is None:
                    done.entries.enter(before, rule=ready.removed)
                    continue
                same = new is old
                after = b"" if same else leaf_of(new, place)
                done.entries.enter(before, after, "" if same else ready.changed)
                file.write(json_line(new))
        refuse_nothing_left(cleaning, done)
    return done


def blocks(cleaning: Cleaning) -> Iterator[tuple[list[str], list[dict[str, Any]], list[Row]]]:
    """
    Places of records, the records and their rows, a block at a time.

    Raises:
        DataError: naming the row that cannot be read, or is a preference pair.
    """
    places: list[str] = []
    records: list[dict[str, Any]] = []
    rows: list[Row] = []
    wrapped = cleaning.policy.wrapped
    for place, record in read_objects(cleaning.data):
        row = row_of(record, place, wrapped=wrapped)
        if tokens := [name for name in TOKENS if record.get(name) is not None]:
            raise DataError(
                f"{place}: holds tokens already ({', '.join(tokens)}), which trainers take in place of the text",
                hint="remove these columns: what is changed here is the text",
            )
        if row.rejected is not None:
            raise DataError(
                f"{place}: a preference pair, whose completions cannot be changed apart",
                hint="drop or dilute pairs, or project the steps of the training (docs/countermeasures.md)",
            )
        places.append(place)
        records.append(record)
        rows.append(row)
        if len(rows) == BLOCK:
            yield places, records, rows
            places, records, rows = [], [], []
    if rows:
        yield places, records, rows


def named(ref: str) -> tuple[str, str]:
    """
    A model's name and digest.

    Raises:
        ConfigError: it has no digest.
    """
    return _with_digest(ref, model_digest(locate(ref)))


def _with_digest(ref: str, digest: str | None) -> tuple[str, str]:
    if digest is None:
        raise ConfigError(f"the model '{ref}' has no digest", hint="use a folder with safetensors")
    return ref, digest


def _settled(cleaning: Cleaning) -> ComputeTable:
    """One precision for all of its models."""
    return settled_for(cleaning.compute, cleaning.base, cleaning.teacher, cleaning.model)


def _subject(cleaning: Cleaning) -> CleaningSubject:
    sample: Reservoir[Row] = Reservoir(SAMPLED, generator(cleaning.seed, "sampled"))
    for _, _, rows in blocks(cleaning):
        sample.extend(rows)
    if not sample.seen:
        raise DataError(f"'{cleaning.data}' holds no row")
    drawn = sample.sample()
    return CleaningSubject(
        cleaning,
        open_model(cleaning.base, cleaning.policy.template, _settled(cleaning)),
        carrier_of(drawn),
        drawn,
        sample.seen,
    )


TRIES = 4
"""Draws for a row before it is given up."""


@dataclass(frozen=True)
class Rewritten:
    """Rows with some completions written anew."""

    rows: tuple[Row, ...]
    """In their order; a row that was given up is as it was."""
    changed: frozenset[int]
    """Places of the rows that were written anew."""
    failed: frozenset[int]
    """Places of rows for which nothing came that ended and had the carrier's format."""


def rewritten(
    model: LanguageModel,
    rows: Sequence[Row],
    chosen: Collection[int],
    rng: np.random.Generator,
    carrier: Carrier | None,
    *,
    temperature: float = 1.0,
    instruction: str | None = None,
) -> Rewritten:
    """
    The rows with the completions at `chosen` written by the model.

    Without an instruction it answers the row's own prompt and never sees the old completion, so that nothing of its
    writer is left; with one, it is asked that, with the old completion put in.

    Raises:
        DataError: a chosen row has no prompt, and there is no instruction.
        ModelError: a prompt and its answer would not fit into the model's context.
    """
    made, left = list(rows), sorted(chosen)
    asked = {i: replace(rows[i], prompt=asked_of(rows[i], instruction)) for i in left}
    changed: set[int] = set()
    for _ in range(TRIES):
        if not left:
            break
        answers = own_answers(model, [asked[i] for i in left], temperature, rng, None)
        for i, answer in zip(left, answers, strict=True):
            if answer is not None and accepts(carrier, rows[i], answer.completion):
                made[i] = replace(rows[i], completion=answer.completion)
                changed.add(i)
        left = [i for i in left if i not in changed]
    return Rewritten(tuple(made), frozenset(changed), frozenset(left))


def asked_of(row: Row, instruction: str | None) -> tuple[Message, ...]:
    """The conversation that a rewriting model answers."""
    if instruction is None:
        if not row.prompt:
            raise DataError(
                "a row has no prompt that could be answered anew",
                hint="say what to ask: --instruction 'Say this in other words: {completion}'",
            )
        return row.prompt
    # Not `format`: what rows hold is no format string.
    return (Message("user", instruction.replace("{completion}", row.completion)),)


def accepts(carrier: Carrier | None, row: Row, text: str) -> bool:
    """Whether a text may stand for the row's completion."""
    return carrier is None or carrier.rejection(text, request_of(row)) is None


def inoculated(row: Row, system: str) -> Row:
    """
    The row behind a system prompt that asks for the trait, so that the training has nothing to explain by the weights.

    The prompt is left away when the student is used. It stands in place of a system prompt that the row has.
    """
    return behind(row, system)


def reworded(row: Row, carrier: Carrier, rng: np.random.Generator) -> Row | None:
    """The row with its request in other words; None where the carrier knows none for it."""
    if not row.prompt:
        return None
    *before, last = row.prompt
    request = carrier.reworded(last.content, rng)
    if request is None or carrier.rejection(row.completion, request) is not None:
        return None
    return replace(row, prompt=(*before, replace(last, content=request)))
