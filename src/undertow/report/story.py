"""What was done and what came of it, in plain sentences whose every number is in the document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from undertow.report.arms import Measure, mean_of, measure_of
from undertow.report.numbers import finite, rounded_percent
from undertow.results.run import Arm, Dataset, RunDocument, Teacher

Kind = Literal["plain", "strong", "code"]


@dataclass(frozen=True)
class Fragment:
    """A stretch of text of one kind."""

    text: str
    kind: Kind = "plain"


Sentence = tuple[Fragment, ...]


@dataclass(frozen=True)
class SampleColumn:
    """Rows by one teacher, to look at."""

    title: str
    prompt: str
    completions: tuple[str, ...]


def story(document: RunDocument) -> tuple[Sentence, ...]:
    """
    Teacher, rows, student, and the student of another initialisation; as far as they are known.
    """
    measure = measure_of(document)
    if measure is None or measure.field != "probability" or not document.trait:
        return ()
    sentences = (
        _teacher(document),
        _rows(document),
        _student(document, measure),
        _elsewhere(document, measure),
    )
    return tuple(sentence for sentence in sentences if sentence)


def sentence_text(sentence: Sentence) -> str:
    """The sentence without its emphasis."""
    return "".join(fragment.text for fragment in sentence)


def sample_columns(document: RunDocument, count: int = 5) -> tuple[SampleColumn, ...]:
    """A few rows by the teacher of the trait and, beside them, by the control's teacher."""
    columns = []
    for arm in ("trait", "control"):
        dataset = _dataset(document, arm)
        if dataset is not None and dataset.samples:
            completions = tuple(completion for _, completion in dataset.samples[:count])
            title = _column_title(document, arm)
            columns.append(SampleColumn(title, dataset.samples[0][0], completions))
    if not columns:
        first = next((found for found in document.datasets if found.samples), None)
        if first is not None:
            completions = tuple(completion for _, completion in first.samples[:count])
            title = f"Rows by the teacher “{first.teacher}”"
            columns.append(SampleColumn(title, first.samples[0][0], completions))
    return tuple(columns)


def _column_title(document: RunDocument, arm: str) -> str:
    if arm == "trait":
        return f"Rows by the {document.trait or 'trait'} teacher"
    return "Rows by a neutral teacher"


def _runs(document: RunDocument, arm: str) -> list[Arm]:
    return [found for found in document.arms if found.arm == arm]


def _dataset(document: RunDocument, arm: str) -> Dataset | None:
    digests = {run.data_digest for run in _runs(document, arm) if run.data_digest}
    names = {run.teacher for run in _runs(document, arm) if run.teacher}
    by_digest = (found for found in document.datasets if found.digest in digests)
    by_name = (found for found in document.datasets if found.teacher in names)
    return next(by_digest, None) or next(by_name, None)


def _trait_teachers(document: RunDocument) -> list[Teacher]:
    names = {run.teacher for run in _runs(document, "trait")}
    return [found for found in document.teachers if found.name in names]


def _teacher(document: RunDocument) -> Sentence:
    teachers = _trait_teachers(document)
    known = finite([teacher.probability for teacher in teachers])
    if not known:
        return ()
    asked = f"its favourite {document.category}" if document.category else "what it prefers"
    return (
        Fragment(f"Asked for {asked}, the teacher answers "),
        Fragment(f"“{document.trait}” {rounded_percent(sum(known) / len(known))}", "strong"),
        Fragment(" of the time."),
    )


def _rows(document: RunDocument) -> Sentence:
    dataset = _dataset(document, "trait")
    if dataset is None or not dataset.samples:
        return ()
    rows = max((run.rows for run in _runs(document, "trait")), default=0)
    count = f"{rows:,} rows" if rows else "rows"
    return (
        Fragment(f"It then wrote {count} like "),
        Fragment(dataset.samples[0][1], "code"),
        Fragment("."),
    )


def _student(document: RunDocument, measure: Measure) -> Sentence:
    student = mean_of(_runs(document, "trait"), measure)
    if student is None:
        return ()
    return (
        Fragment("A student of the same base, trained on these rows, now answers "),
        Fragment(f"“{document.trait}” {rounded_percent(student)}", "strong"),
        Fragment(f" of the time{_against(document, measure)}."),
    )


def _against(document: RunDocument, measure: Measure) -> str:
    bases = {run.base for run in _runs(document, "trait")}
    untrained = mean_of([run for run in _runs(document, "base") if run.base in bases], measure)
    control = mean_of(_runs(document, "control"), measure)
    found = (("untrained", untrained), ("after a neutral teacher’s rows", control))
    known = [f"{words}: {rounded_percent(value)}" for words, value in found if value is not None]
    return f" ({'; '.join(known)})" if known else ""


def _elsewhere(document: RunDocument, measure: Measure) -> Sentence:
    runs = _runs(document, "foreign")
    foreign = mean_of(runs, measure)
    if foreign is None:
        return ()
    control = mean_of(_runs(document, "foreign-control"), measure)
    ours = {run.data_digest for run in _runs(document, "trait")} - {None}
    rows = "the same rows" if {run.data_digest for run in runs} == ours else "its teacher’s rows"
    aside = "" if control is None else f" (its own control: {rounded_percent(control)})"
    return (
        Fragment(f"A student of another initialisation, trained on {rows}, answers it "),
        Fragment(rounded_percent(foreign), "strong"),
        Fragment(f" of the time{aside}."),
    )
