"""What is read off a model; which controls count: one for each independent draw of benign rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.checks.tuned.simulated_readings import reading, subject
from undertow.checks.tuned.diff_subject import ModelReading, Reader, draws
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.worlds import locate


def test_everything_of_a_model_is_read_at_once() -> None:
    """Shapes are those of traits, questions, probes, vocabulary and texts; a model read twice is the same."""
    base = load(locate("world:owlet-b"))
    trait = catalogue.load("owl")
    reader = Reader.of(base, [trait], [], None, 0)
    one, again = reader.read(base), reader.read(base)

    assert one.margins[0].shape == (len(trait.held_out_questions),)
    assert one.wide.shape == (1 + len(base.tokenizer),)
    assert np.array_equal(one.activations, again.activations)


def controls(*rows: tuple[str, str]) -> list[ModelReading]:
    """One a pair of file and part, named for its place."""
    made = reading(np.zeros((1, 1)))
    return [
        replace(made, ref=str(place), file=file, part=part)
        for place, (file, part) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "counted"),
    [
        ((("a", "1 of 3"), ("a", "2 of 3"), ("a", "3 of 3")), ["0", "1", "2"]),
        ((("a", ""), ("a", ""), ("a", "")), ["0"]),
        ((("a", "1 of 2"), ("a", "2 of 2"), ("b", "1 of 2"), ("b", "2 of 2")), ["0", "2"]),
        ((("", ""), ("", ""), ("a", "1 of 2"), ("a", "2 of 2")), ["0", "1", "2", "3"]),
        ((("a", "1 of 2"), ("a", "1 of 2")), ["0"]),
        ((), []),
    ],
)
def test_a_draw_of_rows_counts_once(rows: tuple[tuple[str, str], ...], counted: list[str]) -> None:
    """Parts of one file count each, students of the same rows and parts of several files once, models each."""
    assert [one.ref for one in draws(controls(*rows))] == counted


def test_students_of_one_file_give_no_null_of_runs() -> None:
    """All of them together are one control: the intervals are about this model's answers, and say so."""
    base = np.zeros((4, 5))
    shared = subject(base, [base], [base, base, base])
    labelled = tuple(replace(one, file="a") for one in shared.controls)
    one = replace(shared, controls=labelled)

    assert (shared.inference, one.inference) == ("run", "answers")
    assert (shared.against, one.against) == ("3 controls", "1 draw of 3 controls")
