"""Comparisons of an experiment's cells: each against those that it names, learners of the same rows, and strengths of teachers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from undertow.data.rows import shared_start
from undertow.lab.cells import CellTable
from undertow.lab.contrasts import (
    LOGITS,
    Conclusions,
    Contrast,
    comparison_matrix,
    contrasted,
    holm_adjusted,
    paired,
    values,
)
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import Made
from undertow.results.run_document import Comparison, Curves, Matrix, Series


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


_NAMED = 8
"""Most comparisons of which a sentence names those as well that are not shown."""


def _moved(comparisons: Sequence[Comparison]) -> str:
    """Which cells' students moved beside which, by how many logits; with few comparisons also which are not shown to."""
    told = [c for c in comparisons if c.unit == LOGITS and c.p is not None]
    by_control: dict[str, list[Comparison]] = {}
    for compared in told:
        by_control.setdefault(compared.name.split(" - ", 1)[1], []).append(compared)
    all_named = len(told) <= _NAMED
    clauses = [_beside(name, group, all_named) for name, group in by_control.items()]
    sentence = " ".join(clause for clause in clauses if clause)
    if all_named:
        return sentence
    held = sum(c.is_shown for c in told)
    counted = f"{held} of {len(told)} comparisons hold after Holm's correction."
    return f"{counted} {sentence}".strip()


def _beside(control: str, group: Sequence[Comparison], all_named: bool) -> str:
    """One control's clause; empty where nothing is said."""
    up: list[str] = []
    down: list[str] = []
    rest: list[str] = []
    learner = control[control.index(", ") :] if ", " in control else ""
    for compared in group:
        # What all learners of a control have in common is said once.
        name = f"“{compared.name.split(' - ', 1)[0].removesuffix(learner)}”"
        if compared.is_shown:
            (up if compared.estimate > 0 else down).append(f"{name} ({compared.estimate:+.2f})")
        else:
            rest.append(name)
    parts = [f"{', '.join(names)} lie {where}" for names, where in ((up, "above"), (down, "below")) if names]  # fmt: skip
    if rest and all_named:
        parts.append(f"{', '.join(rest)} not shown to differ")
    return f"Beside “{control}”, in logits: {'; '.join(parts)}." if parts else ""


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
    learned = comparison_matrix(
        {teacher: {name: row[name] for name in learners} for teacher, row in rows.items()},
        name="learners",
        caption="What each learner takes on of the same teacher's rows, beside its own control.",
        row_label="teacher",
        column_label="learner",
    )
    return (learned,)


def _teacher_and_learner(cell: CellTable) -> tuple[str, str]:
    """A cell's name in two: the learner is what it ends with as its control's does."""
    own, control = cell.name.split(", "), cell.against[0].split(", ")
    same = shared_start(own[::-1], control[::-1])
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
        holds=tuple(compared.is_shown for compared in moved),
    )
