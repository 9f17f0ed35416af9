"""
Writes README's tables from the committed results: `python -m bench.readme`; a test compares them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench import experiments
from bench.figures import BENCH, table
from bench.power.table import evidence_table
from bench.power.table import table as rates
from undertow.data.writing import atomic_write

README = BENCH.parent / "README.md"
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


EXPERIMENTS = re.compile(r"(<!-- experiments -->\n).*?(<!-- end of experiments -->)", re.DOTALL)


POWER = re.compile(r"(<!-- power -->\n).*?(<!-- end of power -->)", re.DOTALL)

EVIDENCE = re.compile(r"(<!-- evidence -->\n).*?(<!-- end of evidence -->)", re.DOTALL)


def written(text: str) -> str:
    """
    The text with every marked table made anew.
    """
    text = POWER.sub(lambda found: f"{found[1]}{rates()}\n{found[2]}", text)
    text = EVIDENCE.sub(lambda found: f"{found[1]}{evidence_table()}\n{found[2]}", text)
    text = EXPERIMENTS.sub(lambda found: f"{found[1]}{experiments.table()}\n{found[2]}", text)
    return MARKED.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[3]}", text)


def main() -> int:
    """
    Bring README up to date.
    """
    path = Path(README)
    atomic_write(path, written(path.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
