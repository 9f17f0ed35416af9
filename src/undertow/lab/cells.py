"""
Cells: kinds of student that differ in who wrote their rows or in how they learn; and factorials, whose cells are points.

An experiment of kind `cells` names each, and whom it is compared with. One of kind `factorial` names factors of two
levels; each replicate is a block that holds a fraction of all combinations, every one with its control beside it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, model_validator

from undertow.data.closed import Closed
from undertow.errors import UnknownNameError
from undertow.results.arm_kinds import Role

CONTROL = ", control"
"""Behind the name of a point: its students of a neutral teacher's rows."""


class WriterTable(Closed):
    """One of those who wrote a cell's rows, each an equal part; whoever is described alike is the same teacher."""

    role: Role = "trait"
    """`neutral` was trained towards no answer, `base` writes as it is."""
    base: str | None = None
    """Its base; the experiment's if not given."""
    number: int = Field(default=1, ge=1)
    """Which of several that are made alike, each from a seed of its own."""
    teacher: dict[str, Any] = Field(default_factory=dict)
    """Keys of `[teacher]` that are others for it."""

    @property
    def prefix(self) -> str:
        """What sets its folders apart from those of the experiment's own teacher."""
        words = [f"{key} {value}" for key, value in self.teacher.items()]
        return " ".join([*words, *([f"number {self.number}"] if self.number > 1 else [])])


class CellTable(Closed):
    """One cell of an experiment of kind `cells`."""

    name: str = Field(pattern=r"^[^:/]+$")
    writers: tuple[WriterTable, ...] = Field(default=(WriterTable(),), min_length=1)
    student: dict[str, Any] = Field(default_factory=dict)
    """Keys of `[student]` that are others for it."""
    rows: int | None = Field(default=None, ge=8)
    """Rows of all writers together; the carrier's if not given."""
    against: tuple[str, ...] = ()
    """Cells that it is compared with; the first is its control."""
    beside: tuple[str, ...] = ()
    """
    Cells of the same writers and other learners: did it move more beside its control than they beside theirs? Told with an
    interval and without p, as one that is shown and one that is not are not therefore told apart.
    """
    question: str = ""
    """What a reader learns from it, in one line."""
    line: str = ""
    """The line of the figure that it is a point of, over its teachers' strength."""


class StatementsTable(Closed):
    """What a run that signs what it made says of its rows, and of which cells it says nothing."""

    domain: str = Field(default="", max_length=200)
    """What the rows are about, which policies name; the carrier if not given."""
    without: tuple[str, ...] = ()
    """Cells whose rows come without provenance: nobody signs for them."""


def refuse_cells(cells: Sequence[CellTable], statements: StatementsTable | None) -> None:
    """
    Raises:
        ValueError: two cells have one name, or one that is told beside another has no control.
        UnknownNameError: a cell is named that there is not.
    """
    controls: dict[str, tuple[str, ...]] = {}
    for cell in cells:
        if cell.name in controls:
            raise ValueError(f"two cells are called '{cell.name}'")
        controls[cell.name] = cell.against
    for name in statements.without if statements else ():
        if name not in controls:
            raise UnknownNameError("cell", name, list(controls), where="statements.without")
    for cell in cells:
        where = f"cell '{cell.name}'"
        for other in (*cell.against, *cell.beside):
            if other not in controls:
                raise UnknownNameError("cell", other, list(controls), where=where)
        for other in (cell.name, *cell.beside) if cell.beside else ():
            if not controls[other]:
                raise ValueError(
                    f"{where} is told beside others, and '{other}' names no control in 'against'"
                )


class LevelTable(Closed):
    """One level of a factor: what it changes."""

    label: str
    student: dict[str, Any] = Field(default_factory=dict)
    """Keys of `[student]` that are others at it."""
    times: float = Field(default=1.0, gt=0)
    """Of the learning rate, whatever other factors make of it."""
    rows: int | None = Field(default=None, ge=8)


class FactorTable(Closed):
    """A factor of two levels."""

    name: str
    low: LevelTable
    high: LevelTable
    middle: LevelTable | None = None
    """Of the centre; a factor that has none is low and high there by turns."""
    question: str = ""


class FactorialTable(Closed):
    """Factors, how a block's fraction of their combinations is chosen, and what is read of them beside their effects."""

    factors: tuple[FactorTable, ...] = Field(min_length=2, max_length=8)
    words: tuple[str, ...] = ()
    """
    Confounded with blocks, as letters (A is the first factor): in a block the product of a word's factors has one sign,
    in another the other. Words of three letters or more leave every effect, and every pair's interaction, clear of blocks.
    """
    centre: bool = True
    """Whether each block has a centre point, where a factor has a middle."""
    trades: tuple[tuple[str, str], ...] = ()
    """Pairs of factors: the first high and the second low, against the reverse."""
    across: tuple[str, ...] = ()
    """Factors whose combinations are the columns of the figure; those of the others are its rows."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        names = [factor.name for factor in self.factors]
        if len(set(names)) < len(names):
            raise ValueError(f"'factors' names something twice: {', '.join(names)}")
        for name in (*itertools.chain(*self.trades), *self.across):
            if name not in names:
                raise ValueError(f"no factor is called '{name}'; there are {', '.join(names)}")
        letters = "ABCDEFGH"[: len(names)]
        for word in self.words:
            if len(set(word)) < max(len(word), 2) or not set(word) <= set(letters):
                raise ValueError(f"'{word}' is no word of two or more of the letters {letters}")
        return self

    @property
    def blocks(self) -> int:
        """Blocks that hold every combination once."""
        return 1 << len(self.words)

    def point(self, signs: tuple[int, ...]) -> DesignPoint:
        """The combination of -1 (low), 0 (middle) and 1 (high), one a factor."""
        levels = tuple(
            {-1: factor.low, 0: factor.middle or factor.low, 1: factor.high}[sign]
            for factor, sign in zip(self.factors, signs, strict=True)
        )
        return DesignPoint(signs, levels)

    def block(self, number: int) -> tuple[DesignPoint, ...]:
        """The combinations of a block, and behind them its centre points."""
        wanted = [1 - 2 * (number >> place & 1) for place in range(len(self.words))]
        corners = [
            signs
            for signs in itertools.product((-1, 1), repeat=len(self.factors))
            if [_product(word, signs) for word in self.words] == wanted
        ]
        # By turns, and the other way round when the same block comes again.
        turn = 2 * ((number + number // self.blocks) % 2) - 1
        centre = tuple(0 if factor.middle else turn for factor in self.factors)
        return tuple(
            map(self.point, [*corners, *([centre] if self.centre and 0 in centre else [])])
        )


def _product(word: str, signs: tuple[int, ...]) -> int:
    product = 1
    for letter in word:
        product *= signs["ABCDEFGH".index(letter)]
    return product


@dataclass(frozen=True)
class DesignPoint:
    """One combination of levels."""

    signs: tuple[int, ...]
    """-1 low, 0 middle, 1 high, one a factor."""
    levels: tuple[LevelTable, ...]

    @property
    def name(self) -> str:
        """Of its arm."""
        return ", ".join(level.label for level in self.levels)

    @property
    def is_centre(self) -> bool:
        """Whether any factor is at its middle."""
        return 0 in self.signs

    @property
    def rows(self) -> int | None:
        """Rows that its students are trained on; None: the carrier's."""
        return next((level.rows for level in self.levels if level.rows), None)

    def student(self, learning_rate: float) -> dict[str, Any]:
        """Keys of the plan that it changes, whose own rate is given."""
        changed: dict[str, Any] = {}
        for level in self.levels:
            changed |= level.student
        rate = float(changed.get("learning_rate", learning_rate))
        for level in self.levels:
            rate *= level.times
        return changed | {"learning_rate": rate}


def written(changes: dict[str, Any]) -> str:
    """Changes as a job carries them: a job is hashed, and a table of changes cannot be."""
    return json.dumps(changes, sort_keys=True) if changes else ""
