"""How long-running work reports how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener for stages of counted work; all methods are called from one thread."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of `total` units of work; it ends the stage before it."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """
        Report `n` more finished units of the current stage, with a remark on what is going on.
        """

    def finish(self) -> None:
        """End the last stage; harmless when called again or before any stage."""


class SilentProgress:
    """A listener that says nothing, for libraries and tests."""

    def stage(self, name: str, total: int) -> None:
        """Ignore the stage."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Ignore the step."""

    def finish(self) -> None:
        """Ignore the end."""
