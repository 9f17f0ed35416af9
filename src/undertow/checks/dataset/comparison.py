"""Rows against their control: which of both are compared, whether their prompts match, and an exact test over blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.data.seeds import generator
from undertow.stats.arguments import Vector
from undertow.stats.exact_tests import sign_flip
from undertow.stats.interval import TestResult

if TYPE_CHECKING:
    from undertow.models.chat import Encoded


BLOCKS = 16
"""Disjoint blocks of rows: 2^15 sign patterns can be enumerated, and 15 degrees of freedom cost little power."""

MOST_ROWS = 2_048
"""Rows, and rows of the control, that are looked at."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class RowsAndControl:
    """The rows and the control rows that a check compares, in random order."""

    rows: tuple[Encoded, ...]
    control: tuple[Encoded, ...]
    matched: bool
    """Whether row i of both continues the same prompt."""

    @property
    def n(self) -> str:
        """What a comparison rests on, in words."""
        return sizes(len(self.rows), len(self.control), together=self.matched)


def compared(subject: ScanSubject, purpose: str, *, most: int = MOST_ROWS) -> RowsAndControl:
    """
    At most `most` rows and rows of the control, drawn uniformly; pairs where the two share their prompts row by row.

    Rows without any completion token are left out.
    """
    rng = generator(subject.seed, purpose, "rows")
    rows, control = subject.encoded, subject.encoded_control
    if matched(rows, control):
        chosen = [i for i in _drawn(rows, rng, len(rows)) if control[i].completion][:most]
        return RowsAndControl(
            tuple(rows[i] for i in chosen), tuple(control[i] for i in chosen), True
        )
    return RowsAndControl(
        tuple(rows[i] for i in _drawn(rows, rng, most)),
        tuple(control[i] for i in _drawn(control, rng, most)),
        False,
    )


def _drawn(rows: Sequence[Encoded], rng: np.random.Generator, most: int) -> list[int]:
    order = rng.permutation(len(rows))
    return [int(i) for i in order if rows[i].completion][:most]


def matched(rows: Sequence[Encoded], control: Sequence[Encoded]) -> bool:
    """Whether row i of the control continues the prompt of row i, for every row."""
    return len(rows) == len(control) and all(
        one.prompt == other.prompt for one, other in zip(rows, control, strict=True)
    )


def sizes(rows: int, control: int | None, *, together: bool) -> str:
    """What a comparison of so many rows with so many of the control rests on, in words."""
    if control is None:
        return f"{rows} rows"
    return f"{rows} pairs of rows" if together else f"{rows} rows v {control} of the control"


def too_few(pair: RowsAndControl, *, control_needed: bool = True) -> str:
    """Why there is nothing to compare; empty where there is."""
    if len(pair.rows) < BLOCKS:
        return f"{len(pair.rows)} rows are too few: at least {BLOCKS} are needed"
    if control_needed and not pair.control:
        return "there is no control to compare the rows with"
    if control_needed and len(pair.control) < BLOCKS:
        return f"{len(pair.control)} rows of control are too few: at least {BLOCKS} are needed"
    return ""


def blocks(count: int) -> list[Indices]:
    """The indices 0 to count - 1 in `BLOCKS` consecutive blocks whose sizes differ by at most 1."""
    return np.array_split(np.arange(count, dtype=np.int64), BLOCKS)


def block_ratios(numerator: Vector, denominator: Vector) -> Vector:
    """
    Sum of the numerator over sum of the denominator within each block, both of shape (rows,); shape (blocks,).
    """
    parts = blocks(len(numerator))
    return np.array([numerator[part].sum() / denominator[part].sum() for part in parts])


def block_test(rows: Vector, control: Vector, level: float) -> TestResult:
    """
    Exact two-sided sign-flip test of the blocks' mean difference, block i of the rows against block i of the control.

    Where rows and control come from one distribution, a pair's difference is as likely to have either sign, whatever its
    shape; matched prompts lie in the same pair of blocks and cancel.
    """
    return sign_flip(rows - control, level=level)


def token_names(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """
    Each token's text, quoted and escaped, with its id: parts of one character are shown alike.
    """
    return [f"token {tokenizer.decode([i])!r} (id {i})" for i in ids]
