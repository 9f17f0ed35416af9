"""
Writes README's tables from the committed results: `python -m bench.readme`; a test compares them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench import experiments
from bench.figures import BENCH, table
from bench.mitigation import table as mitigation
from bench.power import table as power
from undertow.data.writing import atomic_write

README = BENCH.parent / "README.md"
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

TABLES = {
    "power": power.table,
    "evidence": power.evidence_table,
    "mitigation": mitigation.table,
    "experiments": experiments.table,
}
"""By the name of their marks."""


def written(text: str) -> str:
    """The text with every marked table made anew."""
    for name, made in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = mark.sub(lambda found, made=made: f"{found[1]}{made()}\n{found[2]}", text)
    return MARKED.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[3]}", text)


def main() -> int:
    """Bring README up to date."""
    path = Path(README)
    atomic_write(path, written(path.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
