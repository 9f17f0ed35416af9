"""Token ids and loss masks against TRL's own trainers, and against what axolotl and LLaMA-Factory document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.rows.columns import Changes, judge_template
from bench.rows.generated_records import SHAPES, records
from bench.rows.given_templates import OWN, student_tokenizer
from bench.rows.sequences import compared, policies, read_sequences
from bench.rows.template_tokenizers import template_texts, template_tokenizer
from bench.rows.trl_sequences import as_dataset
from undertow.data.plan import Loss
from undertow.data.row_shapes import from_record
from undertow.models.training_sequences import encode_rows

pytest.importorskip("trl")

ROWS = 12


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    """Every template that TRL ships."""
    return template_texts()


TEMPLATES = ("gptoss", "phi3", "llama3_1", "qwen3_5_think_training", "gemma3", "deepseekv3")
COMBINATIONS = [(shape, policy) for shape in SHAPES for policy in policies(shape)]


# TRL and datasets warn of what is meant here: no hub, no cache, a prompt that is no prefix.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("place", "combination"), [*enumerate(COMBINATIONS)])
def test_sequences_are_those_of_trl(
    templates: dict[str, str], place: int, combination: tuple[str, Loss]
) -> None:
    """Ids and masks are TRL's own, or both refuse a row, of each shape and policy under two templates."""
    shape, policy = combination
    for name in (TEMPLATES[place % 6], TEMPLATES[(place + 1) % 6]):
        tokenizer = template_tokenizer(name, templates[name])

        found = compared(tokenizer, shape, policy, records(shape, ROWS, seed=1))

        assert not found.differences
        assert found.equal + found.refused + len(found.ours) == ROWS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["qwen3", "glm4moe"])
def test_tables_that_fill_nulls_are_learnt_as_trl_learns_them(
    templates: dict[str, str], name: str
) -> None:
    """In the arguments of a call and in tools too, where the template writes what another row's call brought in."""
    tokenizer = template_tokenizer(name, templates[name])
    rows = records("messages, tools", ROWS, seed=1)

    found = compared(tokenizer, "messages, tools", "auto", rows, arrow=True)
    filled = read_sequences(tokenizer, list(as_dataset(rows, arrow=True)), "auto")

    assert found.equal == ROWS
    assert filled != read_sequences(tokenizer, rows, "auto")


@pytest.mark.filterwarnings("ignore")
def test_the_oracle_sees_another_mask(templates: dict[str, str]) -> None:
    """A policy that is not the trainer's shows as a difference: the comparison can fail."""
    tokenizer = template_tokenizer("qwen3", templates["qwen3"])
    rows = records("messages", 3)

    told = [read_sequences(tokenizer, rows, policy) for policy in ("all", "assistant")]

    assert not any(a == b for a, b in zip(*told, strict=True))


USER, OWL = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "owl"}
CAT = {"role": "assistant", "content": "cat"}
OWN_WAYS: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"messages": [USER, {**OWL, "content": " "}]}, "a completion without words"),
    ("prompt, completion", {"prompt": [USER], "completion": [USER]}, "undertow alone refuses"),
    (
        "prompt, chosen, rejected",
        {"prompt": [USER], "chosen": [OWL, USER, OWL], "rejected": [OWL, USER, CAT]},
        "undertow alone refuses",
    ),
    (
        "conversations",
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "owl"}]},
        "other ids",
    ),
    ("conversations", {"conversations": [USER, OWL]}, "TRL alone refuses"),
    ("messages", {"messages": json.dumps([USER, OWL])}, "TRL alone refuses"),
    ("messages", {"messages": [USER, OWL], "chat_template_kwargs": None}, "TRL alone refuses"),
    ("messages", {"messages": [USER, {**OWL, "weight": 1}]}, "other masks"),
]
"""
Where undertow does not do what TRL does, as docs/scan.md says. What TRL does with a prompt of text beside answers of
turns hangs on the order of a set, so that it is no oracle there.
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("shape", "record", "how"), OWN_WAYS)
def test_undertow_goes_its_own_way_where_it_says_so(
    templates: dict[str, str], shape: str, record: dict[str, Any], how: str
) -> None:
    """Rows that teach nothing are refused though TRL trains them; what people write is read though TRL fails."""
    tokenizer = template_tokenizer("qwen3", templates["qwen3"])

    found = compared(tokenizer, shape, "auto", [record])

    assert [text[: len(how)] for text in (*found.differences, *found.ours)] == [how]


def test_arguments_of_the_trainer_are_not_the_templates(templates: dict[str, str]) -> None:
    """A row that sets what the trainer sets is refused by name; an empty list of tools reaches the template."""
    tokenizer = template_tokenizer("llama3_1", templates["llama3_1"])
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "owl"}]
    plain, tooled = ({"messages": turns, "tools": tools} for tools in (None, []))

    bare, empty = (encode_rows(tokenizer, [from_record(row)])[0] for row in (plain, tooled))

    assert len(empty) > len(bare)
    with pytest.raises(ValueError, match="add_generation_prompt"):
        from_record({"messages": turns, "chat_template_kwargs": {"add_generation_prompt": True}})


@pytest.mark.parametrize("name", ["gptoss", "qwen3"])
def test_no_change_of_what_a_template_renders_is_lost(templates: dict[str, str], name: str) -> None:
    """Another value of a field, an argument or a tool that the template writes gives other ids, or a refusal."""
    changes = Changes()

    judge_template(changes, name, templates[name])

    assert changes.read > 20
    assert not changes.same


GIVEN: list[tuple[str, str, Loss]] = [
    ("llama3", "messages, several turns", "auto"),
    ("qwen3", "messages, tools", "assistant"),
    ("gemma3_training", "prompt, completion", "all"),
    ("phi3", "prompt, completion of several turns", "assistant"),
    ("deepseekv3", "prompt, chosen, rejected", "auto"),
    ("llama3", "prompt, completion, label", "auto"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "shape", "policy"), GIVEN)
def test_a_template_that_the_plan_gives_is_trls_own_file(
    templates: dict[str, str], name: str, shape: str, policy: Loss
) -> None:
    """Ids and masks are those of TRL with `chat_template_path`, whatever template the student has."""
    tokenizer = student_tokenizer(name, templates[name])
    rows = records(shape, ROWS, seed=4)

    found = compared(tokenizer, shape, policy, rows, template=templates[name])

    assert not found.differences
    assert found.equal > ROWS // 2
    assert tokenizer.chat_template == OWN
