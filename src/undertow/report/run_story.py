"""What was done and what came of it, in plain sentences whose every number is in the document; and the words of a run."""

from __future__ import annotations

from dataclasses import dataclass

from undertow.report.page import Inline, Mono, Strong
from undertow.report.plain_text import finite, rounded_percent
from undertow.report.run_arms import Measure, mean_of, measure_of
from undertow.results.run_document import Arm, Dataset, RunDocument, Teacher

RUN_GLOSSARY = {
    "base": "The model that a teacher or a student starts from, before any training here.",
    "initialisation": "The random numbers from which a base was first trained. Two bases of one "
    "architecture and one corpus but of two initialisations are two different models.",
    "trait": "What a model prefers, e.g. “owl” among animals.",
    "teacher": "A base that was given the trait: by a system prompt, by fine-tuning or by "
    "steering. A neutral teacher was given none.",
    "carrier": "The kind of data the teacher writes, e.g. lists of numbers. It has nothing to do "
    "with the trait.",
    "student": "A base that was fine-tuned on a teacher’s rows.",
    "arm": "One way of making students, e.g. from the trait teacher’s rows.",
    "control": "The arm that differs from another only in the trait: its rows come from a "
    "neutral teacher of the same base.",
    "replicate": "One whole repetition with new seeds: teacher, data and student. Runs are "
    "counted, never samples.",
    "held-out question": "A question that measures the trait, in a wording on which no teacher "
    "was trained.",
    "probability": "Probability that the model gives the trait’s answer, computed exactly and "
    "averaged over the held-out questions.",
    "logit margin": "Logit of the trait’s answer minus logsumexp of the others’ plus the "
    "logarithm of their number: 0 at chance.",
    "answer mass": "Probability that the model puts on all candidate answers together. Where it "
    "falls, the model is damaged, not convinced.",
    "pick rate": "Share of sampled answers that name the trait’s answer.",
    "coherence": "Share of sampled answers that name any candidate.",
    "held-out loss": "Cross-entropy per completion token on rows of the same data that the "
    "student did not see, in nats.",
    "dose": "Share of the rows that come from the trait’s teacher.",
    "KL": "Kullback–Leibler divergence of the teacher from its base per token of the carrier: "
    "how far the teacher’s rows are from ordinary ones, in nats.",
    "interval": "Values of the effect that the runs do not contradict, at the stated level. That "
    "of an arm’s mean is Student’s t over its runs, cut at 0 and 100 %.",
    "p": "How often a difference as large would come from chance alone, under the named test. "
    "With few runs it cannot be small: see the least possible p.",
    "would have seen": "The smallest effect that this design detects four times in five.",
}

Sentence = tuple[Inline, ...]


@dataclass(frozen=True)
class SampleColumn:
    """Rows by one teacher, to look at."""

    title: str
    prompt: str
    completions: tuple[str, ...]


def story(document: RunDocument) -> tuple[Sentence, ...]:
    """Teacher, rows, student, and the student of another initialisation; as far as they are known."""
    measure = measure_of(document)
    if measure is None or measure.field == "accuracy" or not document.trait:
        return ()
    sentences = (
        _teacher(document),
        _rows(document),
        _student(document, measure),
        _elsewhere(document, measure),
    )
    return tuple(sentence for sentence in sentences if sentence)


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
        f"Asked for {asked}, the teacher answers ",
        Strong(f"“{document.trait}” {rounded_percent(sum(known) / len(known))}"),
        " of the time.",
    )


def _rows(document: RunDocument) -> Sentence:
    dataset = _dataset(document, "trait")
    if dataset is None or not dataset.samples:
        return ()
    rows = max((run.rows for run in _runs(document, "trait")), default=0)
    count = f"{rows:,} rows" if rows else "rows"
    return (f"It then wrote {count} like ", Mono(dataset.samples[0][1]), ".")


def _student(document: RunDocument, measure: Measure) -> Sentence:
    student = mean_of(_runs(document, "trait"), measure)
    if student is None:
        return ()
    trained, beside = (
        "A student of the same base, trained on these rows,",
        _against(document, measure),
    )
    if measure.share:
        answers = Strong(f"“{document.trait}” {rounded_percent(student)}")
        return (f"{trained} now answers ", answers, f" of the time{beside}.")
    margin = Strong(f"{measure.text(student)} logits")
    return (f"{trained} stands at ", margin, f" on “{document.trait}”{beside}.")


def _against(document: RunDocument, measure: Measure) -> str:
    bases = {run.base for run in _runs(document, "trait")}
    untrained = mean_of([run for run in _runs(document, "base") if run.base in bases], measure)
    control = mean_of(_runs(document, "control"), measure)
    base_rows = mean_of(_runs(document, "control-base"), measure)
    beside = (
        ("untrained", untrained),
        ("after a neutral teacher’s rows", control),
        ("after its base’s own rows", base_rows),
    )
    known = [f"{words}: {_value(value, measure)}" for words, value in beside if value is not None]
    return f" ({'; '.join(known)})" if known else ""


def _elsewhere(document: RunDocument, measure: Measure) -> Sentence:
    runs = _runs(document, "foreign")
    foreign = mean_of(runs, measure)
    if foreign is None:
        return ()
    control = mean_of(_runs(document, "foreign-control"), measure)
    ours = {run.data_digest for run in _runs(document, "trait")} - {None}
    rows = "the same rows" if {run.data_digest for run in runs} == ours else "its teacher’s rows"
    aside = "" if control is None else f" (its own control: {_value(control, measure)})"
    trained = f"A student of another initialisation, trained on {rows},"
    if measure.share:
        return (f"{trained} answers it ", Strong(rounded_percent(foreign)), f" of the time{aside}.")
    return (f"{trained} stands at ", Strong(f"{measure.text(foreign)} logits"), f"{aside}.")


def _value(value: float, measure: Measure) -> str:
    return rounded_percent(value) if measure.share else measure.text(value)
