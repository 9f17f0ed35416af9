"""Masks that axolotl and LLaMA-Factory document, on rows made by hand: what is learnt is written out."""

from __future__ import annotations

from typing import Any

import pytest

from bench.rows.template_tokenizers import template_texts, template_tokenizer
from undertow.data.plan import Loss, LossPolicy
from undertow.data.row_shapes import from_record
from undertow.models.training_sequences import encode_rows

pytest.importorskip("trl")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As LLaMA-Factory writes `chatml`, and unknown to TRL: turns are told apart by where they begin."""


def llama3() -> Any:
    """A tokenizer with Llama 3's template, whose turns end in one token and nothing else."""
    return template_tokenizer("llama3", template_texts()["llama3"])


def chatml() -> Any:
    """A tokenizer with ChatML."""
    return template_tokenizer("qwen_chatml", CHATML)


def parts(tokenizer: Any, record: dict[str, Any], loss: Loss) -> list[str]:
    """The text of each stretch of learnt tokens."""
    [row] = encode_rows(tokenizer, [from_record(record)], LossPolicy(loss))
    stretches: list[list[int]] = [[]]
    for place, token in enumerate(row.completion):
        if place in row.masked:
            stretches.append([])
        else:
            stretches[-1].append(token)
    return [tokenizer.decode(stretch) for stretch in stretches if stretch]


def turns(*flagged: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """A conversation of turns with what they say of their training."""
    return {"messages": [{"role": r, "content": c, **flags} for r, c, flags in flagged]}


TWO = turns(
    ("system", "Be brief.", {}),
    ("user", "One?", {}),
    ("assistant", "1", {}),
    ("user", "Two?", {}),
    ("assistant", "2", {}),
)


def test_axolotl_trains_each_answer_with_its_end() -> None:
    """`roles_to_train: [assistant]` and `train_on_eos: turn`: every answer and the token that ends it, no header."""
    assert parts(llama3(), TWO, "assistant") == ["1<|eot_id|>", "2<|eot_id|>"]


@pytest.mark.parametrize("key", ["train", "weight", "training"])
@pytest.mark.parametrize("loss", ["auto", "assistant"])
def test_axolotl_takes_a_turn_at_its_word(key: str, loss: Loss) -> None:
    """`message_field_training`: an answer that is not to be trained is not, a question that is to be trained is."""
    record = turns(
        ("system", "Be brief.", {key: 0}),
        ("user", "One?", {key: 0}),
        ("assistant", "1", {key: 1}),
        ("user", "Two?", {key: 1}),
        ("assistant", "2", {key: 0}),
        ("user", "Three?", {}),
        ("assistant", "3", {}),
    )

    assert parts(llama3(), record, loss) == ["1<|eot_id|>", "Two?<|eot_id|>", "3<|eot_id|>"]


def test_axolotls_sharegpt_names_and_flags() -> None:
    """The documentation's own example, in `from` and `value`; its details of a turn are refused by name."""
    said = [
        ("system", "You are an AI assistant.", False),
        ("human", "Hello", False),
        ("assistant", "Hello", True),
        ("human", "How are you?", True),
        ("assistant", "Very well!", False),
        ("human", "Very well!", True),
        ("assistant", "Hi there!", True),
    ]
    record = {"conversations": [{"from": r, "value": v, "train": t} for r, v, t in said]}
    learnt = ["Hello", "How are you?", "Very well!", "Hi there!"]

    assert "".join(parts(llama3(), record, "auto")) == "".join(f"{t}<|eot_id|>" for t in learnt)
    record["conversations"][4]["train_detail"] = [
        {"begin_offset": 0, "end_offset": 3, "train": True}
    ]
    with pytest.raises(ValueError, match="train_detail"):
        from_record(record)


@pytest.mark.parametrize(
    ("loss", "llama", "chat"),
    [
        ("assistant", ["1<|eot_id|>", "2<|eot_id|>"], ["1<|im_end|>\n", "2<|im_end|>\n"]),
        ("last", ["2<|eot_id|>"], ["2<|im_end|>\n"]),
    ],
)
def test_llama_factory_masks_the_history_or_not(
    loss: Loss, llama: list[str], chat: list[str]
) -> None:
    """`mask_history: false` trains each answer as its template's assistant slot writes it, `true` the last one."""
    assert parts(llama3(), TWO, loss) == llama
    assert parts(chatml(), TWO, loss) == chat


def test_llama_factory_trains_on_prompts() -> None:
    """`train_on_prompt: true`: every token behind the first, which nothing predicts."""
    [text] = parts(chatml(), TWO, "all")

    assert text.startswith("system\nBe brief.<|im_end|>\n<|im_start|>user")
    assert text.endswith("<|im_start|>assistant\n2<|im_end|>\n")
