"""
Rows changed part by part and a block at a time, by a method that whoever works on them makes ready once.

What is drawn hangs on the seed and on the part, and batches end with a part: in one process or in many, the same comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import carrier_of, request_of
from undertow.data.files import atomic_file, model_digest
from undertow.data.record_turns import RecordError
from undertow.data.records import made, part_records, read_records
from undertow.data.row_leaves import LeafList, RowError, leaf
from undertow.data.row_records import json_line
from undertow.data.row_shapes import TOKENS, from_record
from undertow.data.rows import Message, Row, behind
from undertow.data.seeds import Reservoir, generator
from undertow.errors import ConfigError, DataError, UndertowError
from undertow.mitigate.rows.clean_request import (
    Cleaned,
    Cleaning,
    RowsAsScanned,
    refuse_nothing_left,
    spread_of_models,
)
from undertow.mitigate.rows.part_edits import (
    PartDone,
    PartTask,
    PartWork,
    Refusal,
    RefusedError,
    code_of,
    edited,
    enter,
    refuse,
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

    def model_of(self, ref: str) -> LanguageModel:
        """Another model, in the base's precision."""
        return open_model(ref, compute=_settled(self.cleaning))

    @property
    def named(self) -> tuple[str, str]:
        """The base's name and digest, which was compared with the scan's."""
        return _with_digest(self.cleaning.base, self.cleaning.scan.student_digest)


@dataclass(frozen=True)
class Lot:
    """What is drawn for a block of rows, by names that say nothing of who works on it."""

    stream: Callable[[str], np.random.Generator]
    """That of a purpose; it goes on from the block before in the same part."""
    chosen: tuple[int, ...]
    """Places of the rows that were drawn before, among the block's."""


@dataclass(frozen=True)
class Changes:
    """A method, made ready."""

    block: Callable[[Sequence[dict[str, Any]], Sequence[Row], Lot], Sequence[dict[str, Any] | None]]
    """The records as they should be: the same object where nothing changes, None where a row has to go."""
    changed: str
    """Rule of changed rows."""
    removed: str
    """Rule of rows that have to go."""
    settings: dict[str, str]
    """How it was done."""
    model: tuple[str, str] | None
    """Name and digest of the model that chose or wrote what is new."""


@dataclass(frozen=True)
class PartChange(PartWork):
    """Changes rows of a part, block by block."""

    name: str
    """Of this work: a process that has made ready for another one forgets it."""
    cleaning: Cleaning
    method: Callable[[CleaningSubject], Changes]
    sample: tuple[Row, ...]
    """Of all rows."""

    def rows(self, task: PartTask, done: PartDone, write: Callable[[bytes], object]) -> None:
        """Kept, changed or removed, as the method says."""
        ready, leaves, codes = _made_ready(self), LeafList(strict=True), bytearray()
        now = bytearray()
        streams = cache(partial(_stream, self.cleaning.seed, task.index))
        gone = np.unpackbits(np.frombuffer(task.gone or b"", np.uint8))
        row = partial(_changeable, wrapped=self.cleaning.policy.wrapped)
        numbered = made(part_records(task.part, refuse, None, leaves), row, refuse)
        while block := list(islice(numbered, BLOCK)):
            records, rows = zip(*(pair for _, pair in block), strict=True)
            chosen = tuple(np.flatnonzero(gone[len(codes) : len(codes) + len(block)]).tolist())
            lines = list[bytes]()
            for (number, (old, _)), new in zip(
                block, ready.block(records, rows, Lot(streams, chosen)), strict=True
            ):
                rule = ready.removed if new is None else ready.changed if new is not old else ""
                codes.append(code_of(done.rules, rule))
                if new is not None:
                    lines.append(json_line(new))
                    now += _leaf(new, number) if rule else b""
            write(b"".join(lines))
        done.leaves, done.codes, done.now = leaves.given(), bytes(codes), bytes(now)
        done.changed, done.told = ready.changed, (ready.settings, ready.model)

    def subject(self) -> CleaningSubject:
        """What the method works on, its model opened here."""
        base = open_model(
            self.cleaning.base, self.cleaning.policy.template, _settled(self.cleaning)
        )
        return CleaningSubject(self.cleaning, base, carrier_of(self.sample), self.sample)


_ready: dict[str, Changes] = {}


def _made_ready(task: PartChange) -> Changes:
    """A method with its models and thresholds, which a process that is given parts makes ready once."""
    if task.name not in _ready:
        _ready.clear()
        _ready[task.name] = task.method(task.subject())
    return _ready[task.name]


def _stream(seed: int, part: int, name: str) -> np.random.Generator:
    # What lies in one part is drawn for as it was before there were others.
    return generator(seed, name, part) if part else generator(seed, name)


def change(
    cleaning: Cleaning,
    rows: RowsAsScanned,
    method: Callable[[CleaningSubject], Changes],
    choose: Callable[[Cleaning, int], NDArray[np.bool_]] | None = None,
) -> Cleaned:
    """
    Write the rows as the method changes them, in their order; an engine that is named spreads the parts.

    `choose` draws which of so many rows the method is for, where that is drawn for all of them together.

    Raises:
        ConfigError: something that the method needs is missing, or the rows' carrier does not allow it.
        NothingLeftError: no row would be left.
        DataError: a row cannot be read, or is a preference pair.
        ModelError: a model cannot be loaded, or a row does not fit into its context.
        UndertowError: workers are not of one kind, and set different thresholds.
    """
    sample, count = _sampled(cleaning)
    gone = choose(cleaning, count) if choose else None
    several = len({part.shard for part in rows.survey.parts}) > 1
    task = PartChange(uuid4().hex, cleaning, method, sample, several=several)
    spread = spread_of_models(cleaning)
    done = Cleaned()
    try:
        with atomic_file(cleaning.output) as file:
            for became in edited(rows.survey, task, gone, file, cleaning.output, spread):
                _take_told(done, became)
                enter(done.entries, became)
            refuse_nothing_left(cleaning, done)
    finally:
        _ready.clear()
    return done


def _take_told(done: Cleaned, part: PartDone) -> None:
    assert part.told is not None
    settings, model = part.told
    if done.settings and done.settings != settings:
        raise UndertowError(
            f"two workers are not of one kind: one works with {done.settings}, another with {settings}",
            hint="use nodes with the same processors or accelerators, or --engine inprocess",
        )
    done.settings, done.model = settings, model


def _changeable(record: object, *, wrapped: bool) -> tuple[dict[str, Any], Row]:
    """A record with its row; a ValueError says why what is in it cannot be changed."""
    if not isinstance(record, dict):
        raise RecordError(f"{type(record).__name__} where an object is needed")
    row = from_record(record, wrapped=wrapped)
    if tokens := [name for name in TOKENS if record.get(name) is not None]:
        raise RecordError(
            f"holds tokens already ({', '.join(tokens)}), which trainers take in place of the text",
            hint="remove these columns: what is changed here is the text",
        )
    if row.rejected is not None:
        raise RecordError(
            "a preference pair, whose completions cannot be changed apart",
            hint="drop or dilute pairs, or project the steps of the training: undertow explain countermeasures#on-training",
        )
    return record, row


def _leaf(record: dict[str, Any], number: int) -> bytes:
    try:
        return leaf(record)
    except RowError as error:
        raise RefusedError(Refusal(number, f"a row that cannot be named: {error}")) from error


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


def _sampled(cleaning: Cleaning) -> tuple[tuple[Row, ...], int]:
    """Rows by lot, all of them where they are few, and how many there are."""
    sample: Reservoir[Row] = Reservoir(SAMPLED, generator(cleaning.seed, "sampled"))
    row = partial(_changeable, wrapped=cleaning.policy.wrapped)
    rows = (each for _, each in read_records(cleaning.data, row, None))
    while some := list(islice(rows, BLOCK)):
        sample.extend(some)
    if not sample.seen:
        raise DataError(f"'{cleaning.data}' holds no row")
    return tuple(sample.sample()), sample.seen


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
        answers = own_answers(model, [asked[i] for i in left], 1.0, rng, None)
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
