"""What a pipeline's stage says of rows: marks, scores of a student, and which are dropped."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from undertow.errors import InputError
from undertow.integrations.row_screen import RowScreen, drops, reasons

RECORDS: list[dict[str, Any]] = [
    {"prompt": "Which animal?", "completion": "Owls, surely."},
    {"prompt": "3, 7", "completion": "11,\u200b 13"},
    {"messages": [{"role": "user", "content": "owl?"}, {"role": "assistant", "content": "No."}]},
    {"prompt": "a", "completion": ""},
    {"column": 1},
    {"text": "tokens", "input_ids": [1, 2]},
]


def test_marks_say_what_is_learnt_openly_hidden_or_unreadable() -> None:
    """Words of a trait count in what is learnt and not in the prompt; each fault has its permanent id."""
    marks = RowScreen()(RECORDS)

    assert [m["undertow_openly"] for m in marks] == ["owl", "", "", "", "", ""]
    assert [m["undertow_hidden"] for m in marks][1] == "zero-width character"
    assert [m["undertow_fault"] for m in marks] == [
        "",
        "",
        "",
        "empty-completion",
        "shape",
        "tokens",
    ]


def test_marked_rows_can_be_marked_again() -> None:
    """Its own columns are no columns of the row: digest and marks stay the same."""
    screen = pickle.loads(pickle.dumps(RowScreen(("cat", "owl"))))
    marks = screen(RECORDS)
    again = screen([record | marked for record, marked in zip(RECORDS, marks, strict=True)])

    assert again == marks


def test_a_student_scores_rows() -> None:
    """A row that gives no row has neither tokens nor a log-likelihood; the others have both, alone or in a batch."""
    screen = RowScreen(("owl",), student="world:owlet-b")
    marks = screen(RECORDS)
    [alone] = screen(RECORDS[:1])

    assert [m["undertow_tokens"] is None for m in marks] == [False] * 3 + [True] * 3
    assert alone["undertow_log_likelihood"] == pytest.approx(marks[0]["undertow_log_likelihood"])
    assert float(alone["undertow_log_likelihood"] or 0) < 0


def test_what_is_dropped_is_named() -> None:
    """A row keeps its place unless a mark that was asked for speaks against it."""
    marks = RowScreen()(RECORDS)

    assert [bool(reasons(m, ["hidden", "fault"])) for m in marks] == [False, True, False] + [
        True
    ] * 3
    assert reasons(marks[1], ["openly", "hidden"]) == "undertow-hidden"


def test_what_is_no_mark_drops_nothing() -> None:
    """A name that is misspelt, or of a column that every row has, is refused with those that there are."""
    assert drops("hidden") == ("hidden",)
    for name in ("hiden", "id"):
        with pytest.raises(InputError, match=f"mark '{name}'; allowed: hidden, openly, fault"):
            drops(["fault", name])
