"""
What a factorial found: each factor's effect on the transfer, each pair's interaction, and all combinations in one picture.

The unit is a point of a block: a student of the trait's teacher beside one of the neutral teacher, both made by the
point's plan. Points of a block share their teachers and datasets, so that intervals are over blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from undertow.lab.cells import CONTROL, DesignPoint, FactorialTable
from undertow.lab.contrasts import LOGITS, Conclusions, comparison, holm_adjusted
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made
from undertow.results.run_document import Comparison, Matrix
from undertow.stats.regression import ClusteredFit, clustered_least_squares


@dataclass(frozen=True)
class _Transfer:
    """One point in one block."""

    point: DesignPoint
    block: int
    moved: float
    """Margin of the trait's student minus its control's, in logits."""


def factorial_effects(experiment: Experiment, made: Made) -> Conclusions:
    """
    Effects from low to high (twice the coefficients of -1 and 1), and what is between two factors.

    The model has an intercept a block, each factor, each pair, and the centre. Higher interactions are taken for none.
    """
    table = experiment.factorial
    assert table is not None
    transfers = _transfers(experiment, table, made)
    fit = clustered_least_squares(
        [_column(table, transfer, experiment.replicates) for transfer in transfers],
        [transfer.moved for transfer in transfers],
        [transfer.block for transfer in transfers],
    )
    effects = [_effect(fit, table, experiment, place) for place in range(len(table.factors))]
    trades = [_trade(fit, table, experiment, *pair) for pair in table.trades]
    pairs = list(itertools.combinations(range(len(table.factors)), 2))
    between = [_interaction(fit, table, experiment, *pair) for pair in pairs]
    centre = [_curvature(fit, table, experiment)] if _has_centre(table) else []
    comparisons = holm_adjusted([*effects, *trades, *between, *centre])
    sentence = _sentence(comparisons[: len(effects) + len(trades)])
    return Conclusions(sentence, comparisons, (_picture(table, transfers),))


def _transfers(experiment: Experiment, table: FactorialTable, made: Made) -> list[_Transfer]:
    margins = {(s.arm, s.replicate): s.logit_margin or 0.0 for s in made.students}
    return [
        _Transfer(point, block, margins[point.name, block] - margins[point.name + CONTROL, block])
        for block in range(experiment.replicates)
        for point in table.block(block)
    ]


def _has_centre(table: FactorialTable) -> bool:
    return any(point.is_centre for point in table.block(0))


def _column(table: FactorialTable, transfer: _Transfer, blocks: int) -> list[float]:
    """The run's row of the model: blocks, factors, pairs, and whether it is a centre."""
    signs = [float(sign) for sign in transfer.point.signs]
    pairs = [a * b for a, b in itertools.combinations(signs, 2)]
    centre = [float(transfer.point.is_centre)] if _has_centre(table) else []
    return [*(float(transfer.block == block) for block in range(blocks)), *signs, *pairs, *centre]


def _along(fit: ClusteredFit, blocks: int, places: dict[int, float]) -> list[float]:
    """Weights on the coefficients behind the blocks'."""
    weights = [0.0] * fit.coefficients.size
    for place, weight in places.items():
        weights[blocks + place] = weight
    return weights


def _read(
    fit: ClusteredFit, experiment: Experiment, name: str, question: str, places: dict[int, float]
) -> Comparison:
    result = fit.effect(_along(fit, experiment.replicates, places), experiment.level)
    return comparison(name, result, LOGITS, experiment.level, None, question)


def _effect(
    fit: ClusteredFit, table: FactorialTable, experiment: Experiment, place: int
) -> Comparison:
    factor = table.factors[place]
    name = f"{factor.high.label} - {factor.low.label}"
    question = factor.question or f"What does {factor.name} change?"
    return _read(fit, experiment, name, question, {place: 2.0})


def _trade(
    fit: ClusteredFit, table: FactorialTable, experiment: Experiment, more: str, less: str
) -> Comparison:
    names = [factor.name for factor in table.factors]
    first, second = (table.factors[names.index(name)] for name in (more, less))
    name = f"({first.high.label}, {second.low.label}) - ({first.low.label}, {second.high.label})"
    question = f"Is it better to raise {more} than to raise {less}?"
    places = {names.index(more): 2.0, names.index(less): -2.0}
    return _read(fit, experiment, name, question, places)


def _interaction(
    fit: ClusteredFit, table: FactorialTable, experiment: Experiment, first: int, second: int
) -> Comparison:
    """Half of what the second factor's effect is more where the first is high than where it is low."""
    pairs = list(itertools.combinations(range(len(table.factors)), 2))
    names = [table.factors[place].name for place in (first, second)]
    question = f"Does {names[1]} do more where {names[0]} is high?"
    place = len(table.factors) + pairs.index((first, second))
    return _read(fit, experiment, " x ".join(names), question, {place: 2.0})


def _curvature(fit: ClusteredFit, table: FactorialTable, experiment: Experiment) -> Comparison:
    factors = len(table.factors)
    place = factors + factors * (factors - 1) // 2
    question = "Is the middle more than halfway between the corners?"
    return _read(fit, experiment, "centre - corners", question, {place: 1.0})


def _picture(table: FactorialTable, transfers: Sequence[_Transfer]) -> Matrix:
    """
    The mean transfer of every combination: those of `across` are columns. Without intervals: a combination is in a block or
    two, whose spread says nothing; what can be said with an interval are effects.
    """
    across = [place for place, factor in enumerate(table.factors) if factor.name in table.across]
    down = [place for place in range(len(table.factors)) if place not in across]
    levelled = _levelled(transfers)
    rows, columns = (list(itertools.product((-1, 1), repeat=len(p))) for p in (down, across))
    values = [[_mean(levelled, down, row, across, column) for column in columns] for row in rows]
    named = [
        [_labels(table, places, signs) for signs in combinations]
        for places, combinations in ((down, rows), (across, columns))
    ]
    return Matrix(
        name="transfer",
        caption="Mean transfer of every combination: the trait's student minus the neutral teacher's, both by that plan, "
        f"each block's own level taken out. {_about_cells(table, transfers)}",
        row_label=", ".join(table.factors[place].name for place in down),
        column_label=", ".join(table.factors[place].name for place in across),
        rows=tuple(named[0]),
        columns=tuple(named[1]),
        values=tuple(map(tuple, values)),
        unit=LOGITS,
    )


def _about_cells(table: FactorialTable, transfers: Sequence[_Transfer]) -> str:
    """Of how many blocks a combination is the mean, and the mean of the centre, which is none of them."""
    blocks = len({transfer.block for transfer in transfers}) // table.blocks
    of = "1 block" if blocks == 1 else f"{blocks} blocks"
    told = f"Each is the mean of {of}, and no interval can be told of it: those of the effects can."
    centre = [transfer.moved for transfer in transfers if transfer.point.is_centre]
    if not centre:
        return told
    return (
        f"{told} The centre, halfway between all levels, is not among them: {np.mean(centre):+.2f}."
    )


def _levelled(transfers: Sequence[_Transfer]) -> list[_Transfer]:
    """The corners without what is their block's own: its teachers carry more or less at every point."""
    corners = [transfer for transfer in transfers if not transfer.point.is_centre]
    levels: dict[int, list[float]] = {}
    for transfer in corners:
        levels.setdefault(transfer.block, []).append(transfer.moved)
    middle = float(np.mean([np.mean(moved) for moved in levels.values()]))
    return [replace(t, moved=t.moved - float(np.mean(levels[t.block])) + middle) for t in corners]


def _mean(
    transfers: Sequence[_Transfer],
    down: Sequence[int],
    row: Sequence[int],
    across: Sequence[int],
    column: Sequence[int],
) -> float:
    wanted = dict(zip((*down, *across), (*row, *column), strict=True))
    signs = tuple(wanted[place] for place in range(len(wanted)))
    return float(np.mean([t.moved for t in transfers if t.point.signs == signs]))


def _labels(table: FactorialTable, places: Sequence[int], signs: Sequence[int]) -> str:
    levels = (
        table.factors[place].high if sign > 0 else table.factors[place].low
        for place, sign in zip(places, signs, strict=True)
    )
    return ", ".join(level.label for level in levels) or "all"


def _sentence(effects: Sequence[Comparison]) -> str:
    """What carries more, the largest effect first, and which of them are not told from none after Holm's correction."""
    ordered = sorted(effects, key=lambda c: -abs(c.estimate))
    held = [_more(c) for c in ordered if c.is_shown]
    open_ones = [f"{c.name} {c.estimate:+.2f}" for c in ordered if not c.is_shown]
    told = f"More crosses with {'; with '.join(held)} (in logits, after Holm's correction)." if held else _NONE  # fmt: skip
    return f"{told} Not told from none: {'; '.join(open_ones)}." if held and open_ones else told


def _more(effect: Comparison) -> str:
    more, less = effect.name.split(" - ", 1)
    if effect.estimate < 0:
        more, less = less, more
    return f"{more} than with {less} {abs(effect.estimate):+.2f}"


_NONE = "None of the effects is told from none after Holm's correction."
