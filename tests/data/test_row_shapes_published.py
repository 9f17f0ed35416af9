"""Rows in the forms in which public datasets and services publish them: read as trainers read them, or refused with what to type."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from undertow.data.column_names import advised, renamed
from undertow.data.record_turns import RecordError
from undertow.data.row_shapes import NoShapeError, from_record, shaped, unread_columns
from undertow.data.rows import Message, Row

USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Yes"}
OTHER = {"role": "assistant", "content": "No"}
HI = (Message("user", "Hi"),)
KIND = Message("system", "Be kind.")
CHAT = Row(HI, "Yes", whole=True)
PLAIN = Row(HI, "Yes", chat=False)
PAIR = Row(HI, "Yes", "No")
PLAIN_PAIR = Row(HI, "Yes", "No", chat=False)
CALL = {"name": "more", "arguments": '{"n": 3}'}
TOOLS = [{"type": "function", "function": {"name": "more"}}]


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    """Turns as ShareGPT writes them."""
    return [{"from": speaker, "value": text} for speaker, text in turns]


HUMAN, GPT = said(("human", "Hi"), ("gpt", "Yes"))


@dataclass(frozen=True)
class Published:
    """A row of a public form."""

    record: dict[str, Any]
    row: Row
    unread: tuple[str, ...] = ()
    """Columns that are told to be unread."""
    columns: str = ""
    """What has to be typed, and is what a refusal advises."""


READ = {
    "OpenAI": Published(
        {"messages": [USER, REPLY], "parallel_tool_calls": False}, CHAT, ("parallel_tool_calls",)
    ),
    "OpenAI, weights": Published(
        {"messages": [USER, REPLY | {"weight": 0}, USER, OTHER | {"weight": 1}]},
        Row((*HI, Message("assistant", "Yes", trained=False), *HI), "No", trained=True),
    ),
    "OpenAI, functions": Published(
        {"messages": [USER, {"role": "assistant", "function_call": CALL}], "functions": []},
        Row(
            HI,
            "",
            fields=json.dumps({"content": None, "function_call": CALL}, separators=(",", ":")),
        ),
        ("functions",),
    ),
    "OpenAI, preferences": Published(
        {
            "input": {"messages": [USER]},
            "preferred_output": [REPLY],
            "non_preferred_output": [OTHER],
        },
        PAIR,
        ("input",),
        "prompt=input.messages chosen=preferred_output rejected=non_preferred_output",
    ),
    "OpenAI, a log of requests": Published(
        {"request": {"messages": [USER]}, "response": {"choices": [{"message": REPLY}]}},
        Row(HI, "Yes"),
        ("request", "response"),
        "prompt=request.messages completion=response.choices.0.message",
    ),
    "Anthropic, a system prompt in parts": Published(
        {"system": [{"type": "text", "text": "Be kind."}], "messages": [USER, REPLY]},
        Row((KIND, *HI), "Yes"),
        columns="conversations=messages",
    ),
    "CNN/DailyMail": Published(
        {"article": "Hi", "highlights": "Yes", "id": "x"},
        PLAIN,
        columns="prompt=article completion=highlights",
    ),
    "XSum": Published(
        {"document": "Hi", "summary": "Yes"}, PLAIN, columns="prompt=document completion=summary"
    ),
    "HumanEval": Published(
        {"prompt": "Hi", "canonical_solution": "Yes", "test": "t"},
        PLAIN,
        ("test",),
        "completion=canonical_solution",
    ),
    "Gemini": Published(
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}]},
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"text": "Yes"}]},
            ],
        },
        Row((KIND, *HI), "Yes"),
        columns="conversations=contents system=systemInstruction",
    ),
    "ms-swift, XTuner": Published(
        {"messages": [USER, REPLY | {"loss": False}, USER, OTHER]},
        Row((*HI, Message("assistant", "Yes", trained=False), *HI), "No"),
    ),
    "ShareGPT": Published({"id": "x_0", "conversations": [HUMAN, GPT]}, CHAT),
    "ShareGPT, system and tools": Published(
        {"system": "Be kind.", "conversations": [HUMAN, GPT], "tools": json.dumps(TOOLS)},
        Row((KIND, *HI), "Yes", context=json.dumps({"tools": TOOLS}, separators=(",", ":"))),
    ),
    "ShareGPT, tools": Published(
        {
            "conversations": said(
                ("human", "Hi"), ("function_call", "{}"), ("observation", "7"), ("gpt", "Yes")
            )
        },
        Row((*HI, Message("assistant", "{}"), Message("tool", "7")), "Yes"),
    ),
    "a table of two schemas": Published(
        {
            "conversations": [
                HUMAN | {"role": None, "content": None},
                {"from": None, "value": None} | REPLY,
            ]
        },
        CHAT,
    ),
    "NeMo": Published(
        {"mask": "User", "conversations": said(("User", "Hi"), ("Assistant", "Yes"))},
        CHAT,
        ("mask",),
    ),
    "Cohere": Published(
        {"messages": [{"role": "User", "content": "Hi"}, {"role": "Chatbot", "content": "Yes"}]},
        CHAT,
        columns="conversations=messages",
    ),
    "OpenHermes": Published(
        {
            "conversations": [HUMAN | {"weight": None}, GPT | {"weight": None}],
            "system_prompt": None,
            "skip_prompt_formatting": False,
        },
        CHAT,
        ("skip_prompt_formatting",),
    ),
    "SlimOrca": Published(
        {"conversations": [HUMAN | {"weight": 0.0}, GPT | {"weight": 1.0}]},
        Row((Message("user", "Hi", trained=False),), "Yes", trained=True),
    ),
    "OpenThoughts": Published(
        {"system": "Be kind.", "conversations": said(("user", "Hi"), ("assistant", "<think>Yes"))},
        Row((KIND, *HI), "<think>Yes"),
    ),
    "LIMA": Published(
        {"conversations": ["Hi", "Yes"], "source": "wiki"}, Row(HI, "Yes", source="wiki")
    ),
    "UltraChat": Published(
        {"prompt": "Hi", "prompt_id": "x", "messages": [USER, REPLY]}, CHAT, ("prompt", "prompt_id")
    ),
    "UltraChat, raw": Published(
        {"id": 1, "data": ["Hi", "Yes"]}, CHAT, columns="conversations=data"
    ),
    "WildChat, LMSYS": Published(
        {"model": "m", "conversation": [USER, REPLY], "turn": 1},
        CHAT,
        ("model", "turn"),
        "messages=conversation",
    ),
    "Tulu": Published(
        {"messages": [USER, REPLY], "source": "t", "dataset": "d"},
        Row(HI, "Yes", source="t"),
        ("dataset",),
    ),
    "NuminaMath": Published(
        {"problem": "Hi", "solution": "Yes", "messages": [USER, REPLY]},
        CHAT,
        ("problem", "solution"),
    ),
    "DeepSeek, Qwen": Published(
        {"messages": [USER, REPLY | {"reasoning_content": "owl"}]},
        Row(HI, "Yes", fields='{"reasoning_content":"owl"}'),
    ),
    "UltraFeedback": Published(
        {
            "prompt": "Hi",
            "chosen": [USER, REPLY],
            "rejected": [USER, OTHER],
            "messages": [USER, REPLY],
        },
        PAIR,
        ("messages",),
    ),
    "Orca, pairs": Published(
        {"system": "Be kind.", "question": "Hi", "chosen": "Yes", "rejected": "No"},
        Row((KIND, *HI), "Yes", "No"),
        columns="instruction=question",
    ),
    "Intel, pairs without a system prompt": Published(
        {"question": "Hi", "chosen": "Yes", "rejected": "No"}, PLAIN_PAIR, columns="prompt=question"
    ),
    "LLaMA-Factory, pairs": Published(
        {"conversations": [HUMAN], "chosen": GPT, "rejected": GPT | {"value": "No"}}, PAIR
    ),
    "LLaMA-Factory, pairs of alpaca": Published(
        {"instruction": "Hi", "input": "", "chosen": "Yes", "rejected": "No"}, PAIR
    ),
    "LLaMA-Factory, KTO": Published(
        {"conversations": [HUMAN, GPT], "kto_tag": False}, Row(HI, "Yes", label=False)
    ),
    "KTO of alpaca": Published(
        {"instruction": "Hi", "input": "", "output": "Yes", "kto_tag": True},
        Row(HI, "Yes", label=True),
    ),
    "KTO of conversations": Published(
        {"messages": [USER, REPLY], "label": False}, Row(HI, "Yes", label=False)
    ),
    "labels of something else": Published(
        {"messages": [USER, REPLY], "label": 1}, CHAT, ("label",)
    ),
    "HH-RLHF": Published(
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Yes", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
        Row((Message("user", "\n\nHuman: Hi\n\nAssistant:"),), " Yes", " No", chat=False),
    ),
    "Nectar": Published(
        {
            "prompt": "Hi",
            "answers": [{"answer": "Yes", "rank": 1.0}, {"answer": "No", "rank": 2.0}],
        },
        PLAIN_PAIR,
        ("answers",),
        "chosen=answers.0.answer rejected=answers.1.answer",
    ),
    "Dolly": Published(
        {"instruction": "Add", "context": "1 2", "response": "3", "category": "math"},
        Row((Message("user", "Add\n1 2"),), "3"),
        ("category",),
        "output=response input=context",
    ),
    "Alpaca": Published(
        {"instruction": "Hi", "input": "", "output": "Yes", "text": "### Hi"},
        Row(HI, "Yes"),
        columns="text=",
    ),
    "Alpaca, as text": Published(
        {"instruction": "Hi", "input": "", "output": "Yes", "text": "### Hi"},
        Row((), "### Hi", chat=False),
        ("input", "output"),
        "instruction=",
    ),
    "OpenOrca": Published(
        {"system_prompt": "Be kind.", "question": "Hi", "response": "Yes"},
        Row((KIND, *HI), "Yes"),
        columns="instruction=question output=response system=system_prompt",
    ),
    "FLAN": Published(
        {"inputs": "Hi", "targets": "Yes", "task": "t"},
        PLAIN,
        ("task",),
        "prompt=inputs completion=targets",
    ),
    "GSM8K": Published(
        {"question": "Hi", "answer": "Yes"}, PLAIN, columns="prompt=question completion=answer"
    ),
    "Magicoder": Published(
        {"lang": "py", "problem": "Hi", "solution": "Yes"},
        PLAIN,
        ("lang",),
        "prompt=problem completion=solution",
    ),
    "xLAM": Published(
        {"query": "Hi", "answers": "Yes", "tools": json.dumps(TOOLS)},
        PLAIN,
        ("tools",),
        "prompt=query completion=answers",
    ),
    "Glaive": Published(
        {"system": "SYSTEM: x", "chat": "USER: Hi"},
        Row((), "USER: Hi", chat=False),
        ("system",),
        "text=chat",
    ),
    "Anthropic, a system prompt": Published(
        {"system": "Be kind.", "messages": [USER, REPLY]},
        Row((KIND, *HI), "Yes"),
        columns="conversations=messages",
    ),
    "a system prompt beside a prompt": Published(
        {"system": "Be kind.", "prompt": "Hi", "completion": "Yes"},
        Row((KIND, *HI), "Yes"),
        columns="instruction=prompt output=completion",
    ),
    "a system prompt beside a pair": Published(
        {"system": "Be kind.", "prompt": "Hi", "chosen": "Yes", "rejected": "No"},
        Row((KIND, *HI), "Yes", "No"),
        columns="instruction=prompt",
    ),
    "turns and a string": Published({"prompt": [USER], "completion": "Yes"}, Row(HI, "Yes")),
    "a string and turns": Published({"prompt": "Hi", "completion": [REPLY]}, Row(HI, "Yes")),
    "one turn that is no list": Published({"prompt": [USER], "completion": REPLY}, Row(HI, "Yes")),
    "Nemotron": Published(
        {"input": [USER], "output": "Yes", "category": "math"},
        Row(HI, "Yes"),
        ("category",),
        "prompt=input completion=output",
    ),
    "columns in capitals": Published(
        {"Question": "Hi", "Complex_CoT": "owl", "Response": "Yes"},
        PLAIN,
        ("Complex_CoT",),
        "prompt=Question completion=Response",
    ),
    "a column behind a space": Published(
        {"prompt": "Hi", " completion": "Yes"}, PLAIN, columns="'completion= completion'"
    ),
}


def pairs(columns: str) -> list[tuple[str, str]]:
    """`--columns` as the command line takes it apart."""
    return [(name, old) for name, _, old in (pair.partition("=") for pair in shlex.split(columns))]


@pytest.mark.parametrize("name", READ)
def test_a_published_form_is_read_as_it_is_trained(name: str) -> None:
    """The row, and the columns that are told to be unread."""
    case = READ[name]
    record = renamed(case.record, pairs(case.columns))
    assert isinstance(record, dict)
    shape, row = shaped(record)

    assert row == case.row
    assert tuple(sorted(unread_columns(record, shape))) == tuple(sorted(case.unread))


@pytest.mark.parametrize("name", [name for name, case in READ.items() if case.columns])
def test_a_refusal_advises_what_reads_it(name: str) -> None:
    """The option is named word for word; Nectar's ranks are for a person to see."""
    case = READ[name]
    with pytest.raises(RecordError) as caught:
        from_record(case.record)

    advice = caught.value.hint or advised(case.record)
    assert f"--columns {case.columns}" in advice or name == "Nectar"


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "images": (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, REPLY]},
        "media",
        "leave out the rows with such parts",
    ),
    "a column of images": (
        {"messages": [USER, REPLY], "images": ["x"]},
        "media",
        "leave such rows",
    ),
    "thinking in parts": (
        {"messages": [USER, {"role": "assistant", "content": [{"type": "thinking"}]}]},
        "shape",
        "'reasoning_content'",
    ),
    "a call in parts": (
        {"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use"}]}]},
        "shape",
        "'tool_calls'",
    ),
    "what a tool says in parts": (
        {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}, REPLY]},
        "shape",
        '"role": "tool"',
    ),
    "parts of the responses": (
        {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, REPLY]},
        "shape",
        "call the parts' type 'text'",
    ),
    "a weight between": (
        {"messages": [USER, REPLY | {"weight": 0.5}]},
        "loss-flag",
        "round it to 0 or 1",
    ),
    "a mask of letters": ({"messages": [USER, REPLY | {"loss_mask": [1]}]}, "loss-flag", "'train'"),
    "an unknown speaker": (
        {"conversations": said(("narrator", "Hi"), ("gpt", "Yes"))},
        "role",
        "names above",
    ),
    "two contents": ({"messages": [USER, REPLY | {"value": "No"}]}, "shape", ""),
    "two speakers": ({"messages": [USER, REPLY | {"from": "human"}]}, "shape", ""),
    "other keys of a turn": (
        {"messages": [{"speaker": "a", "text": "b"}]},
        "shape",
        "call the keys of a turn 'role'",
    ),
    "a refusal": (
        {"messages": [USER, {"role": "assistant", "content": None, "refusal": "No."}]},
        "shape",
        "leave out the turns that say nothing",
    ),
    "turns as Python writes them": (
        {"messages": "[{'role': 'user'}]"},
        "shape",
        "json.dumps, not str",
    ),
    "a plain prompt beside turns": (
        {"prompt": "Hi", "chosen": [REPLY], "rejected": [OTHER]},
        "shape",
        "make it a turn: jq -c",
    ),
    "turns beside plain sides": (
        {"prompt": [USER], "chosen": "Yes", "rejected": "No"},
        "shape",
        "make them turns: jq -c",
    ),
    "a file that is one object": (
        {"version": "1.0", "data": [{"prompt": "Hi", "completion": "Yes"}]},
        "shape",
        "jq -c '.data[]'",
    ),
    "a table of pandas": (
        {"prompt": {"0": "Hi"}, "completion": {"0": "Yes"}},
        "shape",
        "write its rows one a line: python -c",
    ),
    "columns of a table": ({"prompt": ["Hi"], "completion": ["Yes"]}, "shape", "write its rows"),
    "a number for a content": (
        {"messages": [USER | {"content": 5}, REPLY]},
        "shape",
        "'content' as a string",
    ),
    "segments": ({"segments": [{"label": True, "text": "Yes"}]}, "shape", ""),
    "a tree of OpenAssistant": (
        {"message_tree_id": "x", "prompt": {"text": "Hi", "role": "prompter", "replies": []}},
        "shape",
        "",
    ),
    "SHP": ({"history": "Hi", "human_ref_A": "Yes", "human_ref_B": "No", "labels": 1}, "shape", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_trainer_reads_like_that_is_refused_with_what_to_do(name: str) -> None:
    """A permanent reason, one line, and a hint of its own, or none where only the author can tell."""
    record, reason, hint = REFUSED[name]
    with pytest.raises(RecordError) as caught:
        from_record(record)

    told = caught.value.hint or advised(record)
    assert caught.value.reason == reason
    assert "\n" not in f"{caught.value}{told}"
    assert told.startswith(hint) or (hint and hint in told)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(
    "name",
    [
        "a plain prompt beside turns",
        "turns beside plain sides",
        "a weight between",
        "a file that is one object",
    ],
)
def test_the_command_of_a_hint_makes_rows_that_are_read(name: str) -> None:
    """What `jq` writes has a shape."""
    record = REFUSED[name][0]
    with pytest.raises(RecordError) as caught:
        from_record(record)
    hint = caught.value.hint or advised(record)
    program = shlex.split(hint[hint.index("jq -c") :])[2]
    made = subprocess.run(
        ["jq", "-c", program], input=json.dumps(record), capture_output=True, text=True, check=True
    )

    assert from_record(json.loads(made.stdout)).completion == "Yes"


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("name", ["images", "a column of images"])
def test_the_command_of_a_hint_leaves_out_what_cannot_be_read(name: str) -> None:
    """The row with images goes, one of text stays."""
    record = REFUSED[name][0]
    with pytest.raises(RecordError) as caught:
        from_record(record)
    program = shlex.split(caught.value.hint[caught.value.hint.index("jq -c") :])[2]
    text = {"messages": [USER, REPLY], "images": []}
    made = subprocess.run(
        ["jq", "-c", program],
        input=json.dumps(record) + json.dumps(text),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(made.stdout) == text


@pytest.mark.parametrize(
    "speaker", ["GPT", "gpt", "chatgpt", "bing", "bard", "assistant", "Assistant", "model"]
)
@pytest.mark.parametrize("asker", ["Human", "human", "user", "USER", "prompter"])
def test_speakers_are_known_in_every_spelling(speaker: str, asker: str) -> None:
    """As they stand in the sets of ShareGPT, whatever their case."""
    assert from_record({"conversations": said((asker, "Hi"), (speaker, "Yes"))}) == CHAT


def test_an_unknown_speaker_is_named_with_those_that_are_allowed() -> None:
    """In a ShareGPT set as in a list of messages that names speakers like one."""
    for column in ("conversations", "messages"):
        with pytest.raises(
            RecordError, match=r"turn of 'narrator'; allowed: human, user,.* gpt, .*observation"
        ):
            from_record({column: said(("narrator", "Hi"), ("gpt", "Yes"))})


def test_roles_of_messages_stay_as_the_template_gets_them() -> None:
    """TRL gives a template whatever role stands there: `developer` is none of ShareGPT's names to be mapped."""
    row = from_record(
        {
            "messages": [
                {"role": "developer", "content": "x"},
                {"role": "Human", "content": "Hi"},
                REPLY,
            ]
        }
    )

    assert [turn.role for turn in row.prompt] == ["developer", "Human"]


def test_several_shapes_are_told_apart_by_two_options() -> None:
    """Each of the options that are advised leaves the shape that it names."""
    record = READ["Alpaca"].record
    with pytest.raises(NoShapeError, match="more than one shape"):
        from_record(record)

    assert (
        advised(record)
        == "--columns text= for instruction + output, or --columns instruction= for text"
    )
