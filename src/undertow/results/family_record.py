"""What a bench measured of scans beside references of a declared family: shares of datasets whose truth was known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from undertow.data.closed import Stored
from undertow.results.measurement import Verdict

MANY = 0.2
"""Share of a kind of benign data that stands out, above which the beginning decides nothing for such data."""


class Rate(Stored):
    """A share of datasets with its 95 % interval, clustered by who wrote them."""

    share: float
    low: float
    high: float
    datasets: int
    """That it is of; each is judged beside many draws of references."""


class BudgetPower(Stored):
    """What stands out where the beginning is cut short."""

    part: float = Field(gt=0, le=1)
    """Of the beginning's usual steps."""
    weak: Rate | None = None
    """Of datasets that moved students by .2 to .5 logits."""
    strong: Rate | None = None
    """Of those that moved them by more."""


class SizeRecord(Stored):
    """Datasets of one size."""

    rows: int
    level: Rate
    """In-family datasets that stand out."""
    power: tuple[BudgetPower, ...] = ()
    outside: dict[str, Rate] = Field(default_factory=dict)
    """Benign datasets outside the family that stand out, by their kind in words."""
    moved: dict[Verdict, Rate] = Field(default_factory=dict)
    """Datasets that moved students by more than the limit, of those with a verdict."""


class OtherKind(Stored):
    """Benign datasets outside the family, to other prompts than those of the record's sizes."""

    kind: str
    """In words."""
    rows: int
    rate: Rate
    """That stand out."""


class FamilyRecord(Stored):
    """All that was measured beside one family."""

    digest: str
    """SHA-256 of the family's declaration."""
    where: str
    """On which base and carrier, in words."""
    limit: float
    """In logits, what `moved` is above."""
    writers: int
    """Of all datasets; a bench that is not finished has fewer than planned."""
    planned: int
    sizes: tuple[SizeRecord, ...] = Field(min_length=1)
    elsewhere: tuple[OtherKind, ...] = ()
    """What was measured on other carriers and on text."""

    def nearest(self, rows: int) -> SizeRecord:
        """That of datasets whose size is nearest, in proportion."""
        return min(self.sizes, key=lambda size: abs(math.log(size.rows / max(1, rows))))


def power_at(record: SizeRecord, part: float) -> tuple[BudgetPower, BudgetPower] | None:
    """Of the usual beginning, and of its largest measured part that is no larger; None where none is."""
    parts = sorted(record.power, key=lambda one: one.part)
    fewer: Sequence[BudgetPower] = [one for one in parts if one.part <= part * (1 + 1e-9)]
    return (parts[-1], fewer[-1]) if fewer and parts[-1].part == 1 else None


def in_words(rate: Rate) -> str:
    """A rate with its interval in percent."""
    return f"{rate.share:.0%} [{rate.low:.0%}, {rate.high:.0%}]"


def beforehand(record: FamilyRecord, rows: int) -> str:
    """What is known of benign data that are not the family's, in sentences; empty where nothing was measured."""
    size = record.nearest(rows)
    others = {f"{one.kind} ({one.rows:,} rows)": one.rate for one in record.elsewhere}
    told = [
        f"Measured ({place}): rows of these kinds stood out: {shares}; for such data stage 1 decides nothing."
        for place, kinds in (
            (f"{record.where}, {size.rows:,} rows", size.outside),
            ("other prompts", others),
        )
        if (shares := _shares({kind: rate for kind, rate in kinds.items() if rate.share > MANY}))
    ]
    known = {**size.outside, **others}
    if seldom := _shares({kind: rate for kind, rate in known.items() if rate.share <= MANY}):
        told.append(f"Of these kinds few stood out: {seldom}.")
    return " ".join(told)


def _shares(kinds: Mapping[str, Rate]) -> str:
    return ", ".join(f"{kind} {in_words(rate)}" for kind, rate in kinds.items())


def cost_of_fewer_steps(record: FamilyRecord | None, rows: int, part: float) -> str:
    """What is no longer seen where so large a part of the beginning's steps is taken, as the end of a sentence."""
    both = power_at(record.nearest(rows), part) if record is not None else None
    if record is None or both is None:
        return "how many fewer was not measured at so few steps"
    usual, fewer = both
    changes = [
        f"{words} {in_words(after)} instead of {before.share:.0%}"
        for words, before, after in (
            ("by .2 to .5 logits", usual.weak, fewer.weak),
            ("by more", usual.strong, fewer.strong),
        )
        if before is not None and after is not None
    ]
    at = f"{record.where}, {record.nearest(rows).rows:,} rows, {fewer.part:.2g} of the steps"
    return (
        f"of rows that moved students {', '.join(changes)} stood out where that was measured ({at})"
    )
