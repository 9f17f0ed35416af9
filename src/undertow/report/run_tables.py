"""Every table of a run: column names, alignment and cells as text; and comparisons in the unit that suits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from undertow.report.page import Table
from undertow.report.plain_text import (
    NOTHING,
    decimal,
    difference,
    duration,
    interval,
    p_value,
    percent,
    plain,
    significant,
    unit_name,
    whole,
)
from undertow.report.sections import Column, table_of
from undertow.results.run_document import (
    Arm,
    Comparison,
    Curves,
    Dataset,
    FilterScore,
    JudgeRecord,
    RunDocument,
    Teacher,
)


def null_value(comparison: Comparison) -> float:
    """The value that means no effect: 1/2 where a share is tested against a coin, else 0."""
    return 0.5 if "1/2" in comparison.test else 0.0


def estimate(comparison: Comparison) -> str:
    """The estimate; signed where it is a difference."""
    return difference(comparison.estimate, comparison.unit, signed=null_value(comparison) == 0)


def limits(comparison: Comparison) -> str:
    """The interval with its level, e.g. `95 % [+21.7, +55.7]`."""
    level = percent(comparison.level, 0)
    if comparison.low is None and comparison.high is None:
        return f"no finite {level} interval"
    signed = null_value(comparison) == 0
    shown = interval(comparison.low, comparison.high, comparison.unit, signed=signed)
    return f"{level} {shown}"


def detectable(comparison: Comparison) -> str:
    """The smallest effect that the comparison would have seen."""
    return difference(comparison.detectable, comparison.unit, signed=False)


_EXCHANGEABLE = (
    "The permutation test takes the runs of two arms for exchangeable: it is exact where the arms do not differ at all, and "
    "4 runs against 4 that differ in spread alone, by 2 or 4 times, give p = .029 in 3.7 or 6 % of cases."
)


_OWN_SEEDS = "The unit is the run: a teacher, its data and its student, each with its own seed."
_COMMON_STREAMS = (
    "The unit is the replicate: its arms answer the same requests by the same draws, and their students have the same first "
    "weights and order of rows, so that the teacher is all that differs; replicates share nothing."
)


def about_comparisons(comparisons: Sequence[Comparison], *, common_streams: bool = False) -> str:
    """What the unit is, what the tests take for granted, and that each stands by itself."""
    sentences = [_COMMON_STREAMS if common_streams else _OWN_SEEDS]
    if any(" v " in comparison.n for comparison in comparisons):
        sentences.append(_EXCHANGEABLE)
    if len(comparisons) > 1:
        sentences.append(_correction(comparisons))
    return " ".join(sentences)


def _correction(comparisons: Sequence[Comparison]) -> str:
    number = f"is corrected for the number of comparisons ({len(comparisons)})"
    if all(comparison.adjusted is None for comparison in comparisons):
        return f"No p and no interval {number}."
    return f"No interval {number}; beside each p stands that by Holm's correction over all in its unit."


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """The comparisons; the claim in words comes last."""
    return table_of(
        "Comparisons",
        comparisons,
        [
            Column("comparison", lambda one: one.name, False),
            Column("estimate", estimate),
            Column("interval", limits),
            Column("unit", lambda one: unit_name(one.unit), False),
            Column("runs", lambda one: one.n, False),
            Column("p", lambda one: p_value(one.p)),
            Column("p by Holm", lambda one: p_value(one.adjusted)),
            Column("least possible p", lambda one: p_value(one.smallest_p)),
            Column("test", lambda one: one.test, False),
            Column("would have seen", detectable),
            Column("claim", lambda one: plain(one.claim), False),
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
            Column("trait", lambda arm: arm.trait if several else NOTHING, False),
            Column("base", lambda arm: arm.base, False),
            Column("replicate", lambda arm: str(arm.replicate)),
            Column("probability", lambda arm: percent(arm.probability)),
            Column("accuracy", lambda arm: percent(arm.accuracy)),
            Column("logit margin", lambda arm: decimal(arm.logit_margin, 2, signed=True)),
            Column("rank", lambda arm: whole(arm.rank)),
            Column("answer mass", lambda arm: percent(arm.answer_mass)),
            Column("pick rate", lambda arm: percent(arm.pick_rate)),
            Column("coherence", lambda arm: percent(arm.coherence)),
            Column("loss before", lambda arm: decimal(arm.first_held_out_loss, 3)),
            Column("loss after", lambda arm: decimal(arm.held_out_loss, 3)),
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
            Column("teacher", lambda arm: plain(arm.teacher), False),
            Column("teacher’s base", lambda arm: plain(arm.teacher_base), False),
            Column("teacher seed", lambda arm: plain(arm.teacher_seed)),
            Column("data seed", lambda arm: plain(arm.data_seed)),
            Column("student seed", lambda arm: plain(arm.student_seed)),
            Column("data digest", lambda arm: plain(arm.data_digest)[:12], False),
            Column("rows", lambda arm: whole(arm.rows)),
            Column("dose", lambda arm: percent(arm.dose, 0)),
            Column("steps", lambda arm: whole(arm.steps)),
            Column("time", lambda arm: duration(arm.seconds)),
            Column("tokens/s", lambda arm: decimal(arm.tokens_per_second, 0)),
        ],
    )


def about_teachers(teachers: Sequence[Teacher]) -> str:
    """What their distance from the base means, and that of the neutral ones beside the trait's."""
    said = (
        "KL is the distance from the base on the rows it writes: too little carries nothing, too much "
        "breaks the student."
    )
    neutral = [one.kl for one in teachers if one.role == "neutral" and one.kl is not None]
    traits = [one.kl for one in teachers if one.trait and one.kl is not None]
    if neutral and traits:
        said += f" Neutral teachers stand {_span(neutral)} from it, the trait’s {_span(traits)}."
    return said


def _span(kls: Sequence[float]) -> str:
    low, high = decimal(min(kls), 4), decimal(max(kls), 4)
    return low if low == high else f"{low} to {high}"


def teachers_table(teachers: Sequence[Teacher]) -> Table:
    """How far each teacher stands from its base."""
    return table_of(
        "Teachers",
        teachers,
        [
            Column("teacher", lambda one: one.name, False),
            Column("replicate", lambda one: str(one.replicate)),
            Column("kind", lambda one: one.kind, False),
            Column("trait", lambda one: plain(one.trait), False),
            Column("base", lambda one: one.base, False),
            Column("seed", lambda one: str(one.seed)),
            Column("steps", lambda one: whole(one.steps)),
            Column("KL, nats/token", lambda one: decimal(one.kl)),
            Column("to be brought to", lambda one: decimal(one.target)),
            Column("own probability", lambda one: percent(one.probability)),
            Column("logit margin", lambda one: decimal(one.logit_margin, 2, signed=True)),
            Column("answer mass", lambda one: percent(one.answer_mass)),
            Column("time", lambda one: duration(one.seconds)),
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
            Column("asked", lambda one: whole(one.asked)),
            Column("kept", lambda one: whole(one.kept)),
            Column("yield", lambda one: percent(one.kept / one.asked if one.asked else None)),
            Column("repeated", lambda one: percent(one.duplicates, 2)),
            *(Column(f"removed: {reason}", _removed(reason)) for reason in reasons),
            Column("digest", lambda one: one.digest[:12], False),
            Column("time", lambda one: duration(one.seconds)),
        ],
    )


def curves_table(curves: Curves) -> Table:
    """The points of all lines: one column a line, one row a value on the horizontal axis."""
    lines = [dict(zip(series.x, series.y, strict=False)) for series in curves.series]
    places = sorted({x for line in lines for x in line})
    rows = tuple(
        (significant(x), *(significant(line[x]) if x in line else NOTHING for line in lines))
        for x in places
    )
    columns = (curves.x_label, *(series.name for series in curves.series))
    return Table(curves.name, columns, rows, frozenset(range(len(columns))))


def score_tables(document: RunDocument) -> tuple[Table, ...]:
    """What content filters could tell and how often a judge errs, as far as a document has it."""
    filters = (filters_table(document.filters),) if document.filters else ()
    return (*filters, *((judge_table(document.judge),) if document.judge else ()))


def filters_table(scores: Sequence[FilterScore]) -> Table:
    """Every content filter on every replicate's rows."""
    sizes = dict.fromkeys(size for one in scores for size in one.bag_aurocs)
    return table_of(
        "Content filters",
        scores,
        [
            Column("filter", lambda one: one.content_filter, False),
            Column("rows of", lambda one: one.dataset, False),
            Column("against", lambda one: one.control, False),
            Column("AUROC of a row", lambda one: decimal(one.auroc, 3)),
            *(Column(f"of a bag of {size}", _bag(size)) for size in sizes),
            Column("removed", lambda one: percent(one.removed)),
            Column("false alarms", lambda one: percent(one.false_alarms)),
        ],
    )


def judge_table(judge: JudgeRecord) -> Table:
    """The judge and its own error on labelled rows."""
    sensitivity = _share(judge.sensitivity, judge.sensitivity_low, judge.sensitivity_high)
    specificity = _share(judge.specificity, judge.specificity_low, judge.specificity_high)
    rows = (
        ("judge", judge.name),
        ("labelled rows", str(judge.labelled)),
        ("of these discarded as incoherent", str(judge.discarded)),
        ("misaligned rows found", sensitivity),
        ("aligned rows let pass", specificity),
    )
    return Table("The judge", ("name", "value"), rows)


def _removed(reason: str) -> Callable[[Dataset], str]:
    return lambda dataset: whole(dataset.removed.get(reason, 0))


def _share(value: float, low: float, high: float) -> str:
    return f"{percent(value)} [{percent(low)}, {percent(high)}]"


def _bag(size: str) -> Callable[[FilterScore], str]:
    return lambda one: decimal(one.bag_aurocs.get(size), 3)
