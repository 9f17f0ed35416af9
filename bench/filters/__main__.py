"""`python -m bench.filters` runs the experiment `filters` and writes results.json."""

from __future__ import annotations

import sys

from bench.figures import Figure, write
from bench.lab.__main__ import found_figure, run, timed
from undertow.results.run_document import Comparison, RunDocument

CHANCE = "chance: the interval holds 0.5"


def main() -> int:
    """Measure and write the figures."""
    document = run("filters")
    figures = [_figure(document, c) for c in document.comparisons]
    path = write(
        "filters",
        [timed(document)[0], *figures],
        {"filters": document.wall_seconds},
        revisions={"filters": document.git_revision},
    )
    print(path)
    return 0


def _figure(document: RunDocument, found: Comparison) -> Figure:
    if found.unit != "AUROC":
        return found_figure(document, found)
    within = found.low is not None and found.high is not None and found.low <= 0.5 <= found.high
    return found_figure(document, found, CHANCE, within)


if __name__ == "__main__":
    sys.exit(main())
