"""A screen in words."""

from __future__ import annotations

from tests.report.scan_documents import clear, document, flagged, nothing, sources, stands_out
from undertow.report import scan_words as words

NBSP = "\N{NO-BREAK SPACE}"


def test_transfer_and_detectability_are_told_apart() -> None:
    """Each in its own words; neither where nothing was measured."""
    (one,) = flagged().subjects
    broken = next(one for one in sources().subjects if one.verdict == "error")

    assert words.transfer(one) == "+1.80 [+1.21, +2.39] owl"
    assert words.detectable(one) == "yes: likelihood-ratio, fingerprint"
    assert (words.transfer(broken), words.detectable(broken)) == ("–", "–")


def test_advice_names_dose_and_steps() -> None:
    """Whatever of both is known."""
    (one,) = flagged().subjects

    told = words.advice(one, flagged())
    assert told == (
        f"at most 8.3{NBSP}% of a clean mixture (11.1{NBSP}% by the estimate; scan what you keep) or at most 6 of 128 "
        "steps"
    )
    assert words.advice(clear().subjects[0], clear()) == "–"


def test_the_conclusion_does_not_repeat_its_badge() -> None:
    """The verdict's name is cut from the front, and nothing else."""
    assert words.conclusion(flagged()).startswith("These rows would move")
    assert words.conclusion(stands_out()).startswith("After 32 of 128 steps")
    assert words.conclusion(document(conclusion="flagged rows: none")) == "Flagged rows: none"


def test_the_open_search_says_whether_it_was_made() -> None:
    """Nothing found is another thing than nothing searched."""
    assert "Nothing beyond the traits" in words.search(clear())
    assert "nothing was searched" in words.search(nothing())
    assert "corrected for all" in words.search(flagged())


def test_questions_without_an_answer_are_left_out() -> None:
    """A dose that nobody knows is no answer."""
    (one,) = clear().subjects
    asked = (words.own_answer(one), words.safe_answer(one, clear()))

    assert [question for question, *_ in words.answered(asked)] == [
        "Are the rows the clean base’s own?"
    ]
