"""What every format shows, and in which order: the headline, the story and the facts of a run."""

from __future__ import annotations

from dataclasses import dataclass

from undertow.report import numbers
from undertow.report.arms import measure_of, summaries
from undertow.report.figures import DotFigure, dot_figure
from undertow.report.story import SampleColumn, Sentence, sample_columns, story
from undertow.results.run import Curves, Matrix, RunDocument

_ARMS_SIDE_BY_SIDE = 8
"""With more arms than this, a square matrix of them makes the point better."""


@dataclass(frozen=True)
class Page:
    """
    A document and what leads its page: the arms, else the first matrix, else the first curves.
    """

    document: RunDocument
    story: tuple[Sentence, ...]
    samples: tuple[SampleColumn, ...]
    figure: DotFigure | None
    lead_matrix: Matrix | None
    lead_curves: Curves | None

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The matrices below the headline."""
        return self.document.matrices[1 if self.lead_matrix else 0 :]

    @property
    def curves(self) -> tuple[Curves, ...]:
        """The curves below the headline."""
        return self.document.curves[1 if self.lead_curves else 0 :]


def page_of(document: RunDocument) -> Page:
    """The page of a document."""
    measure = measure_of(document)
    arms = summaries(document, measure) if measure else ()
    square = any(len(matrix.rows) == len(matrix.columns) for matrix in document.matrices[:1])
    by_arms = bool(arms) and (len(arms) <= _ARMS_SIDE_BY_SIDE or not square)
    by_matrix = not by_arms and bool(document.matrices)
    by_curves = not by_arms and not by_matrix and bool(document.curves)
    return Page(
        document=document,
        story=story(document),
        samples=sample_columns(document),
        figure=dot_figure(arms, measure, document.chance) if by_arms and measure else None,
        lead_matrix=document.matrices[0] if by_matrix else None,
        lead_curves=document.curves[0] if by_curves else None,
    )


def run_facts(document: RunDocument) -> dict[str, str]:
    """What identifies the run and what it cost."""
    return {
        "experiment": document.experiment,
        "seed": str(document.seed),
        "configuration, SHA-256": document.config_digest,
        "git revision": numbers.plain(document.git_revision),
        "wall time": numbers.duration(document.wall_seconds),
        "peak memory": numbers.memory(document.peak_memory_mb),
    }
