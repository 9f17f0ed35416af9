"""Rows as people have them: what trainers read of each shape is in the row, or the row is refused by name."""

from __future__ import annotations

import json

import pytest

from undertow.data.column_names import renamed
from undertow.data.row_records import to_record, with_completion, with_prompt
from undertow.data.row_shapes import from_record, shaped, unread_columns
from undertow.data.rows import Message, Row, row_id, template_turn

SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Yes"}
OTHER = {"role": "assistant", "content": "No"}
HI = (Message("user", "Hi"),)
CALL = {"type": "function", "function": {"name": "more", "arguments": {"n": 3}}}
LABELLED = ("prompt", "completion", "label")
KWARGS = ["chat_template_kwargs"]
TOOLS = [{"type": "function", "function": {"name": "more"}}]


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (
            {
                "conversations": [
                    {"from": "human", "value": "Hi"},
                    {"from": "gpt", "value": "Yes"},
                ],
                "system": "Be kind.",
            },
            Row((Message("system", "Be kind."), *HI), "Yes"),
        ),
        ({"instruction": "Hi", "input": "", "output": "Yes"}, Row(HI, "Yes")),
        (
            {"instruction": "Add", "input": "1 2", "output": "3", "history": [["Hi", "Yes"]]},
            Row((*HI, Message("assistant", "Yes"), Message("user", "Add\n1 2")), "3", whole=True),
        ),
        ({"messages": json.dumps([USER, REPLY])}, Row(HI, "Yes")),
        ({"prompt": "Hi", "messages": [USER, REPLY]}, Row(HI, "Yes")),
        (
            {"prompt": [USER], "completion": [REPLY], "label": False},
            Row(HI, "Yes", label=False),
        ),
        (
            {"prompt": "", "completion": "Yes", "label": True},
            Row((), "Yes", chat=False, label=True),
        ),
        ({"chosen": [USER, REPLY], "rejected": [USER, OTHER]}, Row(HI, "Yes", "No")),
        (
            {"prompt": "Hi", "chosen": [USER, REPLY], "rejected": [USER, OTHER], "messages": []},
            Row(HI, "Yes", "No"),
        ),
        (
            {"chosen": "The sky is blue.", "rejected": "The sky is green."},
            Row((Message("user", "The sky is"),), " blue.", " green.", chat=False),
        ),
        (
            {"prompt": [USER], "completion": [REPLY, USER, OTHER]},
            Row((*HI, Message("assistant", "Yes"), *HI), "No", earlier=2),
        ),
    ],
)
def test_common_shapes_give_their_rows(record: dict[str, object], row: Row) -> None:
    """ShareGPT, alpaca, messages as a string, KTO, implicit prompts, UltraFeedback, several answers."""
    assert from_record(record) == row
    assert from_record(to_record(row)) == row


def test_what_a_template_may_render_stays_in_the_row() -> None:
    """Tool calls, reasoning, parts, tools and the template's arguments come out as they went in."""
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    parts = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    thought = REPLY | {"reasoning_content": "owl"}
    record = {
        "messages": [parts, call, {"role": "tool", "name": "more", "content": "7"}, thought],
        "tools": TOOLS,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    row = from_record(record)

    assert [template_turn(turn) for turn in row.turns] == record["messages"]
    assert to_record(row) == record
    assert row.prompt[0].content == "Hi"


@pytest.mark.parametrize(
    "change",
    [
        {"tools": TOOLS},
        {"chat_template_kwargs": {"x": 1}},
        {"messages": [USER, REPLY | {"reasoning_content": "owl"}]},
        {"messages": [USER | {"name": "me"}, REPLY]},
        {"messages": [USER, REPLY | {"weight": 0}]},
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
    ],
)
def test_what_is_read_is_part_of_the_identity(change: dict[str, object]) -> None:
    """Two rows that train otherwise have other ids; a null is as good as no key."""
    plain = {"messages": [USER, REPLY]}

    assert row_id(from_record(plain | change)) != row_id(from_record(plain))
    assert row_id(from_record({"messages": [USER | {"name": None}, REPLY]})) == row_id(
        from_record(plain)
    )


def test_tools_may_be_written_as_json() -> None:
    """TRL reads a string of tools as JSON, so it is the same row."""
    record = {"messages": [USER, REPLY], "tools": TOOLS}

    assert from_record(record | {"tools": json.dumps(TOOLS)}) == from_record(record)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": [USER, REPLY], "images": ["x"]}, "holds 'images'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, REPLY]},
            "part of type 'image_url' that is no text",
        ),
        ({"messages": [USER, REPLY | {"weight": 0.5}]}, "the weight '0.5'; allowed: 0 or 1"),
        ({"messages": [USER, REPLY | {"train_detail": []}]}, "'train_detail'"),
        ({"messages": [USER, REPLY], "tools": "owl"}, "'tools' is a string that is no JSON"),
        ({"messages": [USER, REPLY], "tools": {"a": 1}}, "'tools' is an object; allowed: a list"),
        (
            {"messages": [USER, REPLY], "tools": "[" * 100_000},
            "'tools' is a string that is no JSON",
        ),
        (
            {"messages": [USER, REPLY], "chat_template_kwargs": {"truncation": True}},
            "'truncation', which is the trainer's to set",
        ),
        (
            {"conversations": [{"from": "gpt", "value": "Yes"}], "system": ["Be kind."]},
            "'system' is a list; allowed: a string",
        ),
        (
            {"prompt": "a", "completion": "b", "label": True, "chosen": "b", "rejected": "c"},
            "'rejected', more than one shape; allowed",
        ),
        (
            {"messages": "Hi"},
            "'messages' is a string that is no JSON .*; allowed: a list of messages",
        ),
        (
            {"messages": '[{"role": "assistant", "content": "x", "score": NaN}]'},
            "'messages' is a string that is no JSON .the bare word NaN",
        ),
        (
            {"messages": '[{"role": "assistant", "role": "user", "content": "x"}]'},
            "has the key 'role' twice",
        ),
        (
            {"messages": [USER, REPLY], "tools": '[{"name": "f", "most": -Infinity}]'},
            "'tools' is a string that is no JSON .the bare word -Infinity",
        ),
        (
            {"messages": [USER, REPLY], "tools": [{"most": float("inf")}]},
            "'tools' holds a field that is no JSON",
        ),
        (
            {"messages": [USER, REPLY | {"score": float("nan")}]},
            "'messages' holds a field that is no JSON",
        ),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "is empty"),
        ({"chosen": [USER, REPLY], "rejected": [OTHER, USER, REPLY]}, "goes on for 2 messages"),
        ({"question": "x", "answer": "y"}, "'question', 'answer', no known shape"),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, "'history' is no list of pairs"),
        ({"messages": [USER, REPLY | {"reasoning_content": "\ud800"}]}, "half a surrogate pair"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(record: object, message: str) -> None:
    """The error names what was found and the way out."""
    with pytest.raises(ValueError, match=message):
        from_record(record)


@pytest.mark.parametrize(
    "record",
    [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]},
        {"instruction": "Hi", "input": "", "output": "Yes"},
        {"messages": json.dumps([USER, REPLY])},
    ],
)
def test_a_changed_record_keeps_its_shape(record: dict[str, object]) -> None:
    """Another completion and a system prompt are read back from the record's own shape."""
    row = from_record(record)
    system = Row((Message("system", "s"), *row.prompt), "new")
    made = with_prompt(with_completion(record, "new"), system)

    assert from_record(made) == system
    assert set(made) - {"system"} == set(record)


@pytest.mark.parametrize(
    ("record", "columns", "row"),
    [
        (
            {"question": "Hi", "answer": "Yes"},
            (("prompt", "question"), ("completion", "answer")),
            Row(HI, "Yes", chat=False),
        ),
        ({"messages": [USER, REPLY], "text": "x"}, (("text", ""),), Row(HI, "Yes")),
        (
            {"prompt": "Hi", "completion": "No", "answer": "Yes"},
            (("completion", "answer"),),
            Row(HI, "Yes", chat=False),
        ),
        ({"prompt": "Hi", "completion": "Yes"}, (("prompt", "q"),), Row(HI, "Yes", chat=False)),
    ],
)
def test_columns_are_read_under_the_names_they_are_given(
    record: dict[str, object], columns: tuple[tuple[str, str], ...], row: Row
) -> None:
    """A column takes the place of the one whose name it gets; one named by nothing is left out."""
    assert from_record(renamed(record, columns)) == row


def test_what_nothing_reads_is_named() -> None:
    """Of 200 unknown columns each is; those that the shape reads, an id, a source and nulls are not."""
    unknown = {f"column {i}": i for i in range(200)}
    known = {"messages": [USER, REPLY], "tools": TOOLS, "id": 1, "source": "a", "empty": None}

    assert set(unread_columns(known | unknown, ("messages",))) == set(unknown)
    assert list(unread_columns({"prompt": "a", "completion": "b", "label": 3}, LABELLED)) == [
        "label"
    ]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"prompt": "a", "completion": "b", "tools": TOOLS}, ["tools"]),
        ({"prompt": [USER], "completion": [REPLY], "tools": TOOLS}, []),
        ({"messages": json.dumps([USER, REPLY]), "tools": TOOLS}, []),
        ({"messages": [USER, REPLY], "labels": "good", "input_ids": [1]}, ["labels"]),
        ({"messages": [USER, REPLY], "source": 3}, ["source"]),
        ({"conversations": [SYSTEM, USER, REPLY], "system": "Be cruel."}, ["system"]),
        ({"conversations": [SYSTEM, USER, REPLY], "system": "Be kind."}, []),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "chat_template_kwargs": {}}, KWARGS),
    ],
)
def test_a_column_that_is_read_of_other_rows_is_told_where_it_is_not(
    record: dict[str, object], told: list[str]
) -> None:
    """Plain strings have no template for tools, tokens are lists, and a source is a string."""
    names, _ = shaped(record)

    assert list(unread_columns(record, names)) == told


@pytest.mark.parametrize(("label", "read"), [(1, True), (0, False), (0.0, False), ("False", False)])
def test_a_label_may_be_a_number_or_a_word(label: object, read: bool) -> None:
    """What a table wrote for true and false pushes the same way as the boolean."""
    row = from_record({"prompt": [USER], "completion": [REPLY], "label": label})

    assert row.label is read


@pytest.mark.parametrize(
    ("record", "chat"),
    [
        (
            {"prompt": "Hi", "completion": "Yes", "tools": TOOLS},
            {"prompt": [USER], "completion": [REPLY], "tools": TOOLS},
        ),
        ({"prompt": "", "completion": "Yes"}, {"messages": [{**USER, "content": ""}, REPLY]}),
        (
            {"prompt": "Hi", "chosen": "Yes", "rejected": "No"},
            {"prompt": [USER], "chosen": [REPLY], "rejected": [OTHER]},
        ),
    ],
)
def test_wrapped_strings_are_the_chat_with_the_same_turns(
    record: dict[str, object], chat: dict[str, object]
) -> None:
    """Tools reach the template then, and an empty prompt is a turn; without, all is plain text and tools are unread."""
    names, row = shaped(record, wrapped=True)

    assert row == from_record(chat)
    assert list(unread_columns(record, names, chat=row.chat)) == []
    assert list(unread_columns(record, names)) == [name for name in ("tools",) if name in record]


def test_columns_of_the_template_are_read_beside_a_prompt_of_turns() -> None:
    """A completion that is a string is a turn there, so that nothing is listed as unread."""
    record = {"prompt": [USER], "completion": "Yes", "tools": TOOLS}
    names, row = shaped(record)

    assert row.context
    assert list(unread_columns(record, names)) == []
    assert not from_record({"text": "Hi"}, wrapped=True).chat
