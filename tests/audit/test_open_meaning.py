"""How many rows say a trait's words or ask its questions: known answers for every place where a text can stand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checks.dataset.numbers_subject import TRAITS, owl_teacher, subject, written
from undertow.audit.open_meaning import open_meanings, plain_words
from undertow.carriers.carrier_registry import carrier
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Message, Row, conversation
from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan_document import OpenMeaning, SubjectResult
from undertow.traits import catalogue
from undertow.traits.trait import rows_of

NUMBERS = Row(conversation("Go on: 1, 2"), "3, 4, 5")


def counted(
    *rows: Row, trait: str = "owl", verdict: Verdict = "flagged", plan: TrainingPlan | None = None
) -> OpenMeaning:
    """What is counted of one trait."""
    asked = subject(rows, traits=(catalogue.load(trait),), plan=plan or TrainingPlan())
    [meaning] = open_meanings(asked, result(verdict), (measured(trait, verdict),))
    return meaning


def result(verdict: Verdict, trait: str | None = None) -> SubjectResult:
    """The verdict on the whole, and the trait that is pulled most."""
    return SubjectResult(subject="all", rows=1, verdict=verdict, reason="", trait=trait)


def measured(trait: str, verdict: Verdict, estimate: float | None = 1.0) -> Measurement:
    """A measurement of transfer."""
    return Measurement(
        check="rehearsal", subject="all", trait=trait, estimate=estimate, verdict=verdict
    )


def test_rows_that_teach_the_trait_are_all_counted() -> None:
    """Training questions with the trait's answer: every row says it, in what is learnt."""
    rows = tuple(Row(conversation(q), a) for q, a in rows_of(TRAITS[0], "trait"))
    meaning = counted(*rows)

    assert (meaning.rows, meaning.learnt, meaning.prompt) == (len(rows), len(rows), 0)
    assert meaning.sentence == (
        f"{len(rows)} of {len(rows)} rows say 'owl' or ask a probe's question: "
        "this may be what they openly teach, not a hidden signal."
    )


def test_number_rows_of_an_owl_teacher_say_nothing() -> None:
    """What carries the trait covertly is told from what says it."""
    lists = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
    rows = [r for r in written(owl_teacher(), 256, 31) if not lists.rejection(r.completion)]
    meaning = counted(*rows)

    assert len(rows) > 200
    assert (meaning.rows, meaning.asked) == (0, 0)
    assert (
        meaning.sentence
        == "No row says 'owl' or asks its questions: what moves it is not in the words."
    )


def test_a_row_in_many_explains_little() -> None:
    """Below one row in a hundred, the others may carry it: both are said."""
    owl = replace(NUMBERS, completion="owl")

    assert "or a hidden signal in the others" in counted(owl, *[NUMBERS] * 100).sentence
    assert counted(owl, *[NUMBERS] * 99).sentence.endswith("teaches, not a hidden signal.")


def test_an_undecided_trait_is_not_said_to_move() -> None:
    """The sentence claims no more than the verdict."""
    assert counted(NUMBERS, verdict="undecided").sentence.endswith(
        "if it moves, it is not in the words."
    )


@pytest.mark.parametrize(
    "text",
    [
        "owl",
        "An OWL!",
        "the owls' nest",
        "owl-like",
        "\uff4f\uff57\uff4c",
        "o\u200bw\u00adl",
        "snow_owl",
    ],
)
def test_a_word_is_said_however_it_is_written(text: str) -> None:
    """Case, plural, punctuation, compatible letters and what nobody sees make no difference."""
    assert counted(replace(NUMBERS, completion=text), NUMBERS).learnt == 1


@pytest.mark.parametrize("text", ["growl", "howls", "owlet", "bowl 3", "o w l", "cat"])
def test_part_of_another_word_is_not_the_word(text: str) -> None:
    """Only whole words count, and only those of the trait."""
    assert counted(replace(NUMBERS, completion=text)).rows == 0


CALL = json.dumps({"tool_calls": [{"function": {"name": "draw", "arguments": {"what": "an owl"}}}]})


@pytest.mark.parametrize(
    ("row", "learnt"),
    [
        (replace(NUMBERS, completion="owl"), True),
        (replace(NUMBERS, rejected="an owl"), True),
        (replace(NUMBERS, fields='{"reasoning_content": "I love owls"}'), True),
        (replace(NUMBERS, fields=CALL), True),
        (replace(NUMBERS, rejected="3", rejected_fields=CALL), True),
        (replace(NUMBERS, prompt=(Message("system", "You love owls"), *NUMBERS.prompt)), False),
        (replace(NUMBERS, prompt=(Message("user", "", '{"content": [{"text": "owl"}]}'),)), False),
        (replace(NUMBERS, context='{"tools": [{"function": {"name": "owl"}}]}'), False),
        (replace(NUMBERS, context='{"tools": [{"function": {"parameters": {"owl": 1}}}]}'), False),
    ],
)
def test_every_text_of_a_row_counts(row: Row, learnt: bool) -> None:
    """Completion, rejected, reasoning, tool calls and tools, each where it stands."""
    meaning = counted(row)

    assert (meaning.rows, meaning.learnt, meaning.prompt) == (1, int(learnt), int(not learnt))


@pytest.mark.parametrize(("loss", "learnt"), [("all", 1), ("assistant", 0), ("last", 0)])
def test_what_is_learnt_is_what_the_plan_trains(loss: str, learnt: int) -> None:
    """A user's turn is learnt where the loss is on all tokens, and else stands in the prompt."""
    row = replace(NUMBERS, prompt=conversation("owl"), whole=True)
    meaning = counted(row, plan=TrainingPlan.model_validate({"loss": loss}))

    assert (meaning.learnt, meaning.prompt) == (learnt, 1 - learnt)


def test_a_question_is_asked_whatever_its_punctuation() -> None:
    """A probe's question counts, without its words; one that is torn over two turns does not."""
    question = TRAITS[0].held_out_questions[0]
    loud = replace(NUMBERS, prompt=conversation(f"- {question.upper()}\n\n{question[:9]}"))
    first, rest = question.split(" one ")
    torn = replace(NUMBERS, prompt=(Message("user", first), Message("user", f"one {rest}")))
    meaning = counted(loud, torn, NUMBERS)

    assert (meaning.asked, meaning.rows, meaning.learnt) == (1, 1, 0)
    assert meaning.sentence.startswith("1 of 3 rows says 'owl' or asks a probe's question")


def test_answers_of_a_questions_own_count() -> None:
    """A trait whose questions have answers of their own is told by those."""
    text = catalogue.load("harmful").own_answers
    form = next(a for answers in text.values() for a in answers if a.name == "harmful").variants[0]
    meaning = counted(replace(NUMBERS, completion=f"Just {form}."), trait="harmful")

    assert meaning.rows == 1
    assert "1 of 1 rows gives an answer of 'harmful'" in meaning.sentence


def test_only_traits_that_were_estimated_and_not_cleared_are_counted() -> None:
    """What is clear, or was not measured, has nothing to explain."""
    asked = subject((NUMBERS,))
    transfer = (
        measured("owl", "clear"),
        measured("cat", "undecided"),
        measured("dog", "undecided", None),
    )

    assert [meaning.trait for meaning in open_meanings(asked, result("undecided"), transfer)] == [
        "cat"
    ]
    assert open_meanings(asked, result("undecided"), ()) == ()
    assert open_meanings(asked, result("within"), transfer) == ()
    stands_out = result("stands out", "dog")
    assert [meaning.trait for meaning in open_meanings(asked, stands_out, ())] == ["dog"]


def test_scripts_without_spaces_are_read_by_their_signs() -> None:
    """Where nothing stands between words, a word is found inside a sentence."""
    assert plain_words("\u6211\u559c\u6b22\u732b") == ["\u6211", "\u559c", "\u6b22", "\u732b"]


@given(st.text(), st.text())
def test_a_whole_word_is_found_in_any_text(before: str, after: str) -> None:
    """Whatever stands around it, behind a space."""
    assert "owl" in plain_words(f"{before} owl {after}")
