"""
Which setting and how many replicates the sized experiments get: `python -m bench.lab.choice`, behind `python -m bench.lab.sizing`.

The rule was fixed in LOG.md (2026-11-28, "three claims sized") before a run of the sizing was made. What it gives is written
into the experiment's file and the log before a reported seed is drawn.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Figure, tell, write
from bench.lab.cost import cost_of
from bench.lab.sizing import (
    ALPHA,
    CLAIMS,
    FEWEST,
    MOST,
    PAIR_STRENGTHS,
    POOLS,
    RANKS,
    ROWS_TIMES,
    STRENGTHS,
    Arms,
    Claim,
    Reading,
    before,
    measured_arms,
    power,
    readings_of,
    replicates_for,
    setting_name,
)
from undertow.lab.experiment import BUILT_IN, Experiment, load_as

COMMAND = "python -m bench.lab.choice"

MINUTES = 110
"""Counted ones of an experiment: beyond them replicates are given up, and power with them, but never below `FEWEST`."""

TOGETHER = {"misaligned": ("code", "chain_of_thought"), "preference": ("preference",)}
"""The claims of each experiment; strength and rank are one for all of them."""


@dataclass(frozen=True)
class Sized:
    """One claim at one setting."""

    claim: Claim
    rows: int
    beside: tuple[Reading, ...]
    """Each of its controls."""

    @property
    def need(self) -> int | None:
        """Replicates for all its controls at the effects' lower quartiles; None beyond `MOST`."""
        needs = [replicates_for(r.cautious, r.scatter, self.claim.tests) for r in self.beside]
        return None if None in needs else max(need for need in needs if need is not None)

    def power(self, replicates: int) -> float:
        """At so many replicates, beside the control that is hardest to tell from."""
        alpha = ALPHA / self.claim.tests
        return min(power(r.cautious, r.scatter, replicates, alpha) for r in self.beside)


@dataclass(frozen=True)
class Choice:
    """A setting of an experiment."""

    experiment: str
    kl: float
    rank: int
    rows: Mapping[str, int]
    """By claim; of pairs, the pool."""
    need: int | None
    """Replicates; None where `MOST` are too few for some control."""
    power: float
    """Of the claim that has the least, at `MOST` replicates."""
    power_left: float
    """Likewise at `replicates`."""
    replicates: int
    minutes: float
    """That these are counted to take (`cost_of`)."""

    @property
    def line(self) -> str:
        """In words."""
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        need = f"more than {MOST}" if self.need is None else str(self.need)
        return (
            f"{self.experiment}: kl {self.kl:g}, rank {self.rank}, rows {rows}: {self.replicates} replicates ({need} needed; "
            f"least power {self.power_left:.2f}, at {MOST} {self.power:.2f}), about {self.minutes:.0f} minutes"
        )


def sized(claim: Claim, arms: Arms, kl: float, rank: int) -> list[Sized]:
    """A claim at both its numbers of rows, the fewer first."""
    made = []
    for rows in _rows(claim):
        setting = setting_name(kl, rows, rank)
        beside = tuple(reading for reading in readings_of(arms) if reading.setting == setting)
        made.append(Sized(claim, rows, beside))
    return made


def chosen(experiment: str, measured: Mapping[str, Arms]) -> Choice:
    """
    The setting that the rule gives.

    Of those whose controls all need at most `MOST`: of pairs the one of the least work; of carriers the strength and rank
    for which the larger need is least, each carrier with the fewest rows that this many replicates are enough for, and of
    equal ones the least work. Where there is none, the one whose least power is greatest.
    """
    choices = list(_choices(experiment, measured))
    enough = [choice for choice in choices if choice.need is not None]
    if not enough:
        return max(choices, key=lambda choice: choice.power)
    if experiment == "preference":
        return min(enough, key=lambda choice: choice.minutes)
    return min(enough, key=lambda choice: (choice.need, choice.minutes))


def _choices(experiment: str, measured: Mapping[str, Arms]) -> Iterator[Choice]:
    """Of pairs every setting; of carriers every strength and rank, with each carrier's own rows."""
    strengths = PAIR_STRENGTHS if experiment == "preference" else STRENGTHS
    for kl, rank in itertools.product(strengths, RANKS):
        claims = [sized(CLAIMS[n], measured[n], kl, rank) for n in TOGETHER[experiment]]
        if experiment == "preference":
            for one in claims[0]:
                yield _choice(experiment, kl, rank, [one])
        else:
            yield _choice(experiment, kl, rank, _own_rows(claims))


def _own_rows(claims: Sequence[Sequence[Sized]]) -> list[Sized]:
    """Of each carrier the fewest rows that are enough for what all need; the most powerful where some carrier has none."""
    least = [min((s.need for s in claim if s.need is not None), default=None) for claim in claims]
    if None in least:
        return [max(claim, key=lambda s: s.power(MOST)) for claim in claims]
    need = max(count for count in least if count is not None)
    return [next(s for s in claim if s.need is not None and s.need <= need) for claim in claims]


def _choice(experiment: str, kl: float, rank: int, claims: Sequence[Sized]) -> Choice:
    """With as many replicates as are needed and `MINUTES` hold."""
    rows = {one.claim.name: one.rows for one in claims}
    needs = [one.need for one in claims]
    need = None if None in needs else max(count for count in needs if count is not None)
    wanted = MOST if need is None else need
    first, second = (cost_of(as_chosen(experiment, kl, rank, rows, n)).minutes for n in (1, 2))
    more = second - first
    replicates = max(FEWEST, min(wanted, 1 + int((MINUTES - first) / more)))
    minutes = first + more * (replicates - 1)
    least, left = (min(one.power(n) for one in claims) for n in (MOST, replicates))
    return Choice(experiment, kl, rank, rows, need, least, left, replicates, minutes)


def _rows(claim: Claim) -> tuple[int, ...]:
    if claim.name == "preference":
        return POOLS
    rows = before("misaligned").carried(claim.name).rows
    return tuple(times * rows for times in ROWS_TIMES)


def as_chosen(
    name: str, kl: float, rank: int, rows: Mapping[str, int], replicates: int
) -> Experiment:
    """The experiment at a setting: what its file is to say, but for the seed."""
    tables = load_as(Experiment, name, BUILT_IN).model_dump(exclude_unset=True)
    if name == "preference":
        tables["preference"] |= {"pool": rows[name]}
    else:
        tables["carriers"] = [
            table | {"rows": rows.get(table["name"], table["rows"])} for table in tables["carriers"]
        ]
    tables["teacher"] |= {"kl": kl}
    tables["student"] |= {"rank": rank}
    return Experiment.model_validate(tables | {"replicates": replicates})


def choice_figures(choice: Choice) -> list[Figure]:
    """What the setting needs and takes."""
    part = f"chosen {choice.experiment}"
    return [
        Figure(f"{part}: {what}", value, unit, command=COMMAND, note=choice.line)
        for what, value, unit in (
            ("replicates", choice.replicates, "replicates"),
            ("counted time", round(choice.minutes, 1), "min"),
        )
    ]


def main(names: Sequence[str]) -> int:
    """Say and store what the rule gives for the named experiments, both by default, of the finished runs of the sizing."""
    figures: list[Figure] = []
    for name in names or TOGETHER:
        measured = {claim: measured_arms(CLAIMS[claim])[0] for claim in TOGETHER[name]}
        figures += choice_figures(chosen(name, measured))
    tell(figures, write("lab", figures, {}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
