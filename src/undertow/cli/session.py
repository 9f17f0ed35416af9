"""What one call of the command line remembers from its options until it ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Session:
    """State shared between the verbs and `main`, which needs it when something goes wrong."""

    verbosity: int = 0
    """How often `-v` was given: 1 logs what happens, 2 logs everything and shows tracebacks."""

    resumable: bool = False
    """Whether typing the same command again goes on with the work at hand."""
