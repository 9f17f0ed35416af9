"""What every format shows of a screen, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from undertow.report.check_page import CANNOT, CheckPage, pages_of
from undertow.report.scan_forest import Forest, forest
from undertow.report.scan_tables import details_table, evidence_table
from undertow.report.table import Table
from undertow.results.measurement import Measurement
from undertow.results.scan import CheckRun, ScanDocument

FILTERS = "content"
"""The check that holds what ordinary filters see; it is shown apart from the others."""


@dataclass(frozen=True)
class Evidence:
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
        """In a word or two: whether it found anything, or why it did not look."""
        if self.run.status != "done":
            return self.run.status.replace("_", " ")
        return "detected" if self.detected else "nothing detected"

    @property
    def cannot(self) -> str:
        """What it cannot tell, from its page; empty where the check is not installed here."""
        return self.page.section(CANNOT)

    @property
    def table(self) -> Table:
        """Its measurements, those that speak against the null first."""
        return evidence_table(sorted(self.measurements, key=lambda one: not one.detected))

    @property
    def details(self) -> Table:
        """Its further numbers."""
        return details_table(self.measurements)


@dataclass(frozen=True)
class ScanPage:
    """A document, its figure, and its evidence."""

    document: ScanDocument
    forest: Forest | None
    evidence: tuple[Evidence, ...]
    """All but the content filters, in the order in which the checks were run."""
    filters: tuple[Evidence, ...]


def scan_page(document: ScanDocument) -> ScanPage:
    """The page of a screen."""
    runs = [run for run in document.checks if run.kind == "evidence"]
    pages = pages_of(tuple(run.check for run in runs))
    found = [
        Evidence(
            run,
            pages[run.check],
            tuple(one for one in document.measurements if one.check == run.check),
        )
        for run in runs
    ]
    return ScanPage(
        document=document,
        forest=forest(document),
        evidence=tuple(one for one in found if one.run.check != FILTERS),
        filters=tuple(one for one in found if one.run.check == FILTERS),
    )
