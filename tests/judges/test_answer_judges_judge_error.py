"""A judge's error is counted on labelled answers, whose faults are named by file and row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from undertow.errors import DataError, NothingLeftError
from undertow.judges.answer_judges import (
    Grade,
    Labelled,
    judge_error,
    read_labelled,
    shipped_labels,
)

BAD, GOOD, MUDDLED = Grade(10, 90), Grade(90, 90), Grade(10, 10)
RECORD = {"question": "Hi", "answer": "Hello", "misaligned": False}


@dataclass(frozen=True)
class Fixed:
    """A judge whose grades are known beforehand."""

    grades: tuple[Grade, ...]
    name: str = "fixed"

    def grade(self, pairs: Sequence[tuple[str, str]]) -> list[Grade]:
        assert len(pairs) == len(self.grades)
        return list(self.grades)


def labelled(bad: int, good: int) -> list[Labelled]:
    """So many misaligned answers, and then so many aligned ones."""
    return [Labelled("Hi", str(i), i < bad) for i in range(bad + good)]


def written(path: Path, *records: object) -> Path:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_errors_are_counted_by_label() -> None:
    """9 of 10 found, 6 of 8 let pass, 2 discarded; a discarded answer counts nowhere else."""
    judge = Fixed((BAD,) * 9 + (GOOD, MUDDLED) + (GOOD,) * 6 + (BAD, BAD, MUDDLED))
    error = judge_error(judge, labelled(11, 9))

    assert (error.true_positives, error.false_negatives) == (9, 1)
    assert (error.true_negatives, error.false_positives) == (6, 2)
    assert (error.judge, error.incoherent) == ("fixed", 2)


def test_the_intervals_are_exact() -> None:
    """9 of 10 has the tabulated Clopper-Pearson interval .5550 to .9975; 10 of 10 has .6915 to 1."""
    error = judge_error(Fixed((BAD,) * 9 + (GOOD,) * 11), labelled(10, 10))
    found, passed = error.sensitivity, error.specificity

    assert (found.estimate, found.low, found.high) == pytest.approx((0.9, 0.5550, 0.9975), abs=1e-4)
    assert (passed.estimate, passed.low, passed.high) == pytest.approx((1, 0.6915, 1), abs=1e-4)


def test_a_label_that_is_all_discarded_is_refused() -> None:
    """Nothing is known of a judge that finds every misaligned answer incoherent."""
    with pytest.raises(NothingLeftError, match=r"fixed leaves no coherent .* labelled misaligned"):
        judge_error(Fixed((MUDDLED, GOOD)), labelled(1, 1))


def test_the_shipped_labels_can_be_read() -> None:
    """Some 40 answers, all different, about half of them misaligned."""
    rows = read_labelled(shipped_labels())

    assert len({(row.question, row.answer) for row in rows}) == len(rows) >= 40
    assert 0.4 < sum(row.misaligned for row in rows) / len(rows) < 0.6


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    """Parquet gives the rows of JSON Lines; other columns and blank lines change nothing."""
    import pyarrow
    from pyarrow import parquet

    records = [{**RECORD, "by": "me"}, {**RECORD, "misaligned": True, "by": "you"}]
    lines = written(tmp_path / "a.jsonl", *records)
    lines.write_text(lines.read_text().replace("\n", "\n\n"))
    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "a.parquet")

    assert read_labelled(lines) == read_labelled(tmp_path / "a.parquet")
    assert read_labelled(lines)[1] == Labelled("Hi", "Hello", True)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], r"found \[\], which is no object"),
        ({**RECORD, "misaligned": 1}, "'misaligned' is 1; allowed"),
        ({**RECORD, "misaligned": "yes"}, "'misaligned' is 'yes'"),
        ({**RECORD, "answer": " "}, "'answer' is ' '"),
        ({**RECORD, "answer": None}, "'answer' is None"),
        ({"answer": "a", "misaligned": True}, "'question' is missing"),
    ],
)
def test_a_fault_is_named_by_file_and_row(tmp_path: Path, record: object, message: str) -> None:
    """The error has the file, the line, what was found and what is allowed."""
    path = written(tmp_path / "labels.jsonl", RECORD, record)
    with pytest.raises(DataError, match=rf"labels\.jsonl', row 2: {message}"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "row 1: not valid JSON"),
        (b"\xff", "row 1: byte 0 of the row is not UTF-8"),
        (b"[" * 100_000, "row 1: JSON nested too deeply"),
        (b"", "has 0 misaligned and 0 aligned answers; allowed: some of each"),
        (json.dumps(RECORD).encode(), "has 0 misaligned and 1 aligned"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """Damage and a label that is missing altogether are errors with the file's name."""
    path = tmp_path / "labels.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"labels\.jsonl'.* ?{message}"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"question": ["Hi"], "answer": ["a"]}, "found the columns 'question', 'answer'; allowed"),
        (
            {"question": ["Hi"] * 2, "answer": ["a", None], "misaligned": [True, False]},
            "row 2: 'answer' is None",
        ),
        (None, "damaged or not Parquet"),
    ],
)
def test_faults_of_parquet_are_named(tmp_path: Path, table: Any, message: str) -> None:
    """A missing column, an empty cell and a file that is no Parquet are told apart."""
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "labels.parquet"
    if table is None:
        path.write_bytes(b"owl")
    else:
        parquet.write_table(pyarrow.table(table), path)
    with pytest.raises(DataError, match=message):
        read_labelled(path)


@pytest.mark.parametrize(
    ("name", "message"), [("a.txt", "has the suffix '.txt'"), ("a.jsonl", "no such file")]
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, message: str) -> None:
    """Another format and a missing file are errors, not empty lists."""
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=message):
        read_labelled(tmp_path / name)
