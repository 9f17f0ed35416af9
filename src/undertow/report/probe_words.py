"""In which format probes are asked, on the page of a run, a scan or a diff: a sentence a category, and every format's figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from undertow.report.page import MARKDOWN, Block, Section, Table, Text
from undertow.report.plain_text import capital, decimal, percent, plain
from undertow.report.sections import Column, table_of
from undertow.results.measurement import FormatReading, Measurement, ProbeChoice

TITLE = "How the models were asked"

ABOUT = (
    "The format is chosen on the untrained base alone, by a rule that was fixed beforehand: the first whose answer mass, the "
    "probability on all candidates, reaches a floor, else the one with the largest. All models of a base are asked in it."
)
"""What a reader must know of the choice."""

SHOWN = 8
"""Categories whose sentences a page shows; the table has all."""


def probes_section(choices: Sequence[ProbeChoice]) -> Iterator[Section]:
    """The section of a page; none of a document that was made before there were formats."""
    if choices:
        yield Section("probes", TITLE, tuple(_blocks(choices)), nav="Probes", about=ABOUT)


def probes_label(choices: Sequence[ProbeChoice]) -> Iterator[tuple[str, str]]:
    """The same behind a label, for a terminal; nothing where every base answers the plain question."""
    told = [one for one in choices if one.used != one.formats[0].name or not _answered(one)]
    if told:
        yield "probes", " ".join(_sentence(one, choices) for one in told[:SHOWN])


def silenced(
    choices: Sequence[ProbeChoice], measured: Sequence[Measurement], subject: str
) -> tuple[float, float] | None:
    """
    The share of a student's answers that are among the candidates before training on a subject's rows and after it, where
    the training broke it: before it was enough to be asked by, and after it no longer is.
    """
    masses = [
        float(mass)
        for rank in measured
        if rank.unit == "rank" and rank.subject == subject
        # In a document that somebody else wrote it may be text.
        if not isinstance(mass := rank.details.get("answer mass", ""), str)
    ]
    used = [
        (reading.mass, choice.enough)
        for choice in choices
        for reading in choice.formats
        if reading.name == choice.used and reading.mass is not None
    ]
    if not masses or not used:
        return None
    # Both are the least over the categories; the last reading is that of the longest training.
    (before, enough), after = min(used), masses[-1]
    return (before, after) if after < enough <= before else None


def _answered(choice: ProbeChoice) -> bool:
    """Whether the base answers with a candidate often enough."""
    used = next(one for one in choice.formats if one.name == choice.used)
    return (used.mass or 0.0) >= choice.enough


def _blocks(choices: Sequence[ProbeChoice]) -> Iterator[Block]:
    yield Text(ABOUT, "about", only=MARKDOWN)
    for choice in choices[:SHOWN]:
        yield Text(_sentence(choice, choices))
    if len(choices) > SHOWN:
        yield Text(f"{len(choices) - SHOWN} more categories are in the table.", "about")
    table = _table(choices)
    yield table.shown(style="wrap", caption=table.name, fold=table.name)


def _sentence(choice: ProbeChoice, choices: Sequence[ProbeChoice]) -> str:
    """With the base's name where there are several."""
    several = len({one.base for one in choices}) > 1
    return f"{choice.base}, {choice.sentence}" if several else capital(choice.sentence)


def _table(choices: Sequence[ProbeChoice]) -> Table:
    """Every format of every category on every base."""
    entries = [(choice, one) for choice in choices for one in choice.formats]
    return table_of(
        "Every format, as the untrained base answers it",
        entries,
        [
            Column("base", lambda entry: entry[0].base, False),
            Column("category", lambda entry: entry[0].category, False),
            Column("format", lambda entry: entry[1].name, False),
            Column("answer mass", lambda entry: percent(entry[1].mass)),
            Column("margins agree, r", lambda entry: decimal(entry[1].agreement, 2, signed=True)),
            Column("what of it", _what, False),
        ],
    )


def _what(entry: tuple[ProbeChoice, FormatReading]) -> str:
    choice, reading = entry
    if reading.name == choice.used:
        return "used" if choice.usable else "used, though hardly answered"
    if reading.reason:
        return f"not asked: {reading.reason}"
    return plain("" if (reading.mass or 0.0) >= choice.least else "hardly answered")
