"""
A screen in a datatrove pipeline: every document marked by two workers, hidden text dropped with its reason, one verdict.

    python examples/screen_datatrove.py ROWS_FOLDER OUT [STUDENT]

ROWS_FOLDER holds Parquet files of chat rows (`messages`, or `prompt` and `completion`); STUDENT is the base that you
would train, e.g. world:owlet-b, and the scan of a sample takes minutes. In a clone it
needs `pip install '.[datatrove]'`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter

from undertow.integrations.datatrove_step import UndertowStep
from undertow.integrations.pipeline_verdict import PipelineVerdict, conclude, merged


def row(self: Any, record: dict[str, Any], path: str, number: int) -> dict[str, Any]:
    """A record of any shape as a document: datatrove wants a text, the step reads the columns."""
    text = record.get("text") or str(record.get("completion") or record.get("messages"))
    return {"text": text, "id": f"{path}/{number}", "metadata": record}


def main(rows: Path, out: Path, student: str | None = None, **scanned: Any) -> PipelineVerdict:
    """Mark, drop, write, judge."""
    reader = ParquetReader(str(rows), adapter=row, glob_pattern="*.parquet")
    step = UndertowStep(
        out / "parts",
        drop=["hidden", "fault"],
        exclusion_writer=ParquetWriter(str(out / "dropped")),
    )
    LocalPipelineExecutor(
        [reader, step, ParquetWriter(str(out / "kept"))],
        tasks=2,
        workers=2,
        logging_dir=str(out / "logs"),
    ).run()
    return conclude(merged(out / "parts"), out, student, **scanned)


if __name__ == "__main__":
    verdict = main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
    print(verdict.verdict, "-", verdict.conclusion, verdict.counts)
