"""Comparisons of experiments on a grid or in a chain: teacher base by student base, trait by answer, hop by hop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undertow import stats
from undertow.lab.contrasts import (
    LOGITS,
    Conclusions,
    Contrast,
    comparison,
    comparison_matrix,
    contrasted,
    holm_adjusted,
    independent,
    paired,
    told_ps,
    values,
)
from undertow.lab.design import FOREIGN, cell_name, hop_name
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made, slug
from undertow.results.run_document import Comparison, Curves, Matrix, Series
from undertow.traits import catalogue

_MONTE_CARLO_SEED = (
    20_240_102  # permutations of a large matrix are drawn; a fixed stream makes p reproducible
)


def base_grid(experiment: Experiment, made: Made) -> Conclusions:
    """Transfer from each teacher base (row) to each student base (column), one matrix a replicate."""
    transfers = _base_transfers(experiment, made)
    names = [slug(base) for base in experiment.bases]
    level = experiment.level
    contrasts = [stats.diagonal_contrast(stats.double_centre(matrix)) for matrix in transfers]
    main = paired(
        "diagonal - off-diagonal",
        contrasts,
        LOGITS,
        level,
        "Does a trait cross within an initialisation more than between initialisations?",
    )
    diagonal = float(np.mean([np.trace(matrix) / len(matrix) for matrix in transfers]))
    cells = {}
    for i, teacher in enumerate(names):
        for j, student in enumerate(names):
            cell = paired(
                f"{teacher} to {student}", [float(m[i, j]) for m in transfers], LOGITS, level
            )
            cells[i, j] = cell
    main, *corrected = holm_adjusted([main, *cells.values()])
    comparisons = [main] + [
        cell if i == j else _against_quarter(cell, diagonal)
        for (i, j), cell in zip(cells, corrected, strict=True)
    ]
    by_base = {
        teacher: {student: cells[i, j] for j, student in enumerate(names)}
        for i, teacher in enumerate(names)
    }
    matrix = comparison_matrix(
        by_base,
        name="transfer",
        caption="Mean transfer (trait arm minus control arm) by base of teacher and student; intervals over replicates.",
        row_label="teacher's base",
        column_label="student's base",
    )
    sentence = (
        f"Transfer is {diagonal:+.2f} logits where teacher and student share an initialisation and "
        f"{_off_diagonal(transfers):+.2f} where they do not (contrast {main.estimate:+.2f}, {main.n}, "
        f"sign-flip {told_ps(main)})."
    )
    return Conclusions(sentence, tuple(comparisons), (matrix,))


def trait_grid(experiment: Experiment, made: Made) -> Conclusions:
    """Each trait's students (row) by each trait's answer (column): own answer against the others."""
    contrast, matrix, mean = _one_trait_grid(experiment, made, "")
    tested, matrices = [contrast], [matrix]
    if experiment.foreign:
        foreign, other, _ = _one_trait_grid(experiment, made, FOREIGN)
        tested.append(foreign)
        matrices.append(other)
    apart = _trait_comparisons(list(experiment.traits), made, experiment.level)
    comparisons = holm_adjusted([*tested, *apart])
    contrast, foreign = comparisons[0], comparisons[1]
    count = len(experiment.traits)
    first = sum(int(np.argmax(row) == i) for i, row in enumerate(mean))
    sentence = (
        f"The own answer moved by {contrast.estimate:+.2f} logits more than the others over {count} traits "
        f"(permutation {told_ps(contrast)}); it is the one moved most in {first} of {count}."
    )
    if experiment.foreign:
        sentence += (
            f" In students of another initialisation it moved by {foreign.estimate:+.2f} "
            f"({told_ps(foreign)})."
        )
    return Conclusions(sentence, comparisons, tuple(matrices))


def _one_trait_grid(
    experiment: Experiment, made: Made, prefix: str
) -> tuple[Comparison, Matrix, NDArray[np.float64]]:
    """The contrast, the double-centred table, and the raw means over replicates, for students of one base."""
    traits = list(experiment.traits)
    control = made.arm(f"{prefix}control")
    answers = [catalogue.load(name).answer for name in traits]
    grid = np.array(
        [
            [
                [run.margins[answer] - base.margins[answer] for answer in answers]
                for run, base in zip(made.arm(prefix + name), control, strict=True)
            ]
            for name in traits
        ]
    )  # (traits, replicates, answers)
    mean = grid.mean(axis=1)
    rng = np.random.default_rng(_MONTE_CARLO_SEED)
    where = "students of another initialisation" if prefix else "each trait's students"
    contrast = comparison(
        f"{prefix}own answer - other answers",
        stats.matrix_permutation(mean, level=experiment.level, rng=rng),
        LOGITS,
        experiment.level,
        None,
        f"Do a trait's rows move its own answer more than the others, in {where}?",
    )
    matrix = Matrix(
        name=f"{prefix}traits",
        caption=f"Logit margin of each answer in {where}, minus the control's, double-centred.",
        row_label="teacher's trait",
        column_label="student's answer",
        rows=tuple(traits),
        columns=tuple(answers),
        values=tuple(tuple(float(v) for v in row) for row in stats.double_centre(mean)),
        unit=LOGITS,
    )
    return contrast, matrix, mean


def _trait_comparisons(traits: list[str], made: Made, level: float) -> list[Comparison]:
    control = made.arm("control")
    comparisons = []
    for name in traits:
        answer = catalogue.load(name).answer
        treated = values(made.arm(name), "logit_margin")
        comparisons.append(
            independent(
                f"{name} - control", treated, [c.margins[answer] for c in control], LOGITS, level
            )
        )
    return comparisons


def _base_transfers(experiment: Experiment, made: Made) -> list[NDArray[np.float64]]:
    """One (teacher base, student base) matrix of trait minus control a replicate."""
    cells = {
        (teacher, student): np.subtract(
            values(made.arm(cell_name("trait", teacher, student)), "logit_margin"),
            values(made.arm(cell_name("neutral", teacher, student)), "logit_margin"),
        )
        for teacher in experiment.bases
        for student in experiment.bases
    }
    return [
        np.array([[cells[t, s][r] for s in experiment.bases] for t in experiment.bases])
        for r in range(experiment.replicates)
    ]


def _off_diagonal(transfers: list[NDArray[np.float64]]) -> float:
    size = len(transfers[0])
    return float(np.mean([m[~np.eye(size, dtype=bool)].mean() for m in transfers]))


def _against_quarter(cell: Comparison, diagonal: float) -> Comparison:
    """Add whether an off-diagonal cell's interval excludes a transfer of a quarter of the mean diagonal."""
    quarter = diagonal / 4
    excludes = cell.high is not None and cell.high < quarter
    verdict = (
        f"The interval {'excludes' if excludes else 'does not exclude'} a transfer of a quarter of the "
        f"diagonal ({quarter:+.2f})"
    )
    if cell.low is None or cell.low < -quarter:
        verdict += "; a move of that size away from the trait is not excluded"
    return cell.model_copy(update={"claim": f"{cell.claim} {verdict}."})


def chain(experiment: Experiment, made: Made) -> Conclusions:
    """Every hop against the control chain's, and the last against the first within chains."""
    hops = range(1, experiment.hops + 1)
    compared = [
        comparison
        for hop in hops
        for comparison in contrasted(
            experiment,
            made,
            Contrast(
                hop_name(hop, "trait"),
                hop_name(hop, "neutral"),
                f"Is the trait still there after {hop} {'hop' if hop == 1 else 'hops'}?",
            ),
        )
    ]
    first, last = (
        values(made.arm(hop_name(hop, "trait")), "logit_margin") for hop in (1, hops[-1])
    )
    fade = paired(
        f"hop-{hops[-1]} - hop-1",
        [b - a for a, b in zip(first, last, strict=True)],
        LOGITS,
        experiment.level,
        "Does it fade along the chain?",
    )
    comparisons = holm_adjusted([*compared, fade])
    fade = comparisons[-1]
    transfers = [c.estimate for c in compared if c.unit == LOGITS]
    sentence = (
        f"Over {experiment.hops} hops the transfer was "
        + ", ".join(f"{value:+.2f}" for value in transfers)
        + f" logits; from the first hop to the last it changed by {fade.estimate:+.2f} (sign-flip {told_ps(fade)})."
    )
    return Conclusions(sentence, comparisons, curves=(_curves(experiment, made),))


def _curves(experiment: Experiment, made: Made) -> Curves:
    hops = tuple(float(hop) for hop in range(1, experiment.hops + 1))
    series = []
    for role, name in (("trait", "trait chain, mean"), ("neutral", "control chain, mean")):
        means = [
            float(np.mean(values(made.arm(hop_name(int(h), role)), "logit_margin")))  # type: ignore[arg-type]
            for h in hops
        ]
        series.append(Series(name=name, x=hops, y=tuple(means)))
    for replicate in range(experiment.replicates):
        margins = [
            values(made.arm(hop_name(int(h), "trait")), "logit_margin")[replicate] for h in hops
        ]
        series.append(Series(name=f"trait chain {replicate + 1}", x=hops, y=tuple(margins)))
    return Curves(
        name="hops",
        caption="Logit margin of the trait's answer along the chains: each student writes the rows of the next.",
        x_label="hop",
        y_label="logit margin",
        series=tuple(series),
    )
