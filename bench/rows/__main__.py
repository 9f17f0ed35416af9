"""
What is read is what is trained: `python -m bench.rows [adapters] [reading]` writes bench/rows/results.json.

Without a word all parts are measured. A part is a file beside this one with a function `figures`, and a line in `PARTS`;
the name of each of its figures begins with the part's name and a colon.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.figures import Figure, measured, write
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
    path = write("rows", figures, seconds)
    for figure in figures:
        value = "-" if figure.value is None else f"{figure.value:.4g}"
        print(f"{figure.name}: {value} {figure.unit} (asked: {figure.target or '-'}) {figure.note}")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
