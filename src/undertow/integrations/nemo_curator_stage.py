"""The screen as a stage of a NeMo Curator pipeline: marks as columns of each batch of documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import DocumentBatch

from undertow.integrations.row_screen import (
    FAULT,
    HIDDEN,
    ID,
    LOG_LIKELIHOOD,
    OPENLY,
    TOKENS,
    RowScreen,
    drops,
    reasons,
)


@dataclass
class UndertowStage(ProcessingStage[DocumentBatch, DocumentBatch]):  # type: ignore[misc]
    """
    Adds the marks of each row as columns; one batch gives one batch, so that a pipeline can be resumed.

    `drop` names what rows are left out for, of `hidden`, `openly` and `fault`: for nothing by default. With a `student`
    in its screen give it a GPU: `.with_(resources=Resources(gpus=1))`. What it wrote is judged at the end by
    `conclude(tally_of(rows), ...)`.
    """

    screen: RowScreen = field(default_factory=RowScreen)
    drop: tuple[str, ...] = ()
    name: str = "undertow"
    resources: Resources = field(default_factory=lambda: Resources(cpus=1.0))

    def __post_init__(self) -> None:
        """Refuse a mark that there is not, before the pipeline begins."""
        drops(self.drop)

    def inputs(self) -> tuple[list[str], list[str]]:
        """The columns of a row may be any of those in docs/scan.md."""
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        """The marks."""
        scored = [TOKENS, LOG_LIKELIHOOD] if self.screen.student else []
        return ["data"], [ID, HIDDEN, OPENLY, FAULT, *scored]

    def process(self, task: DocumentBatch) -> DocumentBatch:
        """One batch, marked."""
        frame: Any = task.to_pandas()
        drop = drops(self.drop)
        marks = self.screen(task.to_pyarrow().to_pylist())
        for name in marks[0] if marks else ():
            frame[name] = [marked[name] for marked in marks]
        kept = frame[[not reasons(marked, drop) for marked in marks]] if marks else frame
        return DocumentBatch(
            dataset_name=task.dataset_name,
            data=kept,
            _metadata=task._metadata,
            _stage_perf=task._stage_perf,
        )
