"""The subject of a lineage: two models, and what else is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from undertow.models.checkpoint import Checkpoint
    from undertow.models.endpoint import Endpoint
    from undertow.models.loading import LanguageModel

Asked = Callable[[list[str]], list[str]]
"""Continues each text by a few tokens, greedily."""


@dataclass(frozen=True)
class Side:
    """One of the two models. Nothing is read before a check asks for it."""

    ref: str
    """What the user called it."""
    path: str | None
    """Its folder, or `folder+adapter`; None for a model that is asked over HTTP only."""
    endpoint: Endpoint | None = None

    @property
    def folder(self) -> Path | None:
        """Where its files lie, without the adapter."""
        return Path(self.path.partition("+")[0]) if self.path else None

    @property
    def adapter(self) -> Path | None:
        """Where its adapter lies."""
        _, _, adapter = (self.path or "").partition("+")
        return Path(adapter) if adapter else None

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Its weights, to be read tensor by tensor."""
        from undertow.models.checkpoint import open_checkpoint

        assert self.path is not None
        return open_checkpoint(self.path, self.ref)

    @cached_property
    def model(self) -> LanguageModel:
        """It, loaded whole."""
        from undertow.models import loading

        assert self.path is not None
        return loading.load(self.path, ref=self.ref)


@dataclass(frozen=True)
class Pair:
    """
    What a lineage check is asked about: does `student` share its initialisation with `teacher`?
    """

    name: str
    """The teacher's reference, which is the subject of the measurements."""
    student: Side
    teacher: Side
    controls: tuple[Side, ...] = ()
    """Models that are known to be unrelated to both."""
    seed: int = 0
    level: float = 0.999
    """Of the tests: 1 - level is the chance that an unrelated pair is taken for a related one."""
