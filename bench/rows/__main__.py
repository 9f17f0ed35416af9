"""
What is read is what is trained: `python -m bench.rows [adapters] [reading]` writes bench/rows/results.json.

Without a word all parts are measured. A part is a file beside this one with a function `figures`, and a line in `PARTS`;
the name of each of its figures begins with the part's name and a colon.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.figures import Figure, measured, tell, write
from bench.rows import adapters, columns, given_templates, reading, sequences, turns

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "sequences": sequences.figures,
    "templates": given_templates.figures,
    "columns": columns.figures,
    "adapters": adapters.figures,
    "reading": reading.figures,
    "turns": turns.figures,
}


def main(parts: list[str]) -> int:
    """Measure the named parts, or all, and write every figure."""
    figures, seconds = measured(parts, PARTS)
    tell(figures, write("rows", figures, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
