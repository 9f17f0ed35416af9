"""The page of a screen: what training on the rows would do, how that was judged, and what speaks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from undertow.data.file_sample import Data
from undertow.report import scan_words
from undertow.report.check_page import CANNOT, CheckPage, pages_of
from undertow.report.figure import Lanes
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Badge,
    Block,
    Gap,
    Grid,
    Heading,
    Labels,
    Lead,
    Listing,
    Mono,
    Name,
    Page,
    Part,
    Questions,
    Records,
    Remark,
    Section,
    Strong,
    Styled,
    Table,
    Terms,
    Text,
)
from undertow.report.plain_text import (
    NOTHING,
    in_words,
    plain,
    shortened,
    visible,
    whole,
)
from undertow.report.scan_findings import scan_findings
from undertow.report.scan_forest import (
    brief_forest,
    forest,
    in_order,
    level_text,
    subject_name,
    transfer_checks,
)
from undertow.report.sections import (
    Column,
    cost,
    cost_facts,
    limits_section,
    reproduction,
    settings,
    table_of,
    words_section,
)
from undertow.results.measurement import Measurement
from undertow.results.scan_document import CheckRun, ScanDocument

FILTERS = "content"
"""The check that holds what ordinary filters see; it is shown apart from the others."""

_LONG_TABLE = 12
_MOST_NAMED = 300
"""Columns that a page names; the document has more."""

_OPEN = (
    "What rows say openly can move any student that learns it, and needs no hidden signal. Where some rows say it, scan the "
    "others alone: what still moves is not in these words."
)


@dataclass(frozen=True)
class CheckEvidence:
    """One check of kind evidence: what it is, how it ended, what it measured."""

    run: CheckRun
    page: CheckPage
    measurements: tuple[Measurement, ...]

    @property
    def detected(self) -> bool:
        """Whether any of its measurements speaks against the check's null."""
        return any(one.detected for one in self.measurements)

    @property
    def ending(self) -> str:
        """In a word or two: whether it detected anything, or why it did not look."""
        if self.run.status != "done":
            return in_words(self.run.status)
        return "detected" if self.detected else "nothing detected"

    @property
    def table(self) -> Table:
        """Its measurements, those that speak against the null first."""
        ordered = sorted(self.measurements, key=lambda one: not one.detected)
        return scan_words.evidence_table(ordered)


def scan_page(document: ScanDocument) -> Page:
    """The page of a screen."""
    verdict = in_words(document.verdict)
    numbers = scan_words.transfers_table(document).shown(fold="The numbers of this figure")
    figure, evidence = forest(document, numbers), evidence_of(document)
    return Page(
        document=document,
        id="scan",
        verb="scan",
        subject=Name(document.data.path),
        window=f"{verdict}: {document.data.path}",
        title=("What would training on these rows do to ", Name(document.student), "?"),
        badge=Badge(verdict, document.verdict),
        conclusion=scan_words.conclusion(document),
        lead=_lead(document, figure),
        sections=tuple(_sections(document, figure, evidence)),
        brief=tuple(_brief(document, figure, evidence)),
        spare=1,
        findings=scan_findings(document),
    )


def evidence_of(document: ScanDocument) -> tuple[CheckEvidence, ...]:
    """What every check of kind evidence says, in the order in which they were run, the content filters last."""
    runs = [run for run in document.checks if run.kind == "evidence"]
    pages = pages_of(tuple(run.check for run in runs))
    return tuple(
        CheckEvidence(
            run,
            pages[run.check],
            tuple(one for one in document.measurements if one.check == run.check),
        )
        for run in sorted(runs, key=lambda run: run.check == FILTERS)
    )


def _lead(document: ScanDocument, figure: Lanes | None) -> Lead:
    answers = [
        (question, Strong(answer), remark)
        for question, answer, remark in scan_words.answers(document)
    ]
    return Lead(
        figure=figure,
        beside=(Questions(tuple(answers)),) if answers else (),
        style="facts",
        wide=figure is None or len(figure.panels) > 1,
    )


def _sections(
    document: ScanDocument, figure: Lanes | None, evidence: tuple[CheckEvidence, ...]
) -> Iterator[Block]:
    data, student = Mono(document.data.path), Mono(document.student)
    yield Text(("Rows: ", data, ", student: ", student, "."), only=MARKDOWN)
    if document.subjects:
        warning = scan_words.DETECTABLE_IS_NOT_DANGEROUS
        verdicts = tuple(_verdicts(document))
        yield Section("verdicts", "Verdicts", verdicts, titled=HTML, about=warning)
    if figure:
        numbers = scan_words.transfers_table(document)
        yield Section("transfer", "Expected transfer under the plan", (numbers,), only=MARKDOWN)
    yield Section(
        "calibration",
        "Can this screen be trusted here?",
        (_calibration(document),),
        nav="Calibration",
        prose=True,
    )
    if checks := tuple(_part(one) for one in evidence if one.run.check != FILTERS):
        level = level_text(1 - document.level)
        about = (
            "Each check in its own unit. “Detected” speaks against the rows being the clean base’s own, at an "
            f"error rate of {level} a check; it does not judge transfer."
        )
        yield Section("evidence", "Evidence", checks, about=about, nav="Evidence")
    if filters := tuple(_part(one) for one in evidence if one.run.check == FILTERS):
        about = (
            "They read what rows say. A trait that travels covertly is not in what rows say, so a clean result "
            "here is no reassurance."
        )
        seen = "What content filters see"
        yield Section("filters", seen, filters, about=about, nav="Content filters")
    moved = (scan_words.moved_table(document.moved).shown(style="wrap"),) if document.moved else ()
    searched = Text(scan_words.search(document), "about")
    yield Section("open", "Open search", (searched, *moved), nav="Open search")
    yield Section("data", "Data", tuple(_data(document)), nav="Data", prose=True)
    yield limits_section((scan_words.NO_ROW_VERDICTS, *document.limits))
    yield reproduction(
        document, "Scan", _facts(document), inputs=document.inputs, more=tuple(_as_run(document))
    )
    yield words_section(scan_words.SCAN_GLOSSARY)


def _verdicts(document: ScanDocument) -> Iterator[Block]:
    yield Records(
        columns=("Rows of", "Verdict", "Expected transfer, logits", "Detectable", "Rows", "Advice"),
        rows=tuple(
            (
                Name(subject_name(result.subject)),
                Badge(in_words(result.verdict), result.verdict),
                (
                    Strong(scan_words.transfer(result)),
                    *((Remark(result.reason),) if result.reason else ()),
                    *((Remark(result.openly.sentence),) if result.openly else ()),
                ),
                scan_words.detectable(result),
                whole(result.rows),
                scan_words.advice(result, document),
            )
            for result in in_order(document.subjects)
        ),
        numeric=frozenset({4}),
        style="verdicts",
        only=HTML,
    )
    yield scan_words.subjects_table(document).shown(only=MARKDOWN)
    rates = scan_words.error_rates(document)
    yield Terms(tuple((Badge(in_words(verdict), verdict), told) for verdict, told in rates.items()))
    yield Text(scan_words.DETECTABLE_IS_NOT_DANGEROUS, only=MARKDOWN)
    if seen := scan_words.seen_from(document):
        yield Text(seen, "about")
    openly = _openly(document)
    if openly.rows:
        fold = openly.name if len(openly.rows) > _LONG_TABLE else ""
        yield openly.shown(style="wrap", caption=openly.name, fold=fold)
        yield Text(_OPEN, "about")


def _openly(document: ScanDocument) -> Table:
    """Of every subject and trait that is not clear, the rows that say or ask it."""
    return table_of(
        "Rows that say a trait’s words or ask a probe’s question",
        [
            (result, meaning)
            for result in in_order(document.subjects)
            for meaning in result.open_meaning
        ],
        [
            Column("subject", lambda pair: subject_name(pair[0].subject), False),
            Column("trait", lambda pair: plain(pair[1].trait), False),
            Column("of rows", lambda pair: whole(pair[0].rows)),
            Column("say or ask it", lambda pair: whole(pair[1].rows)),
            Column("say it in what is learnt", lambda pair: whole(pair[1].learnt)),
            Column("say it in the prompt", lambda pair: whole(pair[1].prompt)),
            Column("ask it", lambda pair: whole(pair[1].asked)),
        ],
    )


def _calibration(document: ScanDocument) -> Listing:
    tone = "" if document.calibration.found else "undecided"
    return Listing(scan_words.calibration(document), "prose", tone)


def _part(evidence: CheckEvidence) -> Part:
    blocks: list[Block] = []
    if told := " ".join(text for text in (evidence.page.summary, evidence.run.reason) if text):
        blocks.append(Text(told, "about"))
    if evidence.measurements:
        count = len(evidence.measurements)
        fold = f"{count} measurements" if count > _LONG_TABLE else ""
        blocks.append(evidence.table.shown(style="wrap", fold=fold, open=evidence.detected))
    details = scan_words.details_table(evidence.measurements)
    if details.rows:
        blocks.append(details.shown(style="wrap", fold=details.name, only=HTML))
    if cannot := evidence.page.section(CANNOT):
        blocks.append(Text((Strong(f"{CANNOT}."), " ", cannot), "cannot"))
    badge = Badge(evidence.ending, "detected" if evidence.detected else "none")
    return Part(Mono(evidence.run.check), badge, tuple(blocks), quiet=not evidence.detected)


def _data(document: ScanDocument) -> Iterator[Block]:
    data = document.data
    yield Text(
        f"{whole(data.rows)} usable rows; the models saw {whole(data.sampled)} of them, drawn uniformly."
    )
    if document.loss is not None:
        yield Text((Strong("Learnt of each row."), " ", document.loss.sentence))
        if document.loss.warnings:
            yield Listing(document.loss.warnings, "limits")
    if data.sources:
        fold = f"{len(data.sources)} sources"
        yield scan_words.sources_table(data).shown(style="wrap", fold=fold)
    if data.excluded:
        table = scan_words.excluded_table(data.excluded)
        yield table.shown(style="wrap", caption=table.name)
    if data.notes:
        yield Listing(data.notes, "limits")
    if data.unread:
        yield Text((Strong("Columns that nothing reads."), " ", _unread(data)))


def _unread(data: Data) -> str:
    names = ", ".join(map(visible, data.unread[:_MOST_NAMED]))
    more = len(data.unread) - _MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names


def _as_run(document: ScanDocument) -> Iterator[Block]:
    if document.checks:
        table = scan_words.checks_table(document.checks)
        yield table.shown(caption=table.name, fold="The checks as they were run")
    yield settings("plan", document.plan, "The planned training")
    yield settings("configuration", document.config, "The resolved configuration")


def _facts(document: ScanDocument) -> dict[str, str]:
    """What was screened, for whom, and what it cost."""
    return {
        "data": document.data.path,
        "data, SHA-256 over its rows": plain(document.data.digest),
        "student": document.student,
        "student, digest": plain(document.student_digest),
        "teacher": plain(document.teacher),
        "control": document.control,
        "transfer judged by": plain(", ".join(transfer_checks(document))),
        "seed": str(document.seed),
        "git revision": plain(document.git_revision),
        **cost_facts(document),
    }


def _brief(
    document: ScanDocument, figure: Lanes | None, evidence: tuple[CheckEvidence, ...]
) -> Iterator[Block]:
    if figure:
        yield Heading("Expected transfer under the plan, logits")
        yield brief_forest(figure)
    if len(document.subjects) > 1:
        yield Heading("Verdicts")
        table = scan_words.subjects_table(document).without("why", "seen from dose")
        yield table.shown(rows=tuple((shortened(str(row[0]), 30), *row[1:]) for row in table.rows))
    if evidence:
        yield Heading("Evidence (does not judge transfer)")
        yield Grid(tuple(map(_brief_evidence, evidence)))
    if document.moved:
        yield Heading("Open search")
        yield scan_words.moved_table(document.moved)
    yield Gap()
    yield Labels(tuple(_labels(document)), width=13)


def _brief_evidence(evidence: CheckEvidence) -> tuple[Styled, ...]:
    against = [measurement for measurement in evidence.measurements if measurement.detected]
    told = "; ".join(
        filter(None, (*dict.fromkeys(one.reason for one in against), evidence.run.reason))
    )
    more = f" ({len(against)} of {len(evidence.measurements)})" if len(against) > 1 else ""
    ending = Styled(evidence.ending + more, "detected" if evidence.detected else "about")
    return Styled(evidence.run.check), ending, Styled(visible(told, limit=160))


def _labels(document: ScanDocument) -> Iterator[tuple[str, str]]:
    if len(document.subjects) == 1:
        (result,) = document.subjects
        yield "why", result.reason or NOTHING
        yield "detectable", f"{scan_words.detectable(result)} (says nothing about transfer)"
        yield "advice", scan_words.advice(result, document)
    if seen := scan_words.seen_from(document):
        yield "power", seen
    yield "data", "; ".join(_rows(document.data))
    if document.loss is not None:
        yield "learnt", " ".join((document.loss.sentence, *document.loss.warnings))
    if document.subjects:
        rates = scan_words.error_rates(document).items()
        yield "error rates", "; ".join(f"{name}: {text}" for name, text in rates)
    yield "calibration", " ".join(scan_words.calibration(document))
    first_limit = f"{scan_words.NO_ROW_VERDICTS.split('. ')[0]}."
    yield "limits", " ".join((first_limit, *document.limits))
    yield "again", document.command
    yield "", cost(document, document.seed)


def _rows(data: Data) -> Iterator[str]:
    yield f"{whole(data.rows)} usable rows, {whole(data.sampled)} seen by models"
    for one in data.excluded:
        where = f" ({plain(one.places[0].partition(': ')[0])})" if one.places else ""
        yield f"{whole(one.rows)} left out: {one.reason}{where}"
    yield from data.notes
    if data.unread:
        yield f"columns that nothing reads: {_unread(data)}"
