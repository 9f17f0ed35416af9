"""
A screen by `datasets.map`: columns beside each row, rows with hidden text left out, one verdict.

    python examples/screen_datasets.py ROWS.jsonl OUT [STUDENT]

STUDENT is the base that you would train, e.g. world:owlet-b, and the scan of a sample takes minutes.
In a clone it needs `pip install '.[data]'`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset

from undertow.integrations.datasets_map import MapScreen, tally_of
from undertow.integrations.pipeline_verdict import PipelineVerdict, conclude


def main(rows: Path, out: Path, student: str | None = None, **scanned: Any) -> PipelineVerdict:
    """Mark, judge, and keep what holds nothing hidden."""
    dataset: Dataset = load_dataset("json", data_files=str(rows), split="train")
    marked = dataset.map(MapScreen(), batched=True)
    verdict = conclude(tally_of(marked), out, student, **scanned)
    marked.filter(lambda row: not row["undertow_hidden"]).to_parquet(out / "kept.parquet")
    return verdict


if __name__ == "__main__":
    verdict = main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
    print(verdict.verdict, "-", verdict.conclusion, verdict.counts)
