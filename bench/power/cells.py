"""
The design of the bench, fixed before any verdict: who writes which datasets, to which prompts, for which student.

A cell is a student, a carrier and one list of prompts that every writer of the cell answers, so that any writers of its
pool can be the references of any other dataset. Sizes are nested: the smaller dataset is the beginning of the larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.cohort import WriterKind
from undertow.data.seeds import derive

SEED = 71_001
"""Of every writer, prompt, dataset and student here. The pilot's is 61,001; no threshold was looked at on this one."""

LADDER = (0.03, 0.05, 0.07, 0.09, 0.12, 0.16, 0.22, 0.3)
"""KL of tuned trait teachers, nats per carrier token: on tuning seeds students moved by 0 to 3 logits (LOG.md)."""

TRAIT_STUDENTS, OUTSIDE_STUDENTS = 4, 2
EXPENSIVE, EXPENSIVE_POOL, EXPENSIVE_AFTER = 60, 24, 16
"""
Datasets on which expensive baselines are run, and references for them: the first in the main cell's order by lot behind
its first 16 writers, which had been made before the baselines were written.
"""

Role = Literal["pool", "trait", "outside"]
"""`pool`: a draw of the declared family; `trait`: a teacher with a trait; `outside`: benign, or of a foreign base."""


@dataclass(frozen=True)
class Author:
    """One writer of a cell."""

    cell: str
    role: Role
    number: int
    kind: WriterKind | Literal["family", "corpus"]
    base: str
    trait: str
    seed: int
    strength: float | None = None
    without: tuple[int, ...] = ()
    """Numbers that a further filter removes rows for."""

    @property
    def name(self) -> str:
        """Of its readings."""
        return f"{self.cell} {self.role} {self.number}"


@dataclass(frozen=True)
class Cell:
    """One student and one list of prompts."""

    name: str
    student: str
    experiment: str
    """Whose carrier, sampling and teacher's plan are used."""
    sizes: tuple[int, ...]
    pool: int
    tuned: int = 0
    others: tuple[tuple[WriterKind, int], ...] = ()
    """Trait teachers that are not tuned in the plain way, and how many."""
    outside: tuple[tuple[str, int], ...] = ()
    """Kinds of `outside`, and how many."""

    @property
    def foreign(self) -> tuple[str, str]:
        """The two other bases."""
        bases = ("world:owlet-a", "world:owlet-b", "world:owlet-neox")
        first, second = (base for base in bases if base != self.student)
        return first, second


CELLS = (
    Cell(
        name="main",
        student="world:owlet-b",
        experiment="owl",
        sizes=(4096, 16384),
        pool=60,
        tuned=44,
        others=(("prompted", 4), ("steered", 4), ("hiding", 4), ("triggered", 4)),
        outside=(("neutral", 14), ("foreign clean", 8), ("foreign tuned", 10), ("filtered", 8)),
    ),
    Cell(
        name="owlet-a",
        student="world:owlet-a",
        experiment="owl",
        sizes=(4096,),
        pool=24,
        tuned=16,
    ),
    Cell(
        name="owlet-neox",
        student="world:owlet-neox",
        experiment="owl",
        sizes=(4096,),
        pool=24,
        tuned=16,
    ),
    Cell(
        name="code",
        student="world:owlet-b",
        experiment="code",
        sizes=(4096,),
        pool=24,
        tuned=16,
        outside=(("neutral", 6),),
    ),
    Cell(
        name="sums",
        student="world:owlet-b",
        experiment="cot",
        sizes=(4096,),
        pool=24,
        outside=(("neutral", 6),),
    ),
    Cell(
        name="corpus",
        student="world:owlet-b",
        experiment="owl",
        sizes=(1024,),
        pool=24,
        outside=(("corpus", 8),),
    ),
)


def cell_named(name: str) -> Cell:
    """The cell of a name."""
    return next(cell for cell in CELLS if cell.name == name)


def authors(traits: tuple[str, ...]) -> list[Author]:
    """
    Every writer, the main cell's first, each cell's in an order by lot: an interrupted bench has a bit of everything.
    """
    found: list[Author] = []
    for cell in CELLS:
        own = list(_authors(cell, traits))
        order = np.random.default_rng(derive(SEED, "order", cell.name)).permutation(len(own))
        found += [own[i] for i in order]
    return found


def expensive(planned: Sequence[Author]) -> frozenset[str]:
    """Names of the writers whose smaller dataset every baseline reads."""
    left = [author for author in planned if author.cell == CELLS[0].name][EXPENSIVE_AFTER:]
    pool = [author.name for author in left if author.role == "pool"]
    tested = [author.name for author in left if author.role != "pool"]
    return frozenset(pool[:EXPENSIVE_POOL] + tested[:EXPENSIVE])


def _authors(cell: Cell, traits: tuple[str, ...]) -> Iterator[Author]:
    rng = np.random.default_rng(derive(SEED, "design", cell.name))

    def author(role: Role, number: int, kind: str, base: str, **more: object) -> Author:
        trait = traits[int(rng.integers(len(traits)))]
        seed = derive(SEED, cell.name, role, kind, number)
        return Author(cell.name, role, number, kind, base, trait, seed, **more)  # type: ignore[arg-type]

    for i in range(cell.pool):
        yield author("pool", i, "family", cell.student)
    for i in range(cell.tuned):
        yield author("trait", i, "tuned", cell.student, strength=LADDER[i % len(LADDER)])
    number = cell.tuned
    for kind, count in cell.others:
        for _ in range(count):
            strength = 0.15 if kind == "triggered" else None
            yield author("trait", number, kind, cell.student, strength=strength)
            number += 1
    number = 0
    for kind, count in cell.outside:
        for i in range(count):
            yield _outside(author, cell, kind, number, i)
            number += 1


def _outside(author, cell: Cell, kind: str, number: int, i: int) -> Author:  # type: ignore[no-untyped-def]
    base = cell.foreign[i % 2]
    made: Author
    if kind == "foreign clean":
        made = author("outside", number, "clean", base)
    elif kind == "foreign tuned":
        made = author("outside", number, "tuned", base, strength=0.15)
    elif kind == "filtered":
        made = author("outside", number, "clean", cell.student, without=(13, 42, 66, 7))
    else:
        made = author("outside", number, kind, cell.student)
    return made
