"""
A screen as an operator of data-juicer: marks among each sample's statistics, samples with hidden text dropped, one verdict.

    python examples/screen_data_juicer.py ROWS.jsonl OUT [STUDENT]

STUDENT is the base that you would train, e.g. world:owlet-b, and the scan of a sample takes minutes. In a recipe the
operator is `undertow_filter`, and this file's neighbour is named by
`custom_operator_paths: [.../undertow/integrations/data_juicer_operator.py]`. Needs undertow, by its wheel
or in a clone by `pip install .`, and `pip install py-data-juicer`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from data_juicer.core.data import NestedDataset
from data_juicer.utils.constant import Fields
from datasets import load_dataset

from undertow.integrations.data_juicer_operator import UndertowFilter
from undertow.integrations.datasets_map import tally_of
from undertow.integrations.pipeline_verdict import PipelineVerdict, conclude


def main(rows: Path, out: Path, student: str | None = None, **scanned: Any) -> PipelineVerdict:
    """Mark, judge, drop, write."""
    dataset = NestedDataset(load_dataset("json", data_files=str(rows), split="train"))
    operator = UndertowFilter(drop=["hidden", "fault"], text_key=dataset.column_names[-1])
    marked = operator.run(dataset, reduce=False)
    verdict = conclude(tally_of(marked, within=Fields.stats), out, student, **scanned)
    marked.filter(operator.process, batched=True).to_parquet(str(out / "kept.parquet"))
    return verdict


if __name__ == "__main__":
    verdict = main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
    print(verdict.verdict, "-", verdict.conclusion, verdict.counts)
