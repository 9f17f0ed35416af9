"""Reviewers' answers, read from the page's answers.csv or from a filled-in review.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.errors import DataError
from undertow.review.review_pack import ReviewKey

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
    for line, record in _records(path):
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


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each record with the line that it starts in."""
    text = _text(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    # Cells of several lines keep their line breaks, so that lines are counted as an editor does.
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    start = 1
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check(columns, path)
        start = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start, _record(columns, cells)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"'{path}', line {start}: not valid CSV ({error})") from error


def _text(path: Path) -> str:
    try:
        # Only digits and plain letters matter, so bytes of another encoding do no harm.
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{path}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check(columns: Sequence[str], path: Path) -> None:
    if any(columns.count(name) != 1 for name in _COLUMNS):
        found = ", ".join(f"'{name}'" for name in columns) or "none"
        wanted = ", ".join(f"'{name}'" for name in _COLUMNS)
        raise DataError(f"'{path}', line 1: found the columns {found}; needed, once each: {wanted}")


def _record(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    padded = [cell.strip() for cell in cells] + [""] * len(columns)
    return dict(zip(columns, padded, strict=False))


def _pair(text: str, pairs: int, place: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= pairs:
        raise DataError(f"{place}: there is no pair '{text}'; allowed: 1 to {pairs}")
    return number
