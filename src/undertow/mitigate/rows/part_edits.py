"""
Rows removed part by part, in this process or by an engine's workers: what each part leaves, put together in their order.

A worker writes the lines that it keeps into a scratch folder beside the output; where it does not see that folder (on
another machine), they come back with what became of each row.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.data.column_names import Columns, renamed
from undertow.data.parquet_file import CHUNK
from undertow.data.part_leaves import Survey, in_order
from undertow.data.record_turns import value_kind
from undertow.data.records import ShardPart, as_object, made, part_records
from undertow.data.row_faults import shown
from undertow.data.row_leaves import SIZE, LeafList, RowError, leaf
from undertow.data.row_records import json_line
from undertow.data.row_shapes import from_record, shaped
from undertow.data.rows import row_id
from undertow.data.shard import Shard
from undertow.data.shard_records import other_schema, shard_columns
from undertow.errors import DataError, UndertowError
from undertow.provenance.ledger import Ledger
from undertow.results.scan_document import source_subject

T = TypeVar("T")
R = TypeVar("R")

Spread = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]
"""An engine's `map`."""

_SHOWN = 40
"""Characters of a column's name that an error shows."""

MEND = "mend or remove this row"


@dataclass(frozen=True)
class Refusal:
    """A record that is refused, by its number in its part: whoever knows what comes before it can name it."""

    number: int
    """0 for what is wrong with all of the part."""
    text: str
    hint: str = ""

    def at(self, shard: Shard, before: int) -> DataError:
        """The error that names it."""
        row = f", row {self.number + before}" if self.number else ""
        return DataError(f"{shard.named}{row}: {self.text}", hint=self.hint)


class RefusedError(Exception):
    """Ends the reading of a part."""

    def __init__(self, refusal: Refusal) -> None:
        """With what is told of it."""
        super().__init__(refusal)
        self.refusal = refusal


def refuse(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> NoReturn:
    """A fault that is refused."""
    raise RefusedError(Refusal(number, text, hint or (MEND if number else "")))


@dataclass(frozen=True)
class PartTask:
    """What is to be done with a part."""

    index: int
    part: ShardPart
    gone: bytes | None = None
    """A bit a row, packed: 1 for one that goes."""


@dataclass
class PartDone:
    """What became of a part."""

    leaves: bytes = b""
    codes: bytes = b""
    """A byte a row: 0 for one that is kept, else 1 and more for its rule."""
    rules: list[str] = field(default_factory=list)
    """In the order of their first rows."""
    lines: bytes | None = b""
    """What is written; None where it lies in the scratch folder."""
    ids: str = ""
    """SHA-256 over the ids of all rows, where they are asked for."""
    columns: frozenset[str] | None = None
    """Of the shard, where this is its beginning and others have to have the same."""
    error: Refusal | UndertowError | None = None
    """What ended the work."""
    changed: str = ""
    """That of the rules by which rows are others now."""
    now: bytes = b""
    """The leaves of those."""
    told: tuple[dict[str, str], tuple[str, str] | None] | None = None
    """How rows were changed: settings, and name and digest of the model that did it."""


@dataclass(frozen=True, kw_only=True)
class PartWork(ABC):
    """What is done with each part of a dataset, each by the same one."""

    scratch: str = ""
    """Folder for what is written, if it is seen here."""
    several: bool = False
    """Whether the dataset has several shards."""

    def __call__(self, task: PartTask) -> PartDone:
        """What became of the part, its lines in the scratch folder or in the result."""
        if self.scratch and os.path.isdir(self.scratch):
            with open(os.path.join(self.scratch, str(task.index)), "wb") as file:
                done = self.edit(task, file.write)
            done.lines = None
            return done
        lines = bytearray()
        done = self.edit(task, lines.extend)
        done.lines = bytes(lines)
        return done

    def edit(self, task: PartTask, write: Callable[[bytes], object]) -> PartDone:
        """The same, while `write` gets the lines; what ends the work is part of it, so that the first part's is told."""
        done, part = PartDone(), task.part
        try:
            if self.several and not part.start:
                done.columns = shard_columns(part.shard)
            self.rows(task, done, write)
        except RefusedError as error:
            done.error = error.refusal
        except UndertowError as error:
            done.error = error
        except RowError:  # the same again, with the number of the row
            done.error = _unnamed(part)
        return done

    @abstractmethod
    def rows(self, task: PartTask, done: PartDone, write: Callable[[bytes], object]) -> None:
        """
        Enter what became of the part's rows.

        Raises:
            RefusedError, UndertowError, RowError: the work ends there.
        """


@dataclass(frozen=True)
class PartEdit(PartWork):
    """Removes rows of a part."""

    name: str = ""
    """Rule of the rows that go by their number."""
    by_source: Mapping[str, str] = field(default_factory=dict)
    """Rules by a source's name as a scan calls it, where no numbers say it."""
    columns: Columns = ()
    """Names under which a scan read columns."""
    identified: bool = False
    """Whether the rows' ids are asked for."""
    wrapped: bool = False

    def rows(self, task: PartTask, done: PartDone, write: Callable[[bytes], object]) -> None:
        """Kept are those that no rule is for."""
        leaves, ids = LeafList(strict=True), hashlib.sha256()
        gone = None if task.gone is None else np.unpackbits(np.frombuffer(task.gone, np.uint8))
        codes, kept = bytearray(), list[bytes]()
        for number, record in made(
            part_records(task.part, refuse, None, leaves), as_object, refuse
        ):
            if gone is None:
                source = str(self._as_scanned(record).get("source"))
                rule = self.by_source.get(source_subject(source), "")
            else:
                rule = self.name if gone[len(codes)] else ""
            if self.identified:
                ids.update(self._id(record, number).encode())
            codes.append(code_of(done.rules, rule))
            if not rule:
                kept.append(json_line(record))
                if len(kept) == CHUNK:
                    write(b"".join(kept))
                    kept.clear()
        write(b"".join(kept))
        done.leaves, done.codes, done.ids = leaves.given(), bytes(codes), ids.hexdigest()

    def _as_scanned(self, record: dict[str, Any]) -> dict[str, Any]:
        given: Any = renamed(record, self.columns) if self.columns else record
        assert isinstance(given, dict)
        return given

    def _id(self, record: dict[str, Any], number: int) -> str:
        try:
            return row_id(from_record(self._as_scanned(record), wrapped=self.wrapped))
        except ValueError as error:
            raise RefusedError(Refusal(number, str(error), getattr(error, "hint", ""))) from error


@dataclass
class FormsFound:
    """The forms of a part's rows."""

    rows: int = 0
    lines: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    """Rows by what makes them one, in words; those of no shape have none."""
    error: Refusal | DataError | None = None


@dataclass(frozen=True)
class PartForms:
    """Counts the forms of a part's rows."""

    columns: Columns = ()
    strict: bool = False
    """Whether a row of no shape is refused."""

    def __call__(self, part: ShardPart) -> FormsFound:
        """Those of one part."""
        counted, leaves = FormsFound(), LeafList()
        try:
            for number, record in made(part_records(part, refuse, None, leaves), as_object, refuse):
                leaves.given()
                counted.rows += 1
                counted.forms[self._form(record, number)] += 1
        except RefusedError as error:
            counted.error = error.refusal
        except DataError as error:
            counted.error = error
        counted.lines = leaves.lines
        return counted

    def _form(self, record: dict[str, Any], number: int) -> str:
        given: Any = renamed(record, self.columns) if self.columns else record
        try:
            shape = shaped(given)[0]
        except ValueError as error:
            if self.strict:
                raise RefusedError(Refusal(number, str(error), MEND)) from error
            return ""
        own = dict(self.columns)
        names = [name if name in record else own.get(name, name) for name in shape]
        return " + ".join(
            f"'{shown(name, longest=_SHOWN)}' ({value_kind(given[column])})"
            for name, column in zip(names, shape, strict=True)
        )


def part_results(
    worker: Callable[[T], R], tasks: Sequence[T], spread: Spread | None
) -> Iterator[R]:
    """What a worker makes of tasks, in their order."""
    if spread is None or len(tasks) == 1:
        yield from map(worker, tasks)
    else:
        yield from in_order(spread(worker, tasks))


def edited(
    survey: Survey,
    edit: PartWork,
    gone: NDArray[np.bool_] | None,
    file: BinaryIO,
    output: Path,
    spread: Spread | None,
) -> Iterator[PartDone]:
    """
    Write what is left of all parts to a file, in their order; what became of each part comes out.

    Raises:
        DataError: naming the shard and the row that cannot be read or named, or the shard with another schema.
        UndertowError: what else ended the work on a part.
    """
    tasks = [
        PartTask(index, part, None if gone is None else np.packbits(gone[at : at + rows]).tobytes())
        for index, (part, at, rows) in enumerate(
            zip(survey.parts, survey.firsts(), survey.rows, strict=True)
        )
    ]
    first: tuple[Shard, frozenset[str]] | None = None
    for task, before, done in zip(
        tasks, survey.before(), _done(edit, tasks, file, output, spread), strict=True
    ):
        shard = task.part.shard
        if done.columns is not None:
            first = first or (shard, done.columns)
            if done.columns != first[1]:
                raise other_schema(shard, done.columns, *first)
        if isinstance(done.error, Refusal):
            raise done.error.at(shard, before)
        if done.error is not None:
            raise done.error
        yield done


def _done(
    edit: PartWork, tasks: Sequence[PartTask], file: BinaryIO, output: Path, spread: Spread | None
) -> Iterator[PartDone]:
    if spread is None or len(tasks) == 1:
        for task in tasks:
            yield edit.edit(task, file.write)
        return
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        shared = replace(edit, scratch=str(Path(scratch).absolute()))
        for index, done in enumerate(in_order(spread(shared, tasks))):
            if done.lines is None:
                path = Path(scratch, str(index))
                with path.open("rb") as lines:
                    shutil.copyfileobj(lines, file, 1 << 20)
                path.unlink()
            else:
                file.write(done.lines)
            yield done


def enter(ledger: Ledger, done: PartDone) -> None:
    """What became of the rows of a part, behind what became of others."""
    codes = np.frombuffer(done.codes, np.uint8)
    leaves = np.frombuffer(done.leaves, np.uint8).reshape(-1, SIZE)
    ledger.keep(leaves[codes == 0].tobytes())
    for code, rule in enumerate(done.rules, start=1):
        some = leaves[codes == code].tobytes()
        if rule == done.changed:
            ledger.change(some, done.now, rule)
        else:
            ledger.remove(some, rule)


def code_of(rules: list[str], rule: str) -> int:
    """By which a rule's rows are named, 0 for those that no rule is for; a new one is the next."""
    if not rule:
        return 0
    if rule not in rules:
        rules.append(rule)
    return rules.index(rule) + 1


def _unnamed(part: ShardPart) -> Refusal:
    """Which row of a part has no canonical spelling."""
    for number, record in part_records(part, refuse):
        try:
            leaf(record)
        except RowError as error:
            return Refusal(number, f"a row that cannot be named: {error}")
    raise AssertionError("a row that had no leaf has one")
