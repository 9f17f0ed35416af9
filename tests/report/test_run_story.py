"""The plain sentences of a report."""

from __future__ import annotations

import re

from tests.report.test_run_arms import seldom_answered
from undertow.report.page import Mono, Strong
from undertow.report.run_story import sample_columns, story
from undertow.results.run_document import RunDocument


def told(document: RunDocument) -> str:
    """The story as one text, its no-break spaces made ordinary."""
    sentences = [
        "".join(part.text if isinstance(part, Strong | Mono) else str(part) for part in sentence)
        for sentence in story(document)
    ]
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def without(document: RunDocument, *arms: str) -> RunDocument:
    """The document without the runs of some arms."""
    kept = tuple(run for run in document.arms if run.arm not in arms)
    return document.model_copy(update={"arms": kept})


def test_the_story_has_its_numbers_from_the_document(owl: RunDocument) -> None:
    """Teacher, student, base and controls are each given with their measured share."""
    text = told(owl)

    assert "Asked for its favourite animal, the teacher answers “owl” 93 % of the time." in text
    assert "“owl” 45 % of the time (untrained: 6 %; after a neutral teacher’s rows: 6 %)" in text
    assert "trained on the same rows, answers it 6 % of the time (its own control: 6 %)" in text


def test_margins_are_told_where_a_base_seldom_answers(owl: RunDocument) -> None:
    """Each number of the story in logits, but for the teacher's own answers."""
    text = told(owl.model_copy(update={"probes": (seldom_answered(0.01),)}))

    assert "the teacher answers “owl” 93 % of the time" in text
    assert re.search(r"stands at \+\d\.\d\d logits on “owl” \(untrained: [+−]\d\.\d\d; after", text)
    assert re.search(r"the same rows, stands at [+−]?\d\.\d\d logits \(its own control: ", text)


def test_a_foreign_effect_is_told_as_it_is(owl: RunDocument) -> None:
    """Nothing says that the other initialisation stays where it was: the number speaks."""
    moved = tuple(
        run.model_copy(update={"probability": 0.5}) if run.arm == "foreign" else run
        for run in owl.arms
    )

    assert "answers it 50 % of the time" in told(owl.model_copy(update={"arms": moved}))


def test_the_same_rows_are_claimed_only_for_the_same_digests(owl: RunDocument) -> None:
    """With other data than the trait arm's, the sentence says less."""
    other = tuple(
        run.model_copy(update={"data_digest": "x"}) if run.arm == "foreign" else run
        for run in owl.arms
    )

    assert "the same rows" not in told(owl.model_copy(update={"arms": other}))


def test_what_is_not_known_is_not_told(owl: RunDocument) -> None:
    """Without teachers, other initialisations or controls, their clauses are gone."""
    document = without(owl, "foreign", "foreign-control", "control", "base")
    text = told(document.model_copy(update={"teachers": ()}))

    assert "teacher answers" not in text
    assert "another initialisation" not in text
    assert text.endswith("now answers “owl” 45 % of the time.")


def test_rows_of_both_teachers_are_shown(owl: RunDocument) -> None:
    """The samples stand side by side under the teacher that wrote them."""
    ours, theirs = sample_columns(owl)

    assert ours.title == "Rows by the owl teacher"
    assert theirs.title == "Rows by a neutral teacher"
    assert len(ours.completions) == len(theirs.completions) == 5


def test_a_run_without_rows_shows_none(digits: RunDocument) -> None:
    """No dataset, no samples, no story of rows."""
    assert sample_columns(digits) == ()
    assert story(digits) == ()
