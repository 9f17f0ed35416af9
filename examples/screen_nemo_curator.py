"""
A screen as a stage of NeMo Curator: columns beside each row of every batch, one verdict on what was written.

    python examples/screen_nemo_curator.py ROWS_FOLDER OUT [STUDENT]

ROWS_FOLDER holds JSON Lines; STUDENT is the base that you would train, e.g. world:owlet-b, and the scan of a sample takes
minutes. Needs undertow, by its wheel or in a clone by `pip install .`, and `pip install nemo-curator`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.core.client import RayClient
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.text.io.reader import JsonlReader
from nemo_curator.stages.text.io.writer import ParquetWriter
from pyarrow import parquet

from undertow.integrations.datasets_map import tally_of
from undertow.integrations.nemo_curator_stage import UndertowStage
from undertow.integrations.pipeline_verdict import PipelineVerdict, conclude


def main(rows: Path, out: Path, student: str | None = None, **scanned: Any) -> PipelineVerdict:
    """Mark, write, judge."""
    out.mkdir(parents=True, exist_ok=True)
    # What Ray leaves running for a while would hold this process's output open, and whoever reads it would wait.
    log = out / "ray.log"
    log.unlink(missing_ok=True)
    client = RayClient(ray_stdouterr_capture_file=str(log))
    client.start()
    try:
        pipeline = Pipeline(name="undertow")
        pipeline.add_stage(JsonlReader(file_paths=str(rows)))
        pipeline.add_stage(UndertowStage())
        pipeline.add_stage(ParquetWriter(path=str(out / "marked")))
        pipeline.run(RayDataExecutor())
    finally:
        client.stop()
    written = sorted((out / "marked").glob("*.parquet"))
    marked = (row for path in written for row in parquet.read_table(path).to_pylist())
    return conclude(tally_of(marked), out, student, **scanned)


if __name__ == "__main__":
    verdict = main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
    print(verdict.verdict, "-", verdict.conclusion, verdict.counts)
