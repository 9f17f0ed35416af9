"""What the checks of kind evidence say of a screen's rows: each in its own unit, none of it a verdict on transfer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from undertow.report import scan_tables
from undertow.report.check_page import CANNOT, CheckPage, pages_of
from undertow.report.page import (
    HTML,
    Badge,
    Block,
    Grid,
    Mono,
    Part,
    Section,
    Strong,
    Styled,
    Table,
    Text,
)
from undertow.report.plain_text import in_words, visible
from undertow.report.scan_forest import level_text
from undertow.results.measurement import Measurement
from undertow.results.scan_document import AnyScan, CheckRun

FILTERS = "content"
"""The check that holds what ordinary filters see; it is shown apart from the others."""

LONG_TABLE = 12
"""Rows from which a table is shown on demand."""


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
        return scan_tables.evidence_table(ordered)


def evidence_of(document: AnyScan) -> tuple[CheckEvidence, ...]:
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


def evidence_sections(document: AnyScan, evidence: tuple[CheckEvidence, ...]) -> Iterator[Section]:
    """The evidence, and apart from it what content filters see."""
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


def brief_evidence(evidence: tuple[CheckEvidence, ...]) -> Grid:
    """A line for each check."""
    return Grid(tuple(map(_brief_line, evidence)))


def _part(evidence: CheckEvidence) -> Part:
    blocks: list[Block] = []
    if told := " ".join(text for text in (evidence.page.summary, evidence.run.reason) if text):
        blocks.append(Text(told, "about"))
    if evidence.measurements:
        count = len(evidence.measurements)
        fold = f"{count} measurements" if count > LONG_TABLE else ""
        blocks.append(evidence.table.shown(style="wrap", fold=fold))
    details = scan_tables.details_table(evidence.measurements)
    if details.rows:
        blocks.append(details.shown(style="wrap", fold=details.name, only=HTML))
    if cannot := evidence.page.section(CANNOT):
        blocks.append(Text((Strong(f"{CANNOT}."), " ", cannot), "cannot"))
    badge = Badge(evidence.ending, "detected" if evidence.detected else "none")
    return Part(Mono(evidence.run.check), badge, tuple(blocks), quiet=not evidence.detected)


def _brief_line(evidence: CheckEvidence) -> tuple[Styled, ...]:
    against = [measurement for measurement in evidence.measurements if measurement.detected]
    told = "; ".join(
        filter(None, (*dict.fromkeys(one.reason for one in against), evidence.run.reason))
    )
    more = f" ({len(against)} of {len(evidence.measurements)})" if len(against) > 1 else ""
    ending = Styled(evidence.ending + more, "detected" if evidence.detected else "about")
    return Styled(evidence.run.check), ending, Styled(visible(told, limit=160))
