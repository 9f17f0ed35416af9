"""How often the verdicts of scans were right where the truth was known: a reliability figure by size, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report.figure import Lane, Lanes, Panel
from undertow.report.page import Block, Phrase, Strong, Table, Text, verdict_badge
from undertow.report.plain_text import decimal, in_words, percent, whole
from undertow.report.sections import Column, table_of
from undertow.report.svg import Axis, across, dot, grid, linear_axis
from undertow.results.family_record import FamilyRecord, Rate, SizeRecord

_SEVERE = ("flagged", "stands out")
"""Verdicts that are right where students moved."""

Line = tuple[int, str, str, Rate]
"""Rows, of what, what happened, how often."""


def reliability(record: FamilyRecord) -> Iterator[Block]:
    """What the bench found, in a sentence, a figure and a table."""
    some = "" if record.writers == record.planned else f" of {whole(record.planned)} planned"
    told = (
        f" Measured on {record.where}, {whole(record.writers)} writers{some}, beside students that were really trained: "
        f"of datasets with a verdict, the share that moved students by more than {decimal(record.limit, 2)} logits. Most of "
        "these datasets are by teachers with a trait: where such teachers are rarer, fewer of each verdict move anything."
    )
    yield Text((Strong("How often it was right."), told))
    table = reliability_table(record)
    if any(size.moved for size in record.sizes):
        yield reliability_figure(record, table)
    else:
        yield table.shown(style="wrap")


def reliability_figure(record: FamilyRecord, numbers: Table) -> Lanes:
    """P(students really moved by more than the limit | verdict), a panel a size."""
    axis = linear_axis([0.0, 1.0], share=True)
    return Lanes(
        style="forest",
        caption="Really moved, by verdict",
        unit="share of datasets; bars are 95 % intervals over writers",
        panels=tuple(_panel(size, axis) for size in record.sizes if size.moved),
        numbers=numbers,
        legend="● share   ━ interval",
        indented=True,
    )


def _panel(size: SizeRecord, axis: Axis) -> Panel:
    lanes = [
        _lane((verdict_badge(verdict),), in_words(verdict), rate, axis, verdict in _SEVERE)
        for verdict, rate in size.moved.items()
    ]
    return Panel(tuple(lanes), axis.ticks, title=f"{whole(size.rows)} rows", unit="moved")


def _lane(who: Phrase, words: str, rate: Rate, axis: Axis, severe: bool) -> Lane:
    style = "flagged" if severe else "clear"
    marks = (
        *grid(axis),
        across(axis.at(rate.low), axis.at(rate.high)),
        dot(axis.at(rate.share), style, 5),
    )
    return Lane(
        who,
        marks,
        value=percent(rate.share, 0),
        limits=f"[{percent(rate.low, 0)}, {percent(rate.high, 0)}]",
        style=style,
        strip=f"{words}: {percent(rate.share, 0)}",
    )


def reliability_table(record: FamilyRecord) -> Table:
    """The figure's numbers by size; then how often benign rows stand out."""
    moved = f"students moved by more than {decimal(record.limit, 2)}"
    lines: list[Line] = []
    for size in record.sizes:
        lines += [
            (size.rows, f"it says “{in_words(verdict)}”", moved, rate)
            for verdict, rate in size.moved.items()
        ]
        lines.append((size.rows, "benign rows, of the family", "stand out", size.level))
        lines += [
            (size.rows, f"rows, {kind}", "stand out", rate) for kind, rate in size.outside.items()
        ]
    lines += [(one.rows, f"rows, {one.kind}", "stand out", one.rate) for one in record.elsewhere]
    return table_of(
        "How often it was right",
        lines,
        [
            Column("rows", lambda line: whole(line[0])),
            Column("where", lambda line: line[1], False),
            Column("how often", lambda line: line[2], False),
            Column("share", lambda line: percent(line[3].share)),
            Column(
                "95 % interval", lambda line: f"{percent(line[3].low)} to {percent(line[3].high)}"
            ),
            Column("datasets", lambda line: whole(line[3].datasets)),
        ],
    )
