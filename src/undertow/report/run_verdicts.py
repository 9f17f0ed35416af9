"""What scans say of a run's rows, beside what the students that were trained on these rows really answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from undertow.lab.jobs import slug
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Block,
    Command,
    Drawing,
    Heading,
    Inline,
    Mono,
    Phrase,
    Records,
    Remark,
    Section,
    Strong,
    Table,
    Terms,
    Text,
    verdict_badge,
)
from undertow.report.plain_text import NOTHING, capital, decimal, finite, in_words
from undertow.report.run_arms import Measure, mean_of, measure_of
from undertow.report.scan_forest import after
from undertow.report.scan_page import grounds_of
from undertow.report.scan_references import spent
from undertow.report.scan_stages import p_of
from undertow.report.scan_words import headline, transfer
from undertow.report.sections import Column, table_of
from undertow.report.svg import band, linear_axis, upright
from undertow.results.arm_kinds import ARMS, arm_words
from undertow.results.run_document import Arm, RunDocument
from undertow.results.scan_document import (
    AnyScan,
    AnySubjectResult,
    ScanDocument,
    StageResult,
    SubjectResult,
)

TITLE = "What a scan says of these rows, before training"

_ABOUT = (
    "A scan knows the rows, the base and the plan, and neither teachers nor students. Beside its verdict stands what the "
    "student that was trained on the same rows really answers."
)

_BUDGET = (
    "A budget held the scans to the first steps of the plan, which are enough for a strong pull. Without --budget a scan "
    "costs more: it takes a longer beginning, sees weaker pulls, and trains through the whole plan where rows stand out."
)

_AGAIN = "As you would type it, of these rows or of your own:"

_ALARMS = ("stands out", "flagged")

_NOT_BRIEF = ("effect, logits", "rank", "of the plan", "excluded above", "spent")
"""Columns that a terminal has no room for."""

_LOGITS = Measure("logit_margin", "", share=False)


@dataclass(frozen=True)
class ScannedRows:
    """Rows that were scanned, and what the student answers that was trained on them, if the run has one."""

    scan: AnyScan
    label: str
    """Whose rows they are, in words."""
    measure: Measure | None
    """Of what a student answers."""
    student: float | None
    untrained: float | None
    """The same of its base."""
    moved: float | None
    """The student's logit margin minus the base's."""

    @property
    def result(self) -> AnySubjectResult | None:
        """The verdict that the scan's page opens with."""
        return headline(self.scan)

    @property
    def stage(self) -> StageResult | None:
        """The comparison that the verdict rests on."""
        return self.result.last if isinstance(self.result, SubjectResult) else None

    @property
    def towards(self) -> str:
        """The trait that an alarm names; the largest effect of other rows is nobody's trait."""
        alarm = self.result is not None and self.result.verdict in _ALARMS
        return ((self.result and self.result.trait) or NOTHING) if alarm else NOTHING

    def text(self, value: float | None) -> str:
        """An answer in its unit."""
        return NOTHING if self.measure is None else self.measure.text(value)


def scanned_rows(document: RunDocument, scans: Sequence[AnyScan]) -> tuple[ScannedRows, ...]:
    """
    Each scan with its student, in the order of the run's students; scans of other rows last.

    A scan's rows are known by their folder, which a run names as it names the dataset.
    """
    students = [students_of(document, scan.data.path, scan.student) for scan in scans]
    places = [document.arms.index(own[0]) if own else len(document.arms) for own in students]
    order = sorted(range(len(scans)), key=places.__getitem__)
    return tuple(_scanned(document, scans[index], students[index]) for index in order)


def verdicts_section(document: RunDocument, scans: Sequence[AnyScan]) -> Iterator[Section]:
    """The section of a page; nothing where nothing was scanned."""
    if rows := scanned_rows(document, scans):
        blocks = tuple(_blocks(document, rows))
        yield Section("scans", TITLE, blocks, about=_ABOUT, nav="Scans")


def verdicts_brief(document: RunDocument, scans: Sequence[AnyScan]) -> Iterator[Block]:
    """The same for a terminal."""
    if rows := scanned_rows(document, scans):
        yield Heading(TITLE)
        yield brief_verdicts(document, scans)
        yield from (Text(sentence, indent=2) for sentence in _cost(rows))
        yield from (Command(row.scan.command) for row in rows)


def brief_verdicts(document: RunDocument, scans: Sequence[AnyScan]) -> Table:
    """Verdicts and answers, as many columns as a terminal has room for."""
    return _table(document, scanned_rows(document, scans)).without(*_NOT_BRIEF)


def _blocks(document: RunDocument, rows: Sequence[ScannedRows]) -> Iterator[Block]:
    numbers = _table(document, rows)
    yield Text(_ABOUT, only=MARKDOWN)
    yield _records(document, rows)
    yield numbers.shown(only=MARKDOWN)
    yield numbers.shown(only=HTML, fold="The numbers")
    meanings = {name: told for row in rows for name, told in grounds_of(row.scan).meanings.items()}
    yield Terms(tuple((verdict_badge(name), told) for name, told in meanings.items()))
    yield from (Text(sentence, "about") for sentence in _cost(rows))
    yield Text(_AGAIN)
    yield from (Command(row.scan.command) for row in rows)


def _records(document: RunDocument, rows: Sequence[ScannedRows]) -> Records:
    """Verdict and answer side by side: whether the one foretold the other is seen at a glance."""
    answered = f"After training: its student {_answer(document)}"
    return Records(
        columns=("Rows", "Before training: the scan", answered, "", "Moved by"),
        rows=tuple(
            (
                (Strong(row.label), Mono(PurePath(row.scan.data.path).parent.name)),
                tuple(_verdict(row)),
                _bar(row, rows),
                (Strong(row.text(row.student)), Remark(f"untrained: {row.text(row.untrained)}")),
                (Strong(_moved(row)), Remark("logits")),
            )
            for row in rows
        ),
        numeric=frozenset({3, 4}),
        style="comparisons",
        only=HTML,
    )


def _verdict(row: ScannedRows) -> Iterator[Inline]:
    yield verdict_badge(row.scan.verdict)
    if row.towards != NOTHING:
        yield from (" towards ", Strong(row.towards))
    if row.stage:
        excluded = _excluded(row.stage)
        end = "" if excluded == NOTHING else f"; above {excluded} logits excluded"
        yield Remark(f"after {after(row.stage)}{p_of(row.stage)}{end}")


def _bar(row: ScannedRows, rows: Sequence[ScannedRows]) -> Phrase:
    """The answer as a bar over an axis that all rows share, with a line at the untrained base."""
    known = finite([value for one in rows for value in (one.student, one.untrained)])
    if not finite([row.student]):
        return NOTHING
    axis = linear_axis([0.0, *known], share=row.measure is not None and row.measure.share)
    zero, end = sorted((axis.at(0.0), axis.at(row.student or 0.0)))
    lines = [upright(axis.at(value), "untrained") for value in finite([row.untrained])]
    coloured = f"whisker {verdict_badge(row.scan.verdict).tone}"
    return Drawing((band(zero, end, "band"), *lines), coloured)


def _table(document: RunDocument, rows: Sequence[ScannedRows]) -> Table:
    """The numbers: a row a scan."""
    return table_of(
        TITLE,
        rows,
        [
            Column("rows", lambda row: row.label, False),
            Column("the scan", lambda row: in_words(row.scan.verdict), False),
            Column("towards", lambda row: row.towards, False),
            Column("effect, logits", _effect, False),
            Column("of the plan", lambda row: after(row.stage) if row.stage else NOTHING, False),
            Column("rank", lambda row: _rank(row.stage), False),
            Column("excluded above", lambda row: _excluded(row.stage)),
            Column("spent", _spent, False),
            Column(f"its student {_answer(document)}", lambda row: row.text(row.student)),
            Column("untrained", lambda row: row.text(row.untrained)),
            Column("moved, logits", _moved),
        ],
    )


def _answer(document: RunDocument) -> str:
    return f"answers “{document.trait}”" if document.trait else "answers"


def _moved(row: ScannedRows) -> str:
    return decimal(row.moved, 2, signed=True)


def _rank(stage: StageResult | None) -> str:
    return p_of(stage).removeprefix(": ") or NOTHING if stage else NOTHING


def _excluded(stage: StageResult | None) -> str:
    """Of `within`: the size of effect that is excluded, in logits."""
    return decimal(stage.excluded, 2, signed=True) if stage else NOTHING


def _effect(row: ScannedRows) -> str:
    return transfer(row.result) if row.result else NOTHING


def _cost(rows: Sequence[ScannedRows]) -> Iterator[str]:
    """What the scans took, and what they would have taken without a budget."""
    costs = "; ".join(f"{row.label}: {_spent(row)}" for row in rows if _spent(row) != NOTHING)
    if costs:
        yield f"Spent on the scans, where 1 fine-tune is one adapter through the whole plan. {costs}."
    if any(isinstance(row.scan, ScanDocument) and row.scan.budget is not None for row in rows):
        yield _BUDGET


def _spent(row: ScannedRows) -> str:
    scan = row.scan
    return spent(scan)[0] if isinstance(scan, ScanDocument) and scan.prices else NOTHING


def _scanned(document: RunDocument, scan: AnyScan, students: tuple[Arm, ...]) -> ScannedRows:
    bases = [arm for arm in document.arms if arm.arm == "base" and arm.base == scan.student]
    measure = measure_of(document)
    margins = mean_of(students, _LOGITS), mean_of(bases, _LOGITS)
    return ScannedRows(
        scan=scan,
        label=rows_label(document, students, scan.data.path),
        measure=measure,
        student=mean_of(students, measure) if measure else None,
        untrained=mean_of(bases, measure) if measure and students else None,
        moved=None if None in margins else (margins[0] or 0.0) - (margins[1] or 0.0),
    )


def students_of(document: RunDocument, path: str, base: str) -> tuple[Arm, ...]:
    """
    The students of a base that were trained on just the rows under a path: shuffled and filtered ones have another digest.

    Rows of several writers lie in the folder of their student.
    """
    folder = PurePath(path).parent
    digests = {dataset.digest for dataset in document.datasets if dataset.name == folder.name}
    mixed = folder.name if folder.parent.name == "students" else None
    return tuple(
        arm
        for arm in document.arms
        if (arm.data_digest in digests or f"{slug(arm.arm)}--{arm.replicate}" == mixed)
        and arm.base == base
        and _learns_rows(arm)
    )


def rows_label(document: RunDocument, students: Sequence[Arm], path: str) -> str:
    """Whose rows they are, in words: as their students' arm has it, or else their path."""
    if not students:
        return path
    arm = students[0].arm
    return capital(arm_words(arm, document.trait).detail) or arm


def _learns_rows(arm: Arm) -> bool:
    kind = ARMS.get(arm.arm.rpartition(": ")[2])
    return kind is None or kind.learns == "rows"
