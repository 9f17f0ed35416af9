"""Comparisons of experiments on a grid or in a chain: teacher base by student base, trait by answer, hop by hop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from undertow import stats
from undertow.lab.cells import CellTable
from undertow.lab.contrasts import (
    LOGITS,
    Conclusions,
    Contrast,
    comparison,
    contrasted,
    holm_adjusted,
    independent,
    is_shown,
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
    size = range(len(names))
    matrix = Matrix(
        name="transfer",
        caption="Mean transfer (trait arm minus control arm) by base of teacher and student; intervals over replicates.",
        row_label="teacher's base",
        column_label="student's base",
        rows=tuple(names),
        columns=tuple(names),
        values=tuple(tuple(cells[i, j].estimate for j in size) for i in size),
        low=tuple(tuple(cells[i, j].low for j in size) for i in size),
        high=tuple(tuple(cells[i, j].high for j in size) for i in size),
        unit=LOGITS,
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


def cell_contrasts(experiment: Experiment, made: Made) -> Conclusions:
    """Each cell against those that it names: within replicates where both read rows of one teacher, else run against run."""
    comparisons: list[Comparison] = []
    for cell in experiment.cells or ():
        for place, other in enumerate(cell.against):
            question = cell.question if place == 0 else ""
            contrast = Contrast(cell.name, other, question, _share_writers(experiment, cell, other))
            comparisons += contrasted(experiment, made, contrast)
        comparisons += [_learners(experiment, made, cell, other) for other in cell.beside]
    corrected = holm_adjusted(comparisons)
    matrices, curves = _by_learner(experiment, corrected), _strengths(experiment, made, corrected)
    return Conclusions(_moved(corrected), corrected, matrices, curves)


def _learners(experiment: Experiment, made: Made, cell: CellTable, other_name: str) -> Comparison:
    """How much more a cell moved beside its control than another one of its writers beside its own, replicate by replicate."""
    moved = [
        np.array(values(made.arm(one.name), "logit_margin"))
        - np.array(values(made.arm(one.against[0]), "logit_margin"))
        for one in (cell, _cell(experiment, other_name))
    ]
    name = f"({cell.name}) - ({other_name}), each beside its control"
    question = "Does the learner change what crosses?"
    compared = paired(name, (moved[0] - moved[1]).tolist(), LOGITS, experiment.level, question)
    return compared.model_copy(update={"p": None, "smallest_p": None, "claim": ""})


def _share_writers(experiment: Experiment, cell: CellTable, other: str) -> bool:
    return any(writer in _cell(experiment, other).writers for writer in cell.writers)


def _cell(experiment: Experiment, name: str) -> CellTable:
    return next(table for table in experiment.cells or () if table.name == name)


def _moved(comparisons: Sequence[Comparison]) -> str:
    """How many of the cells' students moved beside what they are compared with, and the largest."""
    told = [c for c in comparisons if c.unit == LOGITS]
    held = [c for c in told if is_shown(c)]
    up = [f"{c.name} {c.estimate:+.2f}" for c in held if c.estimate > 0]
    down = [f"{c.name} {c.estimate:+.2f}" for c in held if c.estimate <= 0]
    above, below = (f": {'; '.join(names)}" if names else "" for names in (up, down))
    return (
        f"Of {len(told)} comparisons {len(up)} are above 0 after Holm's correction, in logits{above}; "
        f"{len(down)} are below{below}."
    )


def _by_learner(experiment: Experiment, comparisons: Sequence[Comparison]) -> tuple[Matrix, ...]:
    """
    What each learner takes on of the same rows: cells that name one of another learner `beside` them, with that one, where
    names are `TEACHER, LEARNER`, a learner's control among them, and each teacher has every learner.
    """
    by_name = {c.name: c for c in comparisons if c.unit == LOGITS}
    rows: dict[str, dict[str, Comparison]] = {}
    for cell in experiment.cells or ():
        for other in map(partial(_cell, experiment), cell.beside):
            for one in (other, cell):
                teacher, learner = _teacher_and_learner(one)
                rows.setdefault(teacher, {})[learner] = by_name[f"{one.name} - {one.against[0]}"]
    learners = tuple(dict.fromkeys(name for row in rows.values() for name in row))
    if (
        not rows
        or not all(learners)
        or not all(row.keys() == set(learners) for row in rows.values())
    ):
        return ()
    table = [[row[name] for name in learners] for row in rows.values()]
    learned = Matrix(
        name="learners",
        caption="What each learner takes on of the same teacher's rows, beside its own control.",
        row_label="teacher",
        column_label="learner",
        rows=tuple(rows),
        columns=learners,
        values=tuple(tuple(c.estimate for c in row) for row in table),
        low=tuple(tuple(c.low for c in row) for row in table),
        high=tuple(tuple(c.high for c in row) for row in table),
        unit=LOGITS,
    )
    return (learned,)


def _teacher_and_learner(cell: CellTable) -> tuple[str, str]:
    """A cell's name in two: the learner is what it ends with as its control's does."""
    own, control = cell.name.split(", "), cell.against[0].split(", ")
    pairs = zip(reversed(own), reversed(control), strict=False)
    same = len(list(takewhile(lambda two: two[0] == two[1], pairs)))
    return ", ".join(own[: len(own) - same]), ", ".join(own[len(own) - same :])


def _strengths(
    experiment: Experiment, made: Made, comparisons: Sequence[Comparison]
) -> tuple[Curves, ...]:
    """
    Each line's cells beside their control, over how far their teachers stand from the base; lines of one point that
    `_by_learner` shows are not drawn again.
    """
    by_name = {c.name: c for c in comparisons if c.unit == LOGITS}
    kls = {teacher.name: teacher.kl for teacher in made.teachers}
    lines: dict[str, list[tuple[float, Comparison]]] = {}
    for cell in experiment.cells or ():
        writers = {str(run.teacher) for run in made.arm(cell.name)}
        stood = [kls.get(name) for name in writers]
        if cell.line and cell.against and all(kl is not None for kl in stood):
            kl = float(np.mean(stood))  # type: ignore[arg-type]
            moved = by_name[f"{cell.name} - {cell.against[0]}"]
            lines.setdefault(cell.line, []).append((kl, moved))
    shown_beside = {cell.line for cell in experiment.cells or () if cell.beside}
    lines = {n: points for n, points in lines.items() if len(points) > 1 or n not in shown_beside}
    if not lines:
        return ()
    strengths = Curves(
        name="strengths",
        caption="What students take on, beside their control's, by how far their teacher stands from its base.",
        x_label="teacher's KL from its base, nats a token",
        y_label="logits beside the control",
        series=tuple(_line(name, points) for name, points in lines.items()),
        log_x=True,
    )
    return (strengths,)


def _line(name: str, points: Sequence[tuple[float, Comparison]]) -> Series:
    """Weaker teachers first; of each point its own interval, and whether it is shown after Holm's correction."""
    ordered = sorted(points, key=lambda point: point[0])
    moved = [compared for _, compared in ordered]
    return Series(
        name=name,
        x=tuple(kl for kl, _ in ordered),
        y=tuple(compared.estimate for compared in moved),
        low=tuple(compared.low for compared in moved),
        high=tuple(compared.high for compared in moved),
        holds=tuple(is_shown(compared) for compared in moved),
    )
