"""A lineage in words and tables, the same in every format."""

from __future__ import annotations

from undertow.report import numbers
from undertow.report.table import Column, Table, table_of
from undertow.results.lineage import LineageDocument, Related, Relation
from undertow.results.measurement import Measurement, Verdict

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
GLOSSARY = {
    "unit": "one hidden unit of a feed-forward layer: what goes into it and what comes out of it",
    "z": "how many standard deviations the fit of units at the same place lies above that of any other order of them",
    "hidden channel": "traits carried by data that say nothing about them; it needs a shared initialisation",
    "ordinary channel": "traits carried by what rows openly say, or by what was preferred; it needs none",
    "detectable": "the smallest mean cosine of aligned units that would have been seen with 99 % power",
}


def error_rate(document: LineageDocument) -> str:
    """What the tests' level means."""
    odds = numbers.percent(1 - document.level, 1)
    return f"Each test takes an unrelated pair for a related one with a chance of {odds}."


def power(one: Related) -> str:
    """What would have been seen of a teacher without evidence."""
    if one.relation != "none" or one.detectable is None:
        return ""
    seen = numbers.decimal(one.detectable, 3)
    return f"A common start that left aligned units a mean cosine of {seen} would have been seen with 99 % power."


def teachers_table(document: LineageDocument) -> Table:
    """One row a teacher, the riskiest first."""
    return table_of(
        "Teachers, the riskiest first",
        document.teachers,
        [
            Column("teacher", lambda one: one.teacher, False),
            Column("relation", lambda one: RELATIONS[one.relation], False),
            Column("p", lambda one: small(one.p)),
            Column("hidden channel", lambda one: one.hidden_channel, False),
            Column("ordinary channel", lambda one: one.ordinary_channel, False),
        ],
    )


def measurements_table(document: LineageDocument) -> Table:
    """Everything that was measured."""
    return table_of(
        "Measurements",
        document.measurements,
        [
            Column("teacher", lambda one: one.subject, False),
            Column("check", lambda one: one.check, False),
            Column("what", lambda one: numbers.plain(one.name), False),
            Column("estimate", lambda one: numbers.decimal(one.estimate, 3)),
            Column("p", lambda one: small(one.p)),
            Column("unit", lambda one: numbers.plain(one.unit), False),
            Column("n", lambda one: numbers.plain(one.n), False),
            Column("reading", lambda one: numbers.plain(one.reason), False),
        ],
    )


def details_table(document: LineageDocument) -> Table:
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
    )


def facts(document: LineageDocument) -> dict[str, str]:
    """What identifies the result and what it cost."""
    return {
        "student": document.student,
        "student, SHA-256": numbers.plain(document.student_digest),
        **{f"{one.teacher}, SHA-256": numbers.plain(one.digest) for one in document.teachers},
        "seed": str(document.seed),
        "wall time": numbers.duration(document.wall_seconds),
        "peak memory": numbers.memory(document.peak_memory_mb),
    }


def small(p: float | None) -> str:
    """A p-value by its power of ten where it is small."""
    if p is None or p >= 0.001:
        return numbers.p_value(p)
    return numbers.significant(p, 2) if p > 1e-250 else "< 10⁻²⁵⁰"


def _named(one: Measurement) -> str:
    return ", ".join(part for part in (one.check, one.name) if part)


def _value(value: float | int | str) -> str:
    return numbers.significant(float(value), 3) if isinstance(value, int | float) else value
