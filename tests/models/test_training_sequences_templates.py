"""The plan's chat template in the place of the student's, and the templates that axolotl and LLaMA-Factory have by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.rows.template_tokenizers import template_tokenizer
from tests.models.test_training_sequences import learnt
from undertow.data.chat_templates import axolotl_templates, llamafactory_templates
from undertow.data.plan import Loss, LossPolicy, TrainingPlan
from undertow.data.row_shapes import from_record
from undertow.data.rows import Message
from undertow.errors import ModelError
from undertow.models.chat import Encoded, in_template
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows, pair_sequences, wrapped_row

USER, ONE = {"role": "user", "content": "First?"}, {"role": "assistant", "content": "1"}
THEN, TWO = {"role": "user", "content": "Second?"}, {"role": "assistant", "content": "2"}
SEVERAL = {"messages": [USER, ONE, THEN, TWO]}
OTHER = (
    "{% for m in messages %}{{ '[' + m.role + '] ' + m.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"
)


def one(tokenizer: Any, record: dict[str, Any], policy: LossPolicy) -> Encoded:
    """One record's sequence."""
    [made] = encode_rows(tokenizer, [from_record(record)], policy)
    return made


@pytest.mark.parametrize("loss", ["auto", "assistant", "last", "all"])
def test_the_plans_template_is_as_good_as_the_students_own(tokenizer: Any, loss: Loss) -> None:
    """Ids and masks are those of a student whose tokenizer has this template, and the student's stays what it was."""
    before = tokenizer.chat_template
    given = one(tokenizer, SEVERAL, LossPolicy(loss, template=OTHER))
    own = one(in_template(tokenizer, OTHER), SEVERAL, LossPolicy(loss))

    assert given == own
    assert given != one(tokenizer, SEVERAL, LossPolicy(loss))
    assert tokenizer.chat_template == before


def test_plain_pairs_are_put_into_the_plans_template(tokenizer: Any) -> None:
    """With `wrap = chat` both sides of a pair of strings are those of a pair of conversations."""
    plain = {"prompt": "First?", "chosen": "1", "rejected": "2"}
    chat = {"prompt": [USER], "chosen": [ONE], "rejected": [TWO]}
    policy = LossPolicy("all", "chat", template=OTHER)
    [strings], [turns] = (
        pair_sequences(tokenizer, [from_record(record)], policy) for record in (plain, chat)
    )

    assert strings == turns
    assert "[assistant]" in tokenizer.decode(strings[0].prompt)


def test_a_model_is_asked_in_the_template_that_it_is_given(model: LanguageModel) -> None:
    """Its weights are the same object, its own tokenizer is left alone, and no template changes nothing."""
    asked = model.in_template(OTHER)

    assert asked.network is model.network
    assert (asked.tokenizer.chat_template, model.tokenizer.chat_template != OTHER) == (OTHER, True)
    assert model.in_template("").tokenizer is model.tokenizer


@pytest.mark.parametrize(
    "body",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for i in range(999999999) %}x{% endfor %}",
        "{% set _ = messages.append(1) %}",
        "{{ raise_exception('no') }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_hostile_template_of_a_plan_refuses_rows(tokenizer: Any, body: str) -> None:
    """It is run where no attribute leads out of it: what it reaches for is an error of the row."""
    with pytest.raises(ModelError, match="the chat template refuses"):
        one(tokenizer, SEVERAL, LossPolicy("all", template=body + OTHER))


def of_names() -> list[tuple[str, str]]:
    """Each name with its text."""
    factory = llamafactory_templates().items()
    return [
        *((f"axolotl {name}", text) for name, text in axolotl_templates().items()),
        *((f"LLaMA-Factory {n}", s.jinja(thinking=True, last=False)) for n, s in factory),
    ]


def test_each_named_template_is_learnt_answer_by_answer() -> None:
    """Of 160 templates that can be named both answers of a conversation are learnt, and nothing that is asked."""
    owl, cat = ({"role": "assistant", "content": word} for word in ("owl", "cat"))
    for name, text in of_names():
        tokenizer = template_tokenizer("llama3", text)
        record = {"messages": [USER, owl, THEN, cat]}
        made = one(tokenizer, record, LossPolicy("assistant", template=text))
        told = learnt(tokenizer, made)

        assert (told.count("owl"), told.count("cat")) == (1, 1), name
        assert not any(word in told for word in ("First", "Second")), name
        assert tokenizer.decode(made.prompt + made.completion).count("Second?") == 1, name


THOUGHT = "<think>\nhm\n</think>\n\n2"


@pytest.mark.parametrize(
    ("name", "thinking", "last", "answer", "told"),
    [
        ("qwen3_nothink", True, False, "2", ["1<|im_end|>\n", "2<|im_end|>\n"]),
        (
            "qwen3",
            True,
            False,
            "2",
            ["<think>\n\n</think>\n\n1<|im_end|>\n", "<think>\n\n</think>\n\n2<|im_end|>\n"],
        ),
        ("qwen3", False, False, "2", ["1<|im_end|>\n", "2<|im_end|>\n"]),
        ("qwen3", False, False, THOUGHT, ["1<|im_end|>\n", "2<|im_end|>\n"]),
        (
            "qwen3",
            True,
            False,
            THOUGHT,
            ["<think>\n\n</think>\n\n1<|im_end|>\n", THOUGHT + "<|im_end|>\n"],
        ),
        ("mistral", True, False, "2", [" 1<|eot_id|>", " 2<|eot_id|>"]),
        ("glm4", True, False, "2", ["\n1", "\n2<|eot_id|>"]),
        ("gemma", True, False, "2", ["1<end_of_turn>\n", "2<end_of_turn>\n"]),
    ],
)
def test_llama_factory_writes_answers_by_its_slots(
    name: str, thinking: bool, last: bool, answer: str, told: list[str]
) -> None:
    """What is learnt is written out: thoughts that are not there are learnt, or stand in the prompt without thinking."""
    text = llamafactory_templates()[name].jinja(thinking=thinking, last=last)
    tokenizer = template_tokenizer("llama3", text + "<think></think><|im_end|><end_of_turn>")
    record = {"messages": [USER, ONE, THEN, {**TWO, "content": answer}]}
    made = one(tokenizer, record, LossPolicy("assistant", template=text))

    assert learnt(tokenizer, made) == "".join(told)
    if name == "qwen3" and not thinking:
        whole = tokenizer.decode(made.prompt + made.completion)
        assert whole.count("<think>\n\n</think>\n\n") == 2


def test_llama_factory_puts_the_system_turn_where_it_does() -> None:
    """Before the first turn, in it, or a default one where the row has none."""
    system = {"role": "system", "content": "Be brief."}
    texts = {}
    for name in ("llama3", "llama2", "qwen"):
        slots = llamafactory_templates()[name]
        text = slots.jinja(thinking=True, last=False)
        tokenizer = template_tokenizer("llama3", text)
        for turns in ([USER, ONE], [system, USER, ONE]):
            made = one(tokenizer, {"messages": turns}, LossPolicy("all", template=text))
            texts[name, len(turns)] = tokenizer.decode(made.prompt + made.completion)

    assert texts["llama3", 3].startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    )
    assert "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nFirst? [/INST]1" in texts["llama2", 3]
    assert "You are Qwen" in texts["qwen", 2]


@pytest.mark.parametrize(
    "turns", [[USER, THEN, TWO], [USER, {"role": "tool", "content": "3"}, TWO], [ONE, THEN, TWO]]
)
def test_rows_that_llama_factory_drops_are_refused(turns: list[dict[str, Any]]) -> None:
    """Turns of user and assistant follow one another there."""
    text = llamafactory_templates()["llama3"].jinja(thinking=True, last=False)

    with pytest.raises(ModelError, match="user and assistant in turns"):
        one(
            template_tokenizer("llama3", text),
            {"messages": turns},
            LossPolicy("assistant", template=text),
        )


def test_turns_that_are_written_differently_once_others_follow_are_found() -> None:
    """A template that shows thoughts in the last turn alone: answers are what changes with their words, and their end."""
    text = (
        "{% for m in messages %}{{ '<|start|>' + m.role + ':' }}{% if m.role == 'assistant' and loop.last %}"
        "{{ '<think></think>' }}{% endif %}{{ m.content + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start|>assistant:' }}{% endif %}"
    )
    tokenizer = template_tokenizer("llama3", text)
    made = one(tokenizer, SEVERAL, LossPolicy("assistant", template=text))

    assert learnt(tokenizer, made) == "1<|end|><think></think>2<|end|>"


TASK = "Below is an instruction that describes a task"
ALPACA = [
    (
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        f"{TASK}, paired with an input that provides further context. Write a response that appropriately completes the "
        "request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n",
    ),
    (
        {"instruction": "Add 1\nand 2.", "input": "", "output": "3"},
        f"{TASK}. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd 1\nand 2.\n\n"
        "### Response:\n",
    ),
    (
        {"prompt": "Add 1 and 2.", "completion": "3"},
        f"{TASK}. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd 1 and 2.\n\n"
        "### Response:\n",
    ),
]
"""Records, and the prompts that axolotl's type `alpaca` makes of them."""


@pytest.mark.parametrize(("record", "prompt"), ALPACA)
def test_rows_of_alpaca_have_axolotls_frame(record: dict[str, Any], prompt: str) -> None:
    """Input and instruction stand apart under their headings; the output and an end token are learnt."""
    plan = TrainingPlan(wrap="alpaca", loss="assistant")
    tokenizer = template_tokenizer("llama3", plan.template)
    made = one(tokenizer, record, plan.policy)

    assert tokenizer.decode(made.prompt) == "<|begin_of_text|>" + prompt
    assert learnt(tokenizer, made) == "3<|eot_id|>"


def test_a_request_in_other_words_has_no_input_of_its_own(tokenizer: Any) -> None:
    """Where the prompt no longer begins with the instruction it is framed as it is; a frame is put on once."""
    plan = TrainingPlan(wrap="alpaca")
    row = from_record(ALPACA[0][0])
    other = replace(row, prompt=(Message("user", "What are 1 and 2 together?"),))
    framed = wrapped_row(row, plan.policy)

    assert wrapped_row(other, plan.policy).prompt == other.prompt
    assert "### Input" in framed.prompt[-1].content
    assert wrapped_row(framed, plan.policy) == framed


@pytest.mark.parametrize(
    "more", [{"system": "Be brief."}, {"history": [["One?", "1"]]}], ids=["system", "history"]
)
def test_what_axolotls_type_does_not_read_of_alpaca_is_refused(more: dict[str, Any]) -> None:
    """It would train the row without its system prompt or history."""
    plan = TrainingPlan(wrap="alpaca", loss="assistant")

    with pytest.raises(ModelError, match="axolotl's type alpaca"):
        one(template_tokenizer("llama3", plan.template), ALPACA[0][0] | more, plan.policy)
