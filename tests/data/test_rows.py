"""The row's identity; the shapes of a row in a file."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.data.row_records import to_record
from undertow.data.row_shapes import from_record
from undertow.data.rows import Message, Row, dataset_digest, row_id

ROW = Row((Message("system", "Be brief."), Message("user", "Größe?")), "42", source="teacher")


def test_the_id_is_sha256_of_the_canonical_json() -> None:
    """Another implementation can compute it: sorted keys, no spaces, ASCII."""
    canonical = (
        rb'{"chat":true,"completion":"42",'
        rb'"prompt":[["system","Be brief."],["user","Gr\u00f6\u00dfe?"]]}'
    )

    assert row_id(ROW) == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        replace(ROW, completion="43"),
        replace(ROW, rejected="43"),
        replace(ROW, chat=False),
        replace(ROW, prompt=ROW.prompt[1:]),
        replace(ROW, prompt=ROW.prompt[::-1]),
        replace(ROW, prompt=(Message("user", "Be brief."), ROW.prompt[1])),
    ],
)
def test_any_change_of_content_changes_the_id(other: Row) -> None:
    """Completion, rejected one, kind of text, prompt, its order and its roles are content."""
    assert row_id(other) != row_id(ROW)


def test_the_source_is_no_content() -> None:
    """Who wrote a row is a label on it."""
    assert row_id(replace(ROW, source=None)) == row_id(ROW)


def test_the_digest_covers_rows_and_order() -> None:
    """Leaving out, repeating or swapping rows changes the digest; a generator is as good as a list."""
    other = replace(ROW, completion="7")
    digests = {dataset_digest(rows) for rows in ([], [ROW], [ROW, ROW], [ROW, other], [other, ROW])}

    assert len(digests) == 5
    assert dataset_digest(iter([ROW, other])) in digests


USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Yes"}
OTHER = {"role": "assistant", "content": "No"}
HI = (Message("user", "Hi"),)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
WRITTEN = TEXT.filter(str.strip)
MESSAGE = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT)
PLAIN = WRITTEN.map(lambda text: (Message("user", text),)) | st.just(())
ROWS = st.builds(
    Row,
    st.lists(MESSAGE, max_size=3).map(tuple),
    WRITTEN,
    st.none() | WRITTEN,
    st.none() | TEXT,
) | st.builds(Row, PLAIN, WRITTEN, st.none() | WRITTEN, st.none() | TEXT, st.just(False))


@pytest.mark.parametrize(
    ("record", "row"),
    [
        ({"messages": [USER, REPLY]}, Row(HI, "Yes")),
        ({"messages": [REPLY]}, Row((), "Yes")),
        ({"messages": [USER]}, Row(HI, "", answered=False)),
        ({"messages": [REPLY, USER]}, Row((Message("assistant", "Yes"), *HI), "", answered=False)),
        ({"prompt": [USER], "completion": [REPLY]}, Row(HI, "Yes")),
        ({"prompt": "Hi", "completion": "Yes"}, Row(HI, "Yes", chat=False)),
        ({"prompt": "", "completion": "Yes"}, Row((), "Yes", chat=False)),
        ({"prompt": [USER], "chosen": [REPLY], "rejected": [OTHER]}, Row(HI, "Yes", "No")),
        (
            {"prompt": "Hi", "chosen": "Yes", "rejected": "No"},
            Row(HI, "Yes", "No", chat=False),
        ),
        ({"text": "Once"}, Row((), "Once", chat=False)),
        ({"text": "Once", "source": "web", "id": 3}, Row((), "Once", source="web", chat=False)),
        ({"text": None, "messages": [USER, REPLY]}, Row(HI, "Yes")),
    ],
)
def test_each_shape_is_read(record: dict[str, object], row: Row) -> None:
    """Every shape of TRL gives its row; null columns and columns of no shape are ignored."""
    assert from_record(record) == row


CONVERSATIONS = st.lists(MESSAGE, min_size=1, max_size=4).filter(
    lambda turns: turns[-1].role != "assistant"
)


@given(ROWS | CONVERSATIONS.map(lambda t: Row(tuple(t), "", whole=True, answered=False)))
def test_a_row_survives_writing_and_reading(row: Row) -> None:
    """Whatever the row, its record reads back as the same row."""
    assert from_record(to_record(row)) == row


def test_chat_rows_are_written_as_prompt_and_completion_messages() -> None:
    """The shape is the one that TRL trains on with completion-only loss."""
    row = Row(HI, "Yes", source="t")

    assert to_record(row) == {"prompt": [USER], "completion": [REPLY], "source": "t"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1], "found a list; allowed: an object with 'messages'; 'conversations'; 'prompt'"),
        (None, "found null"),
        ({}, "found the columns none"),
        ({"question": "x"}, "columns 'question', no known shape; allowed: 'messages';"),
        ({"prompt": "x"}, "columns 'prompt', no known shape"),
        ({"prompt": "x", "completion": None}, "columns 'prompt', no known shape"),
        ({"text": "a", "messages": [REPLY]}, "more than one shape"),
        ({"text": 3}, "'text' is a value of type int; allowed: a string"),
        ({"text": "  "}, "'text' is empty"),
        ({"prompt": "x", "completion": ""}, "'completion' is empty"),
        ({"prompt": "x", "completion": "\n"}, "'completion' is empty"),
        (
            {"prompt": "x", "completion": 3},
            "'completion' is a value of type int; allowed: a string, or",
        ),
        (
            {"prompt": 3, "completion": [REPLY]},
            "'prompt' is a value of type int; allowed: a string, or a list",
        ),
        ({"prompt": [USER], "completion": []}, "'completion' is an empty list"),
        (
            {"prompt": [USER], "completion": [REPLY, USER]},
            "'completion' ends with a message of role",
        ),
        ({"prompt": [USER], "completion": [USER]}, "role 'user'; allowed: 'assistant'"),
        ({"messages": []}, "'messages' is an empty list"),
        ({"messages": ["Hi"]}, "'messages' holds a string that is no message"),
        ({"messages": [{"role": "user"}]}, "an object with 'role' that is no message"),
        ({"messages": [USER, {"role": "assistant", "content": [1]}]}, "part of type 'text'"),
        ({"text": "a\ud800"}, "half a surrogate pair"),
    ],
)
def test_what_fits_no_shape_is_refused_with_what_was_found(record: object, message: str) -> None:
    """The error says what was found and what is allowed."""
    with pytest.raises(ValueError, match=message):
        from_record(record)
