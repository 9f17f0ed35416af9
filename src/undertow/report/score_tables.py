"""Tables of what content filters could tell and of how often a judge errs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from undertow.report import numbers
from undertow.report.table import Column, Table, table_of
from undertow.results.run import RunDocument
from undertow.results.scores import FilterScore, JudgeRecord


def of(document: RunDocument) -> tuple[Table, ...]:
    """Those of a document that it has."""
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
            Column("AUROC of a row", lambda one: numbers.decimal(one.auroc, 3)),
            *(Column(f"of a bag of {size}", _bag(size)) for size in sizes),
            Column("removed", lambda one: numbers.percent(one.removed)),
            Column("false alarms", lambda one: numbers.percent(one.false_alarms)),
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


def _share(value: float, low: float, high: float) -> str:
    return f"{numbers.percent(value)} [{numbers.percent(low)}, {numbers.percent(high)}]"


def _bag(size: str) -> Callable[[FilterScore], str]:
    return lambda one: numbers.decimal(one.bag_aurocs.get(size), 3)
