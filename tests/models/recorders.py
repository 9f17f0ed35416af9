"""Recorders that stand in for an accelerator's graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@dataclass
class Rerun:
    """In the place of an accelerator's graphs: what was recorded is computed again, into the same tensors."""

    shift: float = 0.0
    """Added to what is computed, as by a device that replays something else."""
    recorded: list[Any] = field(default_factory=list)
    replays: int = 0

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """What the work gives, and a call that fills it anew."""
        made = work()
        self.recorded.append(made)
        return made, lambda: self._again(made, work)

    def _again(self, made: Any, work: Callable[[], Any]) -> None:
        self.replays += 1
        found = work()
        olds, news = (made, found) if isinstance(made, list) else ([made], [found])
        with torch.no_grad():
            for old, new in zip(olds, news, strict=True):
                if old is not None:
                    old.detach().copy_(new + self.shift)


class Refuses:
    """A device on which nothing can be recorded."""

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """Never."""
        raise RuntimeError("operation not permitted when stream is capturing\nmore")
