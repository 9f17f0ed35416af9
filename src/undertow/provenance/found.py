"""
What a walk knows of a dataset or a model, put together so that ignorance never looks like innocence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from undertow.provenance.generating import GeneratingModel


@dataclass(frozen=True)
class ModelOrigin:
    """A model at the end of its own chain."""

    inits: frozenset[str] = frozenset()
    """Checkpoints that it goes back to."""
    families: frozenset[str] = frozenset()
    known: bool = False
    """Whether these are all of them."""
    complete: bool = False
    """Whether every step and every dataset behind it is attested."""
    writers: tuple[RowWriter, ...] = ()
    """Models that wrote what it was trained on."""

    def joined(self, other: ModelOrigin) -> ModelOrigin:
        """What holds of a model made of both."""
        return ModelOrigin(
            self.inits | other.inits,
            self.families | other.families,
            self.known and other.known,
            self.complete and other.complete,
            (*self.writers, *other.writers),
        )


@dataclass(frozen=True)
class RowWriter:
    """A model that wrote rows, or judged them."""

    model: GeneratingModel
    found: ModelOrigin
    role: Literal["teacher", "filter", "upstream"]

    def upstream(self) -> RowWriter:
        """The same, one model further away."""
        return replace(self, role="upstream")


@dataclass(frozen=True)
class DataOrigin:
    """A dataset at the end of its own chain."""

    complete: bool = False
    """Whether every step up to the writers is attested."""
    whole: bool = False
    """Whether the writers' own chains are complete as well."""
    rows: int | None = None
    row_set: str | None = None
    written: float = 1.0
    """Largest share of model-written rows."""
    written_known: bool = False
    domains: frozenset[str] = frozenset()
    writers: tuple[RowWriter, ...] = ()
    named_all: bool = False
    """Whether the signers claim to have named all models."""
    producers: frozenset[str] = frozenset()
    organisations: frozenset[str] = frozenset()
    interventions: frozenset[str] = frozenset()
    proved: bool = True
    """Whether each filter's ledger was checked."""
    times: tuple[datetime, ...] = field(default=())

    def joined(self, other: DataOrigin) -> DataOrigin:
        """What holds where two statements speak of one dataset: the worse of both."""
        return replace(
            together((self, other)),
            rows=self.rows if self.rows == other.rows else None,
            row_set=self.row_set if self.row_set == other.row_set else None,
            written=max(self.written, other.written),
        )


def together(parts: Iterable[DataOrigin]) -> DataOrigin:
    """What holds of rows taken from all the parts; rows and shares are left to the caller."""
    found = tuple(parts)
    return DataOrigin(
        complete=bool(found) and all(part.complete for part in found),
        whole=bool(found) and all(part.whole for part in found),
        written_known=bool(found) and all(part.written_known for part in found),
        domains=frozenset().union(*(part.domains for part in found)),
        writers=tuple(writer for part in found for writer in part.writers),
        named_all=bool(found) and all(part.named_all for part in found),
        producers=frozenset().union(*(part.producers for part in found)),
        organisations=frozenset().union(*(part.organisations for part in found)),
        interventions=frozenset().union(*(part.interventions for part in found)),
        proved=all(part.proved for part in found),
        times=tuple(time for part in found for time in part.times),
    )
