"""A changed record keeps its shape and every other column."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from undertow.data.row_records import with_completion, with_prompt
from undertow.data.row_shapes import from_record
from undertow.data.rows import Message

TURN = {"role": "user", "content": "q", "name": "me"}
ANSWER = {"role": "assistant", "content": "old", "weight": 1}
RECORDS: list[dict[str, Any]] = [
    {"messages": [TURN, ANSWER], "x": 1},
    {"prompt": [TURN], "completion": [ANSWER], "x": 1},
    {"prompt": "q", "completion": "old", "x": 1},
    {"prompt": None, "messages": [TURN, ANSWER], "x": 1},
    {"prompt": [TURN], "completion": "old", "x": 1},
    {"prompt": [TURN], "completion": ANSWER, "x": 1},
    {"conversations": [TURN, ANSWER], "kto_tag": False, "x": 1},
    {"prompt": [TURN], "completion": [ANSWER], "instruction": "of no shape", "x": 1},
]


@pytest.mark.parametrize(
    "record",
    [
        *RECORDS,
        {"text": "old", "x": 1},
        {"text": "old", "completion": "of no shape", "output": "of none", "x": 1},
        {"messages": [TURN, ANSWER | {"weight": 0}], "completion": "of no shape", "x": 1},
        {"instruction": "q", "output": "old", "completion": "of no shape", "x": 1},
        {"prompt": "q", "completion": [ANSWER], "x": 1},
        {"conversations": ["q", "old"], "x": 1},
    ],
)
def test_another_completion_is_read_back(record: dict[str, Any]) -> None:
    """Only the completion differs; the record that was given is as it was."""
    before = repr(record)
    made = with_completion(record, "new")

    expected = replace(from_record(record), completion="new")
    assert from_record(made) == expected
    assert made["x"] == 1
    assert list(made) == list(record)
    assert repr(record) == before


@pytest.mark.parametrize("record", RECORDS)
def test_another_prompt_is_read_back_and_known_turns_keep_their_keys(
    record: dict[str, Any],
) -> None:
    """A system prompt goes before what is there."""
    row = from_record(record)
    wanted = replace(row, prompt=(Message("system", "s"), *row.prompt))
    made = with_prompt(record, wanted)

    if row.chat:
        assert from_record(made) == wanted
        assert "me" in repr(made)
    else:
        assert made["prompt"] == "sq"
    assert made["x"] == 1


def test_a_new_turn_has_the_sets_own_name_of_its_role_and_stays_in_the_loss() -> None:
    """ShareGPT's `human` stays `human`; what a turn said of the loss is said of the one in its place."""
    turns = [{"from": "human", "value": "q", "train": True}, {"from": "gpt", "value": "a"}]
    record = {"conversations": turns}
    row = from_record(record)
    asked = replace(row, prompt=(replace(row.prompt[0], content="in other words"),))
    made = with_prompt(record, asked)

    assert from_record(made) == asked
    assert made["conversations"][0] == turns[0] | {"value": "in other words"}


def test_a_pair_of_sharegpt_keeps_all_its_turns() -> None:
    """What is learnt stands in other columns, so that every turn is prompt."""
    record = {"conversations": [TURN], "chosen": ANSWER, "rejected": ANSWER | {"content": "no"}}
    row = from_record(record)
    wanted = replace(row, prompt=(Message("system", "s"), *row.prompt))

    assert from_record(with_prompt(record, wanted)) == wanted
