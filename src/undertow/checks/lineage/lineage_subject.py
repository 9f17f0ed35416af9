"""The subject of a lineage: two models, what else is known of them, and the neutral texts that both are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.data.seeds import generator
from undertow.models.hardware import AUTO, ComputeTable
from undertow.traits import catalogue
from undertow.traits.catalogue import all_probes

if TYPE_CHECKING:
    from undertow.engines.endpoint import Endpoint
    from undertow.models.checkpoint import Checkpoint
    from undertow.models.language_model import LanguageModel


@dataclass(frozen=True)
class LineageSubject:
    """What a lineage check is asked about: does `student` share its initialisation with `teacher`?"""

    name: str
    """The teacher's reference, which is the subject of the measurements."""
    student: Side
    teacher: Side
    controls: tuple[Side, ...] = ()
    """Models that are known to be unrelated to both."""
    seed: int = 0
    level: float = 0.999
    """Of the tests: 1 - level is the chance that an unrelated pair is taken for a related one."""


@dataclass(frozen=True)
class Side:
    """One of the two models. Nothing is read before a check asks for it."""

    ref: str
    """What the user called it."""
    path: str | None
    """Its folder, or `base+adapter`; None for a model that is asked over HTTP only."""
    endpoint: Endpoint | None = None
    compute: ComputeTable = AUTO
    """Where and in which precision it runs if it is loaded whole."""

    @property
    def folder(self) -> Path | None:
        """Where its files lie, without the adapters."""
        return self.folders[0] if self.path else None

    @property
    def folders(self) -> list[Path]:
        """Its base's folder, then those of the adapters on it; none for a model that is asked over HTTP only."""
        from undertow.models.gguf_model import folders_of

        return [Path(part) for part in folders_of(self.path, self.ref)] if self.path else []

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Its weights, to be read tensor by tensor."""
        from undertow.models.checkpoint import open_checkpoint

        assert self.path is not None
        return open_checkpoint(self.path, self.ref)

    @cached_property
    def model(self) -> LanguageModel:
        """It, loaded whole."""
        from undertow.worlds.base_models import open_model

        assert self.path is not None
        return open_model(self.ref, compute=self.compute)


MOST = 512


def neutral_texts(seed: int, most: int = MOST) -> list[str]:
    """Up to so many questions, each cut at a word drawn at random so that models must go on with it; in random order."""
    traits = (*map(catalogue.load, catalogue.names()), *all_probes())
    questions = sorted({q for t in traits for q in (*t.train_questions, *t.held_out_questions)})
    rng = generator(seed, "neutral texts")
    texts: dict[str, None] = {}
    for place in rng.permutation(len(questions)):
        words = questions[place].split()
        if len(words) > 2:
            texts[" ".join(words[: int(rng.integers(2, len(words)))])] = None
    return list(texts)[:most]
