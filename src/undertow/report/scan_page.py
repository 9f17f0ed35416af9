"""The page of a screen: what training on the rows would do, how that was judged, and what speaks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from undertow.data.file_sample import Data
from undertow.report import scan_tables, scan_words
from undertow.report.figure import Lanes
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Block,
    Gap,
    Heading,
    Labels,
    Lead,
    Listing,
    Mono,
    Name,
    Page,
    Records,
    Remark,
    Section,
    Strong,
    Terms,
    Text,
    verdict_badge,
)
from undertow.report.plain_text import (
    NOTHING,
    capital,
    in_words,
    plain,
    shortened,
    visible,
    whole,
)
from undertow.report.probe_words import probes_label, probes_section
from undertow.report.scan_calibration import calibration_grounds
from undertow.report.scan_evidence import (
    LONG_TABLE,
    CheckEvidence,
    brief_evidence,
    evidence_of,
    evidence_sections,
)
from undertow.report.scan_findings import scan_findings
from undertow.report.scan_forest import (
    brief_forest,
    forest,
    in_order,
    subject_name,
    transfer_checks,
)
from undertow.report.scan_references import reference_grounds
from undertow.report.scan_words import Grounds
from undertow.report.sections import (
    cost,
    cost_facts,
    limits_section,
    reproduction,
    settings,
    words_section,
)
from undertow.results.scan_document import AnyScan, AnySubjectResult, ScanDocument

_MOST_NAMED = 300
"""Columns that a page names; the document has more."""

_NOT_BRIEF = ("why", "seen from dose", "judged by")
"""Columns of the verdicts that a terminal has no room for."""

_OPEN = (
    "What rows say openly can move any student that learns it, and needs no hidden signal. Where some rows say it, scan the "
    "others alone: what still moves is not in these words."
)


@dataclass(frozen=True)
class _Parts:
    """What several parts of the page show of one document."""

    document: AnyScan
    grounds: Grounds
    figure: Lanes | None
    evidence: tuple[CheckEvidence, ...]


def grounds_of(document: AnyScan) -> Grounds:
    """What a screen's verdicts rest on, whichever its version."""
    if isinstance(document, ScanDocument):
        return reference_grounds(document)
    return calibration_grounds(document)


def scan_page(document: AnyScan) -> Page:
    """The page of a screen, of either version: what differs is on what its verdicts rest."""
    verdict = in_words(document.verdict)
    grounds = grounds_of(document)
    numbers = scan_tables.transfers_table(document, grounds).shown(
        fold="The numbers of this figure"
    )
    parts = _Parts(document, grounds, forest(document, numbers), evidence_of(document))
    return Page(
        document=document,
        id="scan",
        verb="scan",
        subject=Name(document.data.path),
        window=f"{verdict}: {document.data.path}",
        title=("What would training on these rows do to ", Name(document.student), "?"),
        badge=verdict_badge(document.verdict),
        conclusion=scan_words.conclusion(document),
        point=scan_words.scan_point(document),
        lead=Lead(figure=parts.figure, wide=True),
        sections=tuple(_sections(parts)),
        brief=tuple(_brief(parts)),
        spare=1,
        findings=scan_findings(document, grounds),
    )


def _sections(parts: _Parts) -> Iterator[Block]:
    document, grounds = parts.document, parts.grounds
    data, student = Mono(document.data.path), Mono(document.student)
    yield Text(("Rows: ", data, ", student: ", student, "."), only=MARKDOWN)
    if document.subjects:
        warning = scan_words.DETECTABLE_IS_NOT_DANGEROUS
        verdicts = tuple(_verdicts(document, grounds))
        yield Section("verdicts", "Verdicts", verdicts, titled=HTML, about=warning)
    if parts.figure:
        numbers = scan_tables.transfers_table(document, grounds)
        yield Section("transfer", parts.figure.caption, (numbers,), only=MARKDOWN)
    yield from grounds.sections
    if isinstance(document, ScanDocument):
        yield from probes_section(document.probes)
    yield from evidence_sections(document, parts.evidence)
    moved = (scan_tables.moved_table(document.moved).shown(style="wrap"),) if document.moved else ()
    searched = Text(scan_words.search(document), "about")
    yield Section("open", "Open search", (searched, *moved), nav="Open search")
    yield Section("data", "Data", tuple(_data(document)), nav="Data", prose=True)
    yield limits_section((scan_words.NO_ROW_VERDICTS, *document.limits))
    yield reproduction(
        document, "Scan", _facts(document), inputs=document.inputs, more=tuple(_as_run(document))
    )
    yield words_section({**scan_words.SCAN_GLOSSARY, **grounds.glossary})


def _verdicts(document: AnyScan, grounds: Grounds) -> Iterator[Block]:
    quantity = f"{capital(grounds.quantity)}, logits"
    yield Records(
        columns=("Rows of", "Verdict", quantity, "Detectable", "Rows", "Advice"),
        rows=tuple(
            (
                Name(subject_name(result.subject)),
                verdict_badge(result.verdict),
                (Strong(scan_words.transfer(result)), *_remarks(result)),
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
    yield scan_tables.subjects_table(document, grounds).shown(only=MARKDOWN)
    yield Terms(tuple((verdict_badge(name), told) for name, told in grounds.meanings.items()))
    yield Text(scan_words.DETECTABLE_IS_NOT_DANGEROUS, only=MARKDOWN)
    for sentence in grounds.beside:
        yield Text(sentence, "about")
    openly = scan_tables.openly_table(document)
    if openly.rows:
        fold = openly.name if len(openly.rows) > LONG_TABLE else ""
        yield openly.shown(style="wrap", caption=openly.name, fold=fold)
        yield Text(_OPEN, "about")


def _remarks(result: AnySubjectResult) -> Iterator[Remark]:
    told = (scan_tables.judged_by(result), result.reason, result.openly and result.openly.sentence)
    yield from (Remark(text) for text in told if text and text != NOTHING)


def _data(document: AnyScan) -> Iterator[Block]:
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
        yield scan_tables.sources_table(data).shown(style="wrap", fold=fold)
    if data.excluded:
        table = scan_tables.excluded_table(data.excluded)
        yield table.shown(style="wrap", caption=table.name)
    if data.notes:
        yield Listing(data.notes, "limits")
    if data.unread:
        yield Text((Strong("Columns that nothing reads."), " ", _unread(data)))


def _unread(data: Data) -> str:
    names = ", ".join(map(visible, data.unread[:_MOST_NAMED]))
    more = len(data.unread) - _MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names


def _as_run(document: AnyScan) -> Iterator[Block]:
    if document.checks:
        table = scan_tables.checks_table(document.checks)
        yield table.shown(caption=table.name, fold="The checks as they were run")
    yield settings("plan", document.plan, "The planned training")
    yield settings("configuration", document.config, "The resolved configuration")


def _facts(document: AnyScan) -> dict[str, str]:
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


def _brief(parts: _Parts) -> Iterator[Block]:
    document = parts.document
    if parts.figure:
        yield Heading(f"{parts.figure.caption}, logits")
        yield brief_forest(parts.figure)
    if len(document.subjects) > 1:
        yield Heading("Verdicts")
        table = scan_tables.subjects_table(document, parts.grounds).without(*_NOT_BRIEF)
        yield table.shown(rows=tuple((shortened(str(row[0]), 30), *row[1:]) for row in table.rows))
    yield from parts.grounds.brief
    if parts.evidence:
        yield Heading("Evidence (does not judge transfer)")
        yield brief_evidence(parts.evidence)
    if document.moved:
        yield Heading("Open search")
        yield scan_tables.moved_table(document.moved)
    yield Gap()
    labels = tuple(_labels(document, parts.grounds))
    yield Labels(labels, width=max(13, *(len(label) + 1 for label, _ in labels)))


def _labels(document: AnyScan, grounds: Grounds) -> Iterator[tuple[str, str]]:
    if len(document.subjects) == 1:
        (result,) = document.subjects
        yield "why", result.reason or NOTHING
        yield "detectable", f"{scan_words.detectable(result)} (says nothing about transfer)"
        if (advice := scan_words.advice(result, document)) != NOTHING:
            yield "advice", advice
    yield from grounds.labels
    if isinstance(document, ScanDocument):
        yield from probes_label(document.probes)
    yield "data", "; ".join(_rows(document.data))
    if document.loss is not None:
        yield "learnt", " ".join((document.loss.sentence, *document.loss.warnings))
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
