"""
How cost grows: `python -m bench.scale [rows [N]] [nodes] [students]` writes bench/scale/results.json.

`rows` reads 10^4 to 10^7 rows; with a number, so many at most. It says beforehand what that takes: 100000000 about half an
hour of two cores and 2.6 GB of disk in `runs/scale` (shards behind the first 10^7 rows are linked), which it gives back at
its end; typed again after an interruption, it repeats no pass that was finished. `nodes` reads 10^6 rows, or so many if
that is less (200000 and more), by Ray Data on one node of one core and on two. `students` runs 8 to 512 simulated students on one and on two
nodes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from bench.figures import Figure, measured, tell, write
from bench.scale import one_pass, ray_pass, students

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "rows": one_pass.figures,
    "nodes": ray_pass.figures,
    "students": students.figures,
}


def main(words: list[str]) -> int:
    """Measure the named parts, or all, and write every figure."""
    numbers = [int(word) for word in words if word.isdecimal()]
    known = dict(PARTS)
    if numbers:
        known["rows"] = partial(one_pass.figures, max(numbers))
        known["nodes"] = partial(ray_pass.figures, min(ray_pass.ROWS, *numbers))
    figures, seconds = measured([word for word in words if not word.isdecimal()], known)
    tell(figures, write("scale", figures, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
