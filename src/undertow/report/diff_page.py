"""The page of a diff: what the tuning changed, in every format."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from undertow.report.check_page import log_of
from undertow.report.figure import Lane, Lanes, Panel
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
    Section,
    Strong,
    Table,
    Text,
    key_sign,
)
from undertow.report.plain_text import (
    NOTHING,
    decimal,
    in_words,
    interval,
    p_value,
    plain,
    significant,
    visible,
)
from undertow.report.probe_words import probes_label, probes_section
from undertow.report.sections import (
    Column,
    again,
    cost,
    cost_facts,
    limits_section,
    reproduction,
    table_of,
    words_section,
)
from undertow.report.svg import Axis, Mark, across, band, circle, dot, grid, linear_axis, upright
from undertow.results.model_documents import Change, DiffDocument
from undertow.results.scan_document import Moved
from undertow.stats import designs

INFERENCE = {
    "answers": "These intervals are about this model’s answers, over questions. They say nothing about its data, or about another run: give several tuned models, or controls.",
    "run": "These intervals hold this model against benign fine-tunes of the same base, as one more run of theirs (parametric).",
    "runs": "These intervals are about training runs like these, over runs: on the same rows, unless each learned from its own.",
}
DIFF_GLOSSARY: dict[str, Phrase] = {
    "change": "tuned minus base, question by question, in logits of the trait’s answer",
    "transfer": "tuned minus control: what a benign fine-tune of the same base would not have done",
    "control": "a benign fine-tune of the same base; of those that learned from the same rows one counts",
    "intended": (
        "a change that was asked for (",
        Mono("--intended"),
        "); it is shown and never flagged",
    ),
    "flagged": "the interval, corrected for the number of traits, lies beyond the limit",
    "clear": "the interval lies within the limit",
}

_DRAWN = 16
"""Traits that the figure shows."""
_BRIEF_ROWS = 10
_RULE = "diff-behaviour"
_LEVELS = {"flagged": "error", "undecided": "warning"}


def diff_page(document: DiffDocument) -> Page:
    """The page of a diff."""
    verdict, tuned = in_words(document.verdict), ", ".join(document.tuned)
    return Page(
        document=document,
        id="diff",
        verb="diff",
        subject=(Name(document.base), " → ", Name(tuned)),
        window=f"{document.verdict}: {tuned}",
        title="What did the tuning change that nobody asked for?",
        badge=Badge(verdict, document.verdict),
        conclusion=document.conclusion,
        point=_point(document),
        lead=_lead(document),
        sections=tuple(_sections(document)),
        brief=tuple(_brief(document)),
        findings=_findings(document),
    )


def _point(document: DiffDocument) -> Point:
    """A diff in five seconds."""
    unasked = [one for one in document.changes if not one.intended]
    verdict, todo, command, sure = _told(document, unasked)
    asked_for = len(document.changes) - len(unasked)
    compared = f"{len(document.changes)} {_what(document)}s compared, {asked_for} of them asked for"
    beside = held_against(document).rstrip(".") or "no controls"
    facts = (compared, beside, cost(document, document.seed))
    return Point(verdict, todo, command, (sure, INFERENCE[document.inference]), facts)


def _told(document: DiffDocument, unasked: list[Change]) -> tuple[str, str, str, str]:
    """The verdict, what to do, what to type for it, and how sure it is."""
    what, limit = _what(document), f"{decimal(document.limit, 2)} {document.unit}"
    of_100 = significant(100 * (1 - document.level), 3)
    wrong = f"Wrong in at most {of_100} of 100 such comparisons:"
    read = ("Read the answers of both logs where the score moved.", document.command)
    logs = document.unit != "logits"
    if flagged := [one for one in unasked if one.verdict == "flagged"]:
        names = ", ".join(f"“{one.trait}”" for one in flagged[:3])
        more = f" and {len(flagged) - 3} more {what}s" if len(flagged) > 3 else ""
        asked = "".join(f" --traits {shlex.quote(one.trait)}" for one in flagged[:3])
        scan = f"undertow scan DATA --student {shlex.quote(document.base)}{asked}"
        find = ("Do not release it yet: find which of its training rows do this.", scan)
        low, high = (decimal(end, 2, signed=True) for end in (flagged[0].low, flagged[0].high))
        moved = f"“{flagged[0].trait}” moved by {low} to {high}, beyond the limit of {limit}."
        told = f"The tuning changed {names}{more}, though nobody asked for it."
        return told, *(read if logs else find), f"{wrong} {moved}"
    if document.verdict == "clear":
        verdict = f"The tuning changed none of {len(unasked)} {what}s that nobody asked for by more than the limit."
        sign = again(document.command, "--out", "DIR", "--sign", "KEY.pem", without=["--out"])
        todo = "Nothing more is asked of it; sign the result where others rely on it."
        held = f"{wrong} no {what} moved by more than {limit} up or down."
        return verdict, todo, sign, held
    if document.verdict == "undecided":
        left = f"{sum(one.verdict == 'undecided' for one in unasked)} of {len(unasked)}"
        controls = again(document.command, "--control", "CLEAN.jsonl", "--students", "19")
        compare = ("Do not release it yet: compare it with more benign fine-tunes.", controls)
        verdict = "Whether the tuning changed what nobody asked for cannot be said yet."
        sure = f"It may go either way: {left} intervals hold the limit of {limit}."
        return verdict, *(read if logs else compare), sure
    return "Nothing was compared that nobody asked for.", *read, ""


def _lead(document: DiffDocument) -> Lead:
    reason = document.searched.removeprefix("not searched: ")
    none = "nothing was found" if reason == document.searched else "not searched"
    names = ", ".join(one.name for one in document.moved[:4]) or none
    return Lead(
        change_figure(document) or Text("No answers were compared.", "about"),
        (Questions((("What nobody named", Strong(names), reason),)),),
        style="facts",
    )


def _sections(document: DiffDocument) -> Iterator[Block]:
    tuned = [part for ref in document.tuned for part in (", ", Mono(ref))][1:]
    yield Text(("Base: ", Mono(document.base), "; tuned: ", *tuned, "."), only=MARKDOWN)
    about = f"{INFERENCE[document.inference]} {held_against(document)}".strip()
    yield Text(about, only=MARKDOWN)
    if document.changes:
        changes = _changes_table(document)
        yield Section("changes", changes.name, (changes,), titled=HTML, nav="Changes")
    yield from probes_section(document.probes)
    moved = (_moved_table(document.moved),) if document.moved else ()
    searched, unnamed = Text(document.searched, "about"), "What nobody named"
    yield Section("moved", unnamed, (searched, *moved), nav=unnamed)
    yield Section("evidence", "Evidence", tuple(_evidence(document)), nav="Evidence")
    yield limits_section(document.limits)
    yield reproduction(document, "Diff", _facts(document), machine=HTML)
    yield words_section(DIFF_GLOSSARY)


def _evidence(document: DiffDocument) -> Iterator[Block]:
    yield _measurements_table(document)
    if spelling := _spelling(document):
        yield Text(("The shift of activations spells: ", Name(spelling)), "about")


def _brief(document: DiffDocument) -> Iterator[Block]:
    yield Text(f"{INFERENCE[document.inference]} {held_against(document)}".strip())
    table = _changes_table(document)
    yield Heading(table.name)
    yield _shortest(table.without("category"))
    if rest := len(document.changes) - _BRIEF_ROWS:
        yield Text(f"{rest} more below these" if rest > 0 else "", "about")
    yield Heading(f"Open search: {document.searched}")
    if document.moved:
        yield _shortest(_moved_table(document.moved))
    elif not document.searched.startswith("not searched"):
        yield Text("nothing else was found to move")
    yield Heading("Evidence")
    yield _measurements_table(document).without("unit")
    yield Gap()
    labels = (
        *((("spelled", spelling),) if (spelling := _spelling(document)) else ()),
        *probes_label(document.probes),
        ("limits", " ".join(document.limits)),
        ("again", document.command),
        ("", cost(document, document.seed)),
    )
    yield Labels(labels, width=13)


def _shortest(table: Table) -> Table:
    return table.shown(rows=table.rows[:_BRIEF_ROWS])


def held_against(document: DiffDocument) -> str:
    """How many controls there are, how many of them count, and the least p by rank that they allow."""
    students, count = len(document.controls), document.draws
    if not students or count is None:
        return ""
    many = f"{students} control{'' if students == 1 else 's'}"
    rows = f"{count} independent draw{'' if count == 1 else 's'} of rows"
    least = designs.in_words(1 / (count + 1))
    return f"Controls: {many}, {rows}; no p by rank is below {least}."


def _findings(document: DiffDocument) -> FindingLog:
    """One finding for each trait that moved, or may have moved, though nobody asked for it."""
    results = (
        _finding(document, change)
        for change in document.changes
        if change.verdict in _LEVELS and not change.intended
    )
    about = {"base": visible(document.base), "inference": document.inference}
    return log_of(document, _RULE, results, about)


def _finding(document: DiffDocument, change: Change) -> Finding:
    moved = (
        f"{decimal(change.estimate, 2, signed=True)} {interval(change.low, change.high, 'logits')}"
    )
    return Finding(
        _RULE,
        _LEVELS[change.verdict],
        f"{change.verdict}: '{change.trait}': {_kind(document)} {moved}, in {document.unit}.",
        document.tuned[0],
        (document.base, list(document.tuned), change.trait),
        properties={
            "trait": visible(change.trait),
            "estimate": change.estimate,
            "low": change.low,
            "high": change.high,
            "limit": document.limit,
        },
    )


def _kind(document: DiffDocument) -> str:
    """What the estimates are: transfer where controls were taken off, else change."""
    return "transfer" if document.controls else "change"


def _what(document: DiffDocument) -> str:
    """What has a row of its own: a trait, or a scorer of a log."""
    return "trait" if document.unit == "logits" else "scorer"


def _changes_table(document: DiffDocument) -> Table:
    """One row a trait, the largest change first."""
    kind = _kind(document)
    return table_of(
        f"{kind.capitalize()} by {_what(document)}, in {document.unit}",
        document.changes,
        [
            Column(_what(document), lambda one: one.trait, False),
            Column("category", lambda one: one.category, False),
            Column(kind, lambda one: decimal(one.estimate, 2, signed=True)),
            Column("interval", lambda one: interval(one.low, one.high, "logits")),
            Column("verdict", _verdict, False),
            Column("base", lambda one: decimal(one.base, 2, signed=True)),
            Column("tuned", lambda one: _several(one.tuned)),
            Column("controls", lambda one: _several(one.controls)),
        ],
    ).shown(style="wrap")


def _verdict(change: Change) -> str:
    """A trait's verdict, or that it was asked for."""
    return "intended" if change.intended else in_words(change.verdict)


def _several(values: tuple[float, ...]) -> str:
    if len(values) < 4:
        return ", ".join(decimal(value, 2, signed=True) for value in values) or NOTHING
    ends = [decimal(value, 2, signed=True) for value in (min(values), max(values))]
    return f"{ends[0]} to {ends[1]} ({len(values)})"


def _moved_table(moved: tuple[Moved, ...]) -> Table:
    """What the open search found."""
    return table_of(
        "What nobody named",
        moved,
        [
            Column("what", lambda one: one.what, False),
            Column("name", lambda one: one.name, False),
            Column("beyond controls", lambda one: decimal(one.estimate, 2, signed=True)),
            Column("unit", lambda one: one.unit, False),
            Column("p, corrected", lambda one: p_value(one.p)),
        ],
    ).shown(style="wrap")


def _measurements_table(document: DiffDocument) -> Table:
    """What the checks of evidence measured."""
    return table_of(
        "Evidence",
        [one for one in document.measurements if one.trait is None],
        [
            Column("check", lambda one: one.check, False),
            Column("what", lambda one: plain(one.name), False),
            Column("estimate", lambda one: decimal(one.estimate, 3, signed=True)),
            Column("unit", lambda one: plain(one.unit), False),
            Column("p", lambda one: p_value(one.p)),
            Column("n", lambda one: plain(one.n), False),
            Column("reading", lambda one: plain(one.reason), False),
        ],
    ).shown(style="wrap")


def _spelling(document: DiffDocument) -> str:
    """Tokens that the shift of activations spells."""
    # Where nothing moved, the first tokens of the vocabulary would be spelled.
    moved = (one for one in document.measurements if one.estimate)
    spellings = (one.details.get("spelled") for one in moved)
    return str(next((text for text in spellings if text), ""))


def _facts(document: DiffDocument) -> dict[str, str]:
    """What identifies the result and what it cost."""
    tuned = zip(document.tuned, document.tuned_digests, strict=True)
    return {
        "base": document.base,
        "base, SHA-256": plain(document.base_digest),
        **{f"{ref}, SHA-256": plain(digest) for ref, digest in tuned},
        "controls": str(len(document.controls)),
        "their independent draws of rows": plain(document.draws),
        "seed": str(document.seed),
        **cost_facts(document),
    }


def change_figure(document: DiffDocument) -> Lanes | None:
    """How far each trait moved, beyond the controls where there are any, in every model; None where none was compared."""
    if not document.changes:
        return None
    shown, what = document.changes[:_DRAWN], _what(document)
    axis = _axis(document, shown)
    rest = len(document.changes) - len(shown)
    span = Mark("line", {"class": "span", "x1": 1, "x2": 29, "y1": 7, "y2": 7})
    key: list[Phrase] = [(key_sign(14, 14, circle("t", 7, 7, 5)), "tuned model")]
    if document.controls:
        key.append((key_sign(14, 14, circle("c", 7, 7, 4)), "control: a benign fine-tune"))
    corrected = f"interval, corrected for {len(document.changes)} {what}s"
    key.append((key_sign(30, 14, span), corrected))
    return Lanes(
        style="change",
        caption=f"How far each {what} moved {'beyond the controls' if document.controls else 'from the base'}",
        unit=f"in {document.unit}; shaded: beyond the limit",
        panels=(Panel(tuple(_lane(one, axis, document.limit) for one in shown), axis.ticks),),
        key=tuple(key),
        rest=f"{rest} {what}s that moved less are in the table below." if rest else "",
    )


def _axis(document: DiffDocument, shown: tuple[Change, ...]) -> Axis:
    points = [value - _zero(one) for one in shown for value in (*one.tuned, *one.controls)]
    ends = [end for one in shown for end in (one.low, one.high) if end is not None]
    reach = 2 * max(map(abs, [*points, document.limit]))
    limits = (-1.2 * document.limit, 1.2 * document.limit)
    return linear_axis([*points, *limits, *(min(max(end, -reach), reach) for end in ends)])


def _zero(change: Change) -> float:
    """What no change is held against: the controls' mean, or the base, so that dots, interval and limit are on one scale."""
    return math.fsum(change.tuned) / len(change.tuned) - change.estimate


def _lane(change: Change, axis: Axis, limit: float) -> Lane:
    zero = _zero(change)
    marks = [
        band(0, axis.at(-limit), "zone"),
        band(axis.at(limit), 100, "zone"),
        *grid(axis),
        upright(axis.at(0), "zero"),
        *(dot(axis.at(value - zero), "c", 4) for value in change.controls),
    ]
    if change.low is not None and change.high is not None:
        marks.append(across(axis.at(change.low), axis.at(change.high)))
    marks += [dot(axis.at(value - zero), "t", 5) for value in change.tuned]
    style = "intended" if change.intended else change.verdict
    shown = decimal(change.estimate, 2, signed=True)
    return Lane(Name(change.trait), tuple(marks), shown, style=style)
