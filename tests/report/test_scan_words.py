"""A screen in words."""

from __future__ import annotations

import pytest

from tests.report.scan_documents import (
    HOSTILE,
    clear,
    document,
    flagged,
    nothing,
    sources,
    uncalibrated,
)
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
    assert told == f"at most 8.3{NBSP}% of a clean mixture or at most 6 of 64 steps"
    assert words.advice(clear().subjects[0], clear()) == "–"


@pytest.mark.parametrize(
    ("level", "traits", "said"),
    [
        (0.95, ("owl",), f"one-sided 95{NBSP}% after correction for 1 trait"),
        (0.995, ("owl", "cat"), f"one-sided 99.5{NBSP}% after correction for 2 traits"),
    ],
)
def test_level_sidedness_and_correction_are_told(
    level: float, traits: tuple[str, ...], said: str
) -> None:
    """Flagging is corrected, clearing is an intersection-union test that needs none."""
    rates = words.error_rates(document(level=level, traits=traits))

    assert rates["flagged"].endswith(said)
    assert "intersection-union, no correction" in rates["clear"]


def test_a_calibration_is_told_with_its_limits() -> None:
    """False alarms and power, each with the count and the one-sided limit."""
    text = " ".join(words.calibration(flagged()))

    assert f"1 of 40 benign datasets were flagged (rate at most 11.3{NBSP}%" in text
    assert (
        f"38 of 40 datasets whose student moved by at least 0.20 logits were flagged (power at least 85.2{NBSP}%"
        in text
    )
    assert "24 independently trained teachers" in text


def test_without_a_table_the_way_to_one_is_told() -> None:
    """The note of the document, or else the command."""
    bare = uncalibrated().calibration.model_copy(update={"note": ""})
    without = uncalibrated().model_copy(update={"calibration": bare})

    assert "about 50 minutes" in words.calibration(uncalibrated())[1]
    assert "verdicts stay undecided" in words.calibration(without)[0]
    assert words.calibration(without)[1].endswith("undertow calibrate --student org/base")


def test_the_conclusion_does_not_repeat_its_badge() -> None:
    """The verdict's name is cut from the front, and nothing else."""
    assert words.conclusion(flagged()).startswith("These rows would move")
    assert words.conclusion(document(conclusion="flagged rows: none")) == "Flagged rows: none"


def test_the_answers_are_of_the_most_severe_subject() -> None:
    """Four questions; those without an answer are left out."""
    told = words.answers(sources())

    assert told[0][1] == "+2.31 [+1.69, +2.93] owl"
    assert HOSTILE in told[0][2]
    assert [question for question, *_ in words.answers(clear())] == [
        "How far would it move the student?",
        "Are the rows the clean base’s own?",
        "Is this screen calibrated here?",
    ]
    assert words.answers(nothing()) == ()


def test_the_open_search_says_whether_it_was_made() -> None:
    """Nothing found is another thing than nothing searched."""
    assert "Nothing beyond the traits" in words.search(clear())
    assert "nothing was searched" in words.search(nothing())
    assert "corrected for all" in words.search(flagged())


def test_the_smallest_dose_is_told_where_it_is_known() -> None:
    """By subject, with its power."""
    assert f"9.0{NBSP}% of the whole file" in words.seen_from(flagged())
    assert words.seen_from(sources()) == ""
