"""A page says in which format its probes were asked, and what the base made of each."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from undertow.report.page import Table, Text
from undertow.report.probe_words import probes_label, probes_section, silenced
from undertow.results.measurement import FormatReading, Measurement, ProbeChoice


def choice(base: str, mass: float) -> ProbeChoice:
    """Of two formats, the second of which is used; a third cannot be asked."""
    return ProbeChoice(
        base=base,
        category="animal",
        used="examples",
        usable=mass >= 0.05,
        enough=0.5,
        least=0.05,
        formats=(
            FormatReading(name="question", mass=0.012),
            FormatReading(name="examples", mass=mass),
            FormatReading(name="completion", reason="the tokenizer has no token for 'colour'"),
        ),
        sentence="animal: asked by the format 'examples'.",
    )


def table_of(*choices: ProbeChoice) -> Table:
    """The section's table."""
    [section] = probes_section(choices)
    return next(block for block in section.blocks if isinstance(block, Table))


def test_every_format_has_a_row() -> None:
    """With its mass, that it is used, hardly answered, or why it was not asked."""
    rows = table_of(choice("b", 0.3)).rows

    assert [row[-1] for row in rows] == [
        "hardly answered",
        "used",
        "not asked: the tokenizer has no token for 'colour'",
    ]
    assert "1.2\N{NO-BREAK SPACE}%" in rows[0]


def test_a_format_that_is_used_for_want_of_a_better_is_called_so() -> None:
    """Below the lower floor."""
    assert table_of(choice("b", 0.01)).rows[1][-1] == "used, though hardly answered"


def test_bases_are_named_where_there_are_several() -> None:
    """In the sentences; a single one is the page's subject."""
    [one], [both] = probes_section([choice("b", 0.3)]), probes_section([choice("b", 0.3), choice("c", 0.3)])  # fmt: skip
    texts = [
        [str(t.phrase) for t in part.blocks if isinstance(t, Text) and not t.style]
        for part in (one, both)
    ]

    assert texts[0] == ["Animal: asked by the format 'examples'."]
    assert texts[1][1] == "c, animal: asked by the format 'examples'."


def test_a_terminal_hears_of_it_where_the_plain_question_does_not_do() -> None:
    """And of nothing where it does, or in documents from before."""
    plain = choice("b", 0.3).model_copy(
        update={"used": "question", "formats": (FormatReading(name="question", mass=0.99),)}
    )

    assert list(probes_label([plain])) == [] == list(probes_section([]))
    assert [label for label, _ in probes_label([choice("b", 0.3)])] == ["probes"]


def test_a_mass_that_is_text_is_no_mass() -> None:
    """In a document from elsewhere: nothing is said of it, and nothing breaks."""
    rank = Measurement(
        check="rehearsal",
        name="stage 1",
        subject="all",
        unit="rank",
        details={"answer mass": "\ufeff"},
    )
    low = rank.model_copy(update={"details": {"answer mass": 0.1}})

    assert silenced([choice("b", 0.7)], [rank], "all") is None
    assert silenced([choice("b", 0.7)], [rank, low], "all") == (0.7, 0.1)


def test_a_choice_is_one_of_its_formats() -> None:
    """A document whose probes are asked in a format that it does not hold, or that holds none, is no document."""
    whole = choice("b", 0.7).model_dump()
    for broken in (whole | {"formats": ()}, whole | {"used": "rhyme"}):
        with pytest.raises(ValidationError, match="and the formats are"):
            ProbeChoice.model_validate(broken)
