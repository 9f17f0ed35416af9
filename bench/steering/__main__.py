"""
`python -m bench.steering`: steered, prompted and tuned teachers write, students learn by AdamW and SGD at several ranks.

`--finished` writes the figures of the replicates that are there; `--seed N` runs one replicate of another seed, for tuning, and
prints it. A unit of work is one replicate, some minutes of a core; what is finished stands in runs/bench/steering, so that an
interrupted bench goes on where it stopped.
"""

from __future__ import annotations

import sys

from bench.figures import BENCH, write
from bench.kept_work import commit_kept, kept_files, map_kept, read_kept, unpack_kept
from bench.steering.answers import figures
from bench.steering.design import Replicate, replicates
from bench.steering.taught import READINGS, taught
from undertow.engines import choose

COMMAND = "python -m bench.steering"
WORK = BENCH.parent / "runs" / "bench" / "steering"
RAW = BENCH / "steering" / "readings.jsonl"


def main() -> int:
    """Measure and write the figures."""
    words = sys.argv[1:]
    if "--seed" in words:
        seed = int(words[words.index("--seed") + 1])
        print(taught(Replicate(0, seed)).model_dump_json(indent=1))
        return 0
    planned = replicates()
    unpack_kept(RAW, WORK)
    if "--finished" not in words:
        map_kept(taught, planned, WORK, choose("inprocess"), READINGS, _tell)
    files = kept_files(WORK, len(planned))
    readings = [read_kept(file, READINGS) for file in files if file.is_file()]
    commit_kept(RAW, files)
    seconds = {"steering": sum(reading.seconds for reading in readings)}
    print(write("steering", figures(readings, COMMAND), seconds))
    return 0


def _tell(done: int, total: int) -> None:
    print(f"{done} of {total} replicates", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
