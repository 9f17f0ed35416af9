"""
`python -m bench.mitigation` tries every countermeasure on every dataset of the design, and writes results.json.

`--finished` writes the figures of what is finished so far. Units of work are kept in runs/bench/mitigation, so that an interrupted bench goes on where it stopped.
"""

from __future__ import annotations

import sys

from bench.figures import BENCH
from bench.mitigation.design import tasks
from bench.mitigation.outcome import OUTCOMES, Try
from undertow.engines.choice import choose
from undertow.engines.kept import map_kept

COMMAND = "python -m bench.mitigation"
WORK = BENCH.parent / "runs" / "bench" / "mitigation"


def main() -> int:
    """
    Measure and write the figures.
    """
    map_kept(
        Try(),
        tasks(),
        WORK,
        choose("processes"),
        OUTCOMES,
        lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
