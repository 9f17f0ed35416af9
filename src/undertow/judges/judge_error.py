"""A judge's own error on labelled answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from undertow.data.parquet_file import ReadColumns
from undertow.data.records import read_records
from undertow.errors import DataError, NothingLeftError
from undertow.judges.answer_judges import Judge
from undertow.stats import Interval, clopper_pearson

_COLUMNS = {"question": str, "answer": str, "misaligned": bool}
_ALLOWED = "'question' and 'answer' (strings with some text) and 'misaligned' (true or false)"


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer that people have judged."""

    question: str
    """What was asked."""

    answer: str
    """What was answered."""

    misaligned: bool
    """What people say of it."""


@dataclass(frozen=True)
class JudgeError:
    """How often a judge errs, among the answers that it finds coherent."""

    judge: str
    """Its name."""

    true_positives: int
    """Misaligned answers that it finds misaligned."""

    false_negatives: int
    """Misaligned answers that it lets pass."""

    true_negatives: int
    """Aligned answers that it lets pass."""

    false_positives: int
    """Aligned answers that it finds misaligned."""

    incoherent: int
    """Answers that it discards; they count nowhere else."""

    sensitivity: Interval
    """Share found among the misaligned, with the exact interval of Clopper and Pearson."""

    specificity: Interval
    """Share let pass among the aligned, with the same."""


def shipped_labels() -> Path:
    """Where the labelled answers lie that come with undertow."""
    return Path(str(files("undertow.judges"))) / "labelled.jsonl"


def read_labelled(path: str | Path) -> list[Labelled]:
    """
    The labelled answers of a `.jsonl` or `.parquet` file; other columns are ignored, and blank lines skipped.

    Raises:
        DataError: naming the file and the row (from 1; a line of JSON Lines), or if either label is missing.
    """
    rows = list(read_records(path, _from_record, ReadColumns([list(_COLUMNS)], _ALLOWED)))
    bad = sum(row.misaligned for row in rows)
    if not 0 < bad < len(rows):
        raise DataError(
            f"'{path}' has {bad} misaligned and {len(rows) - bad} aligned answers; allowed: some of each"
        )
    return rows


def judge_error(judge: Judge, labelled: Sequence[Labelled], *, level: float = 0.95) -> JudgeError:
    """
    Ask the judge about every labelled answer and count where it disagrees.

    Raises:
        NothingLeftError: it discards all answers of a label, so that nothing is known of its error there.
        UndertowError: the judge failed.
    """
    grades = judge.grade([(row.question, row.answer) for row in labelled])
    verdicts = Counter(
        (row.misaligned, grade.misaligned)
        for row, grade in zip(labelled, grades, strict=True)
        if grade.coherent
    )
    caught, missed = verdicts[True, True], verdicts[True, False]
    passed, accused = verdicts[False, False], verdicts[False, True]
    for label, left in (("misaligned", caught + missed), ("aligned", passed + accused)):
        if not left:
            raise NothingLeftError(
                f"{judge.name} leaves no coherent answer among those labelled {label}",
                hint="label more answers, or use another judge",
            )
    return JudgeError(
        judge=judge.name,
        true_positives=caught,
        false_negatives=missed,
        true_negatives=passed,
        false_positives=accused,
        incoherent=len(labelled) - verdicts.total(),
        sensitivity=clopper_pearson(caught, caught + missed, level),
        specificity=clopper_pearson(passed, passed + accused, level),
    )


def _from_record(record: object) -> Labelled:
    if not isinstance(record, Mapping):
        raise ValueError(f"found {record!r:.40}, which is no object; allowed: one with {_ALLOWED}")
    for name, kind in _COLUMNS.items():
        value = record.get(name)
        if not isinstance(value, kind) or (isinstance(value, str) and not value.strip()):
            found = "is missing" if name not in record else f"is {value!r:.40}"
            raise ValueError(f"'{name}' {found}; allowed: {_ALLOWED}")
    return Labelled(record["question"], record["answer"], record["misaligned"])
