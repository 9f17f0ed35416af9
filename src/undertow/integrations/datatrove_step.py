"""The screen as a step of a datatrove pipeline: marks in each document's metadata, a part for the verdict from each task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters.base_filter import BaseFilter

from undertow.data.row_shapes import fitting_shapes
from undertow.integrations.pipeline_verdict import SAMPLE, Tally, folder_here
from undertow.integrations.row_screen import RowScreen, drops, reasons


class UndertowStep(BaseFilter):  # type: ignore[misc]
    """
    Marks documents, and leaves in the folder `parts` what each task saw: `conclude(merged(parts), ...)` is the verdict.

    A document is its metadata where that has the columns of a row (`messages`, `prompt` and `completion`, ...), else its
    text. `drop` names what documents are dropped for, of `hidden`, `openly` and `fault`: for nothing by default.
    """

    name = "🌊 undertow"

    def __init__(
        self,
        parts: str | Path,
        screen: RowScreen | None = None,
        *,
        drop: Sequence[str] = (),
        exclusion_writer: Any = None,
        batch_size: int = 1024,
        sample: int = SAMPLE,
        seed: int = 0,
    ) -> None:
        super().__init__(exclusion_writer, batch_size)
        self.parts, self.screen, self.drop = folder_here(parts), screen or RowScreen(), drops(drop)
        self.tally = Tally(seed, sample)

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Mark what a task reads; its part is written when it has read everything."""
        self.tally = Tally(self.tally.seed, self.tally.size)
        yield from super().run(data, rank, world_size)
        self.tally.write(self.parts / f"{rank:05d}.part.jsonl", world_size)

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """Whether one document is kept, else why not."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """The same of several."""
        records = [d.metadata if fitting_shapes(d.metadata) else {"text": d.text} for d in batch]
        marks = self.screen(records)
        self.tally.take(records, marks, [document.id for document in batch])
        for document, marked in zip(batch, marks, strict=True):
            document.metadata.update(marked)
        why = [reasons(marked, self.drop) for marked in marks]
        return [(False, reason) if reason else True for reason in why]
