"""
What the prompt files of all carriers share: things by name, and the error for a name that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from undertow.errors import UnknownNameError

T = TypeVar("T")


def look_up(kind: str, name: str, known: Mapping[str, T], carrier: str) -> T:
    """
    What has the name.

    Raises:
        UnknownNameError: if nothing has; it lists the names that there are.
    """
    if name not in known:
        raise UnknownNameError(kind, name, known, where=f"carrier '{carrier}'")
    return known[name]
