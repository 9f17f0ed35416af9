"""The page of a lineage: whether models began as one network, in every format."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from undertow.report.check_page import log_of
from undertow.report.figure import Lane, Lanes, Panel, Pointer
from undertow.report.page import (
    HTML,
    MARKDOWN,
    Badge,
    Block,
    Finding,
    FindingLog,
    Gap,
    Heading,
    Labels,
    Lead,
    Mono,
    Name,
    Page,
    Phrase,
    Point,
    Questions,
    Remark,
    Section,
    Strong,
    Table,
    Text,
)
from undertow.report.plain_text import (
    decimal,
    p_value,
    percent,
    plain,
    significant,
    visible,
)
from undertow.report.sections import (
    Column,
    cost,
    cost_facts,
    limits_section,
    reproduction,
    table_of,
    words_section,
)
from undertow.report.svg import Axis, band, dot, grid, linear_axis
from undertow.results.measurement import Measurement, Verdict
from undertow.results.model_documents import LineageDocument, Related, Relation

RELATIONS: dict[Relation, str] = {
    "same": "same initialisation",
    "disguised": "same initialisation, permuted or rotated",
    "none": "no evidence of a common start",
    "unknown": "not measured",
}
BADGES: dict[Verdict, str] = {
    "flagged": "shared start",
    "clear": "no evidence",
    "undecided": "unknown",
    "error": "error",
    "skipped": "skipped",
    "not_applicable": "not applicable",
}
LINEAGE_GLOSSARY: dict[str, Phrase] = {
    "unit": "one hidden unit of a feed-forward layer: what goes into it and what comes out of it",
    "z": "how many standard deviations the fit of units at the same place lies above that of any other order of them",
    "hidden channel": "traits carried by data that say nothing about them; it needs a shared initialisation",
    "ordinary channel": "traits carried by what rows openly say, or by what was preferred; it needs none",
    "detectable": "the smallest mean cosine of aligned units that would have been seen with 99 % power",
}

_LEAST = 12.0
"""Largest z that the axis reaches at least, so that noise is drawn as noise."""

_RULE = "lineage-weights"
_LEVELS = {"flagged": "warning", "undecided": "warning"}
"""A shared start is a risk, not a defect."""


def lineage_page(document: LineageDocument) -> Page:
    """The page of a lineage."""
    verdict, student = BADGES[document.verdict], Name(document.student)
    teachers = "these teachers" if len(document.teachers) > 1 else "this teacher"
    return Page(
        document=document,
        id="lineage",
        verb="lineage",
        subject=student,
        window=f"{verdict}: {document.student}",
        title=(f"Did {teachers} and ", student, " begin as one network?"),
        badge=Badge(verdict, document.verdict),
        conclusion=document.conclusion,
        point=_point(document),
        lead=_lead(document),
        sections=tuple(_sections(document)),
        brief=tuple(_brief(document)),
        findings=_findings(document),
    )


def _point(document: LineageDocument) -> Point:
    """A lineage in five seconds."""
    first = document.teachers[0]
    scan = f"undertow scan DATA --student {shlex.quote(document.student)}"
    todo, typed, _ = document.advice.partition(": undertow scan")
    if typed:
        todo, scan = f"{todo}.", f"{scan} --teacher {shlex.quote(first.teacher)}"
    count = len(document.teachers)
    compared = f"{count} teacher{'' if count == 1 else 's'} compared"
    sure = tuple(part for part in (_error_rate(document), _power(first)) if part)
    return Point(_told(document), todo, scan, sure, (compared, cost(document, document.seed)))


def _told(document: LineageDocument) -> str:
    """The verdict in one sentence."""
    teachers, student = document.teachers, document.student
    shared = sum(one.relation in ("same", "disguised") for one in teachers)
    if len(teachers) > 1 and shared:
        return f"{shared} of {len(teachers)} teachers began as one network with {student}."
    who = teachers[0].teacher if len(teachers) == 1 else f"any of {len(teachers)} teachers"
    return {
        "same": f"{who} and {student} began as one network.",
        "disguised": f"{who} and {student} began as one network; one of them was disguised since.",
        "none": f"Nothing shows that {who} and {student} began as one network.",
        "unknown": f"Whether {who} and {student} began as one network is not known.",
    }[teachers[0].relation]


def _lead(document: LineageDocument) -> Lead:
    first = document.teachers[0]
    hidden = "traits in data that say nothing about them; needs a shared initialisation"
    return Lead(
        fit_figure(document) or Text("No weights were compared.", "about"),
        (
            Questions(
                (
                    ("Hidden channel", Strong(first.hidden_channel), hidden),
                    ("Ordinary channel", Strong(first.ordinary_channel), ""),
                )
            ),
        ),
        style="facts",
    )


def _sections(document: LineageDocument) -> Iterator[Block]:
    yield Text(("Student: ", Mono(document.student), "."), only=MARKDOWN)
    teachers = _teachers_table(document)
    powers = [
        Text((Mono(one.teacher), ": ", _power(one)), "about")
        for one in document.teachers
        if _power(one)
    ]
    yield Section(
        "teachers",
        teachers.name,
        (teachers, *powers),
        titled=HTML,
        nav="Teachers",
        open=len(document.teachers) > 1,
    )
    details = _details_table(document)
    measured = (
        _measurements_table(document),
        details.shown(caption=details.name, fold=details.name),
    )
    yield Section("measured", "What was measured", measured, nav="What was measured")
    yield limits_section(document.limits)
    yield reproduction(document, "Lineage", _facts(document), machine=HTML)
    yield words_section(LINEAGE_GLOSSARY)


def _brief(document: LineageDocument) -> Iterator[Block]:
    first = document.teachers[0]
    if len(document.teachers) > 1:
        teachers = _teachers_table(document)
        yield Heading(teachers.name)
        yield teachers.without("ordinary channel")
    yield Heading("What was measured")
    yield _measurements_table(document).without("n", "unit")
    yield Gap()
    power = _power(first)
    labels = (
        ("hidden channel", first.hidden_channel),
        ("ordinary channel", first.ordinary_channel),
        *((("power", power),) if power else ()),
        ("error rate", _error_rate(document)),
        ("limits", " ".join(document.limits)),
        ("again", document.command),
        ("", cost(document, document.seed)),
    )
    yield Labels(labels, width=17)


def _findings(document: LineageDocument) -> FindingLog:
    """One finding for each teacher whose start is shared or unknown."""
    results = (
        _finding(document, teacher) for teacher in document.teachers if teacher.verdict in _LEVELS
    )
    return log_of(document, _RULE, results, {"student": visible(document.student)})


def _finding(document: LineageDocument, related: Related) -> Finding:
    told = f"{RELATIONS[related.relation]}: '{related.teacher}': {related.reason}"
    return Finding(
        _RULE,
        _LEVELS[related.verdict],
        f"{told}. Hidden channel: {related.hidden_channel}.",
        document.student,
        (document.student, related.teacher),
        properties={
            "teacher": visible(related.teacher),
            "relation": related.relation,
            "p": related.p,
            "detectable": related.detectable,
        },
    )


def _error_rate(document: LineageDocument) -> str:
    """What the tests' level means."""
    odds = percent(1 - document.level, 1)
    return f"Each test takes an unrelated pair for a related one with a chance of {odds}."


def _power(related: Related) -> str:
    """What would have been seen of a teacher without evidence."""
    if related.relation != "none" or related.detectable is None:
        return ""
    seen = decimal(related.detectable, 3)
    return f"A common start that left aligned units a mean cosine of {seen} would have been seen with 99 % power."


def _teachers_table(document: LineageDocument) -> Table:
    """One row a teacher, the riskiest first."""
    return table_of(
        "Teachers, the riskiest first",
        document.teachers,
        [
            Column("teacher", lambda one: one.teacher, False),
            Column("relation", lambda one: RELATIONS[one.relation], False),
            Column("p", lambda one: _small(one.p)),
            Column("hidden channel", lambda one: one.hidden_channel, False),
            Column("ordinary channel", lambda one: one.ordinary_channel, False),
        ],
    ).shown(style="wrap")


def _measurements_table(document: LineageDocument) -> Table:
    """Everything that was measured."""
    return table_of(
        "Measurements",
        document.measurements,
        [
            Column("teacher", lambda one: one.subject, False),
            Column("check", lambda one: one.check, False),
            Column("what", lambda one: plain(one.name), False),
            Column("estimate", lambda one: decimal(one.estimate, 3)),
            Column("p", lambda one: _small(one.p)),
            Column("unit", lambda one: plain(one.unit), False),
            Column("n", lambda one: plain(one.n), False),
            Column("reading", lambda one: plain(one.reason), False),
        ],
    ).shown(style="wrap")


def _details_table(document: LineageDocument) -> Table:
    """Further numbers of each measurement."""
    rows = [(one, *entry) for one in document.measurements for entry in one.details.items()]
    return table_of(
        "Further numbers",
        rows,
        [
            Column("teacher", lambda row: row[0].subject, False),
            Column("check", lambda row: _named(row[0]), False),
            Column("what", lambda row: row[1], False),
            Column("value", lambda row: _value(row[2])),
        ],
    ).shown(style="wrap")


def _facts(document: LineageDocument) -> dict[str, str]:
    """What identifies the result and what it cost."""
    return {
        "student": document.student,
        "student, SHA-256": plain(document.student_digest),
        **{f"{one.teacher}, SHA-256": plain(one.digest) for one in document.teachers},
        "seed": str(document.seed),
        **cost_facts(document),
    }


def _small(p: float | None) -> str:
    """A p-value by its power of ten where it is small."""
    if p is None or p >= 0.001:
        return p_value(p)
    return significant(p, 2) if p > 1e-250 else "< 10⁻²⁵⁰"


def _named(measurement: Measurement) -> str:
    return ", ".join(part for part in (measurement.check, measurement.name) if part)


def _value(value: float | int | str) -> str:
    return significant(float(value), 3) if isinstance(value, int | float) else value


def fit_figure(document: LineageDocument) -> Lanes | None:
    """How well the units of each layer fit, against what unrelated networks do; None where none was compared."""
    from undertow.stats.interval import normal_quantile

    measured = [one for one in document.teachers if one.layers]
    if not measured:
        return None
    # 99.9 % of the layers of unrelated networks lie within.
    bound = normal_quantile(0.9995)
    values = [layer.z for one in measured for layer in one.layers]
    axis = linear_axis([*values, -bound, bound, _LEAST])
    pointer = Pointer(axis.at(bound), "← unrelated networks lie in the band")
    return Lanes(
        style="fit",
        caption="How well the hidden units fit one by one",
        unit="a dot a layer, in standard deviations of the null",
        panels=(
            Panel(
                tuple(_lane(one, axis, bound) for one in measured), axis.ticks, pointers=(pointer,)
            ),
        ),
    )


def _lane(related: Related, axis: Axis, bound: float) -> Lane:
    low = axis.at(-bound)
    unrelated = band(low, max(axis.at(bound), low + 0.4), "null")
    dots = (dot(axis.at(layer.z), "layer", 5.5) for layer in related.layers)
    who = (Name(related.teacher), Remark(RELATIONS[related.relation]))
    return Lane(who, (*grid(axis), unrelated, *dots), style=related.verdict)
