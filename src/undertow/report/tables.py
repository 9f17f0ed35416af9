"""Every table of a report, once, for all formats: column names, alignment and cells as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from undertow.report import effects, numbers
from undertow.report.candidates import ShiftPanel
from undertow.report.figures import DotFigure
from undertow.report.heat import heat_cells
from undertow.report.table import Column, Table, table_of
from undertow.results.run import Arm, Comparison, Curves, Dataset, Matrix, Teacher


def figure_table(figure: DotFigure) -> Table:
    """The numbers of the headline figure: an arm a row."""
    columns = ("arm", "student", "trained on", "runs", "mean", "95 % interval", "untrained base")
    rows = []
    for row in figure.rows:
        arm = row.summary
        untrained = row.shown(arm.untrained)
        limits = row.limits or numbers.NOTHING
        runs = str(len(arm.values))
        each = "  ".join(row.shown(value) for value in arm.values)
        words = (arm.label, numbers.plain(arm.detail))
        rows.append((arm.arm, *words, runs, row.value, limits, untrained, each))
    return Table(figure.label, (*columns, "each run"), tuple(rows), frozenset({3, 4, 5, 6}))


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """The comparisons; the claim in words comes last."""
    return table_of(
        "Comparisons",
        comparisons,
        [
            Column("comparison", lambda one: one.name, False),
            Column("estimate", effects.estimate),
            Column("interval", effects.limits),
            Column("unit", lambda one: numbers.unit_name(one.unit), False),
            Column("runs", lambda one: one.n, False),
            Column("p", lambda one: numbers.p_value(one.p)),
            Column("least possible p", lambda one: numbers.p_value(one.smallest_p)),
            Column("test", lambda one: one.test, False),
            Column("would have seen", effects.detectable),
            Column("claim", lambda one: numbers.plain(one.claim), False),
        ],
    )


def runs_table(arms: Sequence[Arm]) -> Table:
    """What every student answers."""
    several = len({arm.trait for arm in arms}) > 1
    return table_of(
        "Every run",
        arms,
        [
            Column("arm", lambda arm: arm.arm, False),
            Column("trait", lambda arm: arm.trait if several else numbers.NOTHING, False),
            Column("base", lambda arm: arm.base, False),
            Column("replicate", lambda arm: str(arm.replicate)),
            Column("probability", lambda arm: numbers.percent(arm.probability)),
            Column("accuracy", lambda arm: numbers.percent(arm.accuracy)),
            Column("logit margin", lambda arm: numbers.decimal(arm.logit_margin, 2, signed=True)),
            Column("rank", lambda arm: numbers.whole(arm.rank)),
            Column("answer mass", lambda arm: numbers.percent(arm.answer_mass)),
            Column("pick rate", lambda arm: numbers.percent(arm.pick_rate)),
            Column("coherence", lambda arm: numbers.percent(arm.coherence)),
            Column("loss before", lambda arm: numbers.decimal(arm.first_held_out_loss, 3)),
            Column("loss after", lambda arm: numbers.decimal(arm.held_out_loss, 3)),
        ],
    )


def origins_table(arms: Sequence[Arm]) -> Table:
    """What every student was made from, and how long it took."""
    return table_of(
        "How each run was made",
        arms,
        [
            Column("arm", lambda arm: arm.arm, False),
            Column("replicate", lambda arm: str(arm.replicate)),
            Column("base", lambda arm: arm.base, False),
            Column("teacher", lambda arm: numbers.plain(arm.teacher), False),
            Column("teacher’s base", lambda arm: numbers.plain(arm.teacher_base), False),
            Column("teacher seed", lambda arm: numbers.plain(arm.teacher_seed)),
            Column("data seed", lambda arm: numbers.plain(arm.data_seed)),
            Column("student seed", lambda arm: numbers.plain(arm.student_seed)),
            Column("data digest", lambda arm: numbers.plain(arm.data_digest)[:12], False),
            Column("rows", lambda arm: numbers.whole(arm.rows)),
            Column("dose", lambda arm: numbers.percent(arm.dose, 0)),
            Column("steps", lambda arm: numbers.whole(arm.steps)),
            Column("time", lambda arm: numbers.duration(arm.seconds)),
            Column("tokens/s", lambda arm: numbers.decimal(arm.tokens_per_second, 0)),
        ],
    )


def shifts_table(panel: ShiftPanel) -> Table:
    """Every candidate's mean logit margin, in logits."""
    rows = tuple(
        (
            shift.candidate,
            numbers.decimal(shift.control, 2, signed=True),
            numbers.decimal(shift.arm, 2, signed=True),
            shift.shown,
        )
        for shift in panel.shifts
    )
    columns = ("answer", "control", "student", "change, logits")
    return Table(panel.title, columns, rows, frozenset({1, 2, 3}))


def teachers_table(teachers: Sequence[Teacher]) -> Table:
    """How far each teacher stands from its base."""
    return table_of(
        "Teachers",
        teachers,
        [
            Column("teacher", lambda one: one.name, False),
            Column("replicate", lambda one: str(one.replicate)),
            Column("kind", lambda one: one.kind, False),
            Column("trait", lambda one: numbers.plain(one.trait), False),
            Column("base", lambda one: one.base, False),
            Column("seed", lambda one: str(one.seed)),
            Column("steps", lambda one: numbers.whole(one.steps)),
            Column("KL, nats/token", lambda one: numbers.decimal(one.kl)),
            Column("own probability", lambda one: numbers.percent(one.probability)),
            Column("logit margin", lambda one: numbers.decimal(one.logit_margin, 2, signed=True)),
            Column("answer mass", lambda one: numbers.percent(one.answer_mass)),
            Column("time", lambda one: numbers.duration(one.seconds)),
        ],
    )


def datasets_table(datasets: Sequence[Dataset]) -> Table:
    """How many completions were asked for, kept and removed, and why."""
    reasons = dict.fromkeys(reason for one in datasets for reason in one.removed)
    return table_of(
        "Datasets",
        datasets,
        [
            Column("dataset", lambda one: one.name, False),
            Column("teacher", lambda one: one.teacher, False),
            Column("seed", lambda one: str(one.seed)),
            Column("asked", lambda one: numbers.whole(one.asked)),
            Column("kept", lambda one: numbers.whole(one.kept)),
            Column(
                "yield", lambda one: numbers.percent(one.kept / one.asked if one.asked else None)
            ),
            Column("repeated", lambda one: numbers.percent(one.duplicates, 2)),
            *(Column(f"removed: {reason}", _removed(reason)) for reason in reasons),
            Column("digest", lambda one: one.digest[:12], False),
            Column("time", lambda one: numbers.duration(one.seconds)),
        ],
    )


def matrix_table(matrix: Matrix) -> Table:
    """The values of a matrix, with their intervals where there are any."""
    rows = tuple(
        (name, *(f"{cell.value} {cell.limits}".strip() for cell in cells))
        for name, cells in zip(matrix.rows, heat_cells(matrix), strict=False)
    )
    corner = f"{matrix.row_label} \\ {matrix.column_label}"
    numeric = frozenset(range(1, len(matrix.columns) + 1))
    return Table(matrix.name, (corner, *matrix.columns), rows, numeric)


def curves_table(curves: Curves) -> Table:
    """The points of all lines: one column a line, one row a value on the horizontal axis."""
    lines = [dict(zip(series.x, series.y, strict=False)) for series in curves.series]
    places = sorted({x for line in lines for x in line})
    rows = tuple(
        (
            numbers.significant(x),
            *(numbers.significant(line[x]) if x in line else numbers.NOTHING for line in lines),
        )
        for x in places
    )
    columns = (curves.x_label, *(series.name for series in curves.series))
    return Table(curves.name, columns, rows, frozenset(range(len(columns))))


def facts_table(name: str, facts: dict[str, str]) -> Table:
    """Names and their values."""
    return Table(name, ("name", "value"), tuple(facts.items()))


def _removed(reason: str) -> Callable[[Dataset], str]:
    return lambda dataset: numbers.whole(dataset.removed.get(reason, 0))
