"""Models of the embedded world as sides of a lineage."""

from __future__ import annotations

from pathlib import Path

from undertow.checks.lineage.lineage_subject import Side
from undertow.worlds import locate

PARENT = locate("world:owlet-b")


def side(path: str | Path) -> Side:
    """A model by its folder."""
    return Side(str(path), str(path))
