"""Plain columns for lists: aligned for people, one entry a line for pipes."""

from __future__ import annotations

from collections.abc import Sequence

from undertow.cli.printable import one_line


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """
    The rows with every column but the last padded to its widest cell.

    >>> print(aligned([("owl", "animal"), ("penguin", "animal")]))
    owl      animal
    penguin  animal
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
