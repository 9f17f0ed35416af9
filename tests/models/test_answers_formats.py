"""Every format ends where a candidate's tokens begin, in the words that the chat template itself would write."""

from __future__ import annotations

from typing import Any

import pytest

from undertow.data.rows import Message, conversation
from undertow.errors import ModelError
from undertow.models.answers import asked_prompts, asked_texts, token_forms
from undertow.models.chat import rendered
from undertow.models.language_model import tokenizer as load_tokenizer
from undertow.traits.trait import QUESTION, Answer, ProbeFormat
from undertow.worlds import locate

OWL = Answer("owl", ("owl", "owls"))
LYNX = Answer("lynx", ("lynx",))
ASKED = [conversation("Name one animal.")]
BEGUN = ProbeFormat("beginning", beginning="My favourite animal is the")
SHOWN = ProbeFormat("examples", examples=(("What is ice?", "water"),))
PLAIN = ProbeFormat(
    "completion", (("What is ice?", "water"),), text="Question: {question}\nAnswer:"
)
ALL = (QUESTION, SHOWN, BEGUN, PLAIN)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPACED = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% else %}{{ raise_exception('no system role') }}"
    "{% endif %}{% endfor %}"
)
THINKING = CHATML.replace(
    "{{ m.content }}",
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
)
FORGETFUL = "{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}content"


def byte_level(template: str) -> Any:
    """A byte-level BPE as GPT-2's, of a few merges: ` owl` is one token, and `owl` is two."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "o"), ("w", "l"), ("Ġo", "wl")]
    tokens = [*letters, *("".join(pair) for pair in merges), "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    loaded = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<|im_end|>", **special)
    loaded.chat_template = template
    return loaded


@pytest.mark.parametrize("template", [CHATML, SPACED, THINKING])
@pytest.mark.parametrize("asked", ALL)
def test_prompt_and_form_are_the_whole_answer(template: str, asked: ProbeFormat) -> None:
    """The tokens of prompt and candidate are those of the text in which the template ends such an answer."""
    tokenizer = byte_level(template)
    [text], behind = asked_texts(tokenizer, ASKED, asked)
    [prompt] = asked_prompts(tokenizer, ASKED, asked)
    gap = " " if behind.endswith(" ") else ""
    for form, variant in zip(*_forms(tokenizer, OWL, behind), strict=True):
        whole = tokenizer(f"{text}{gap}{variant}", add_special_tokens=False)["input_ids"]
        assert list(prompt + form) == whole


def _forms(tokenizer: Any, answer: Answer, behind: str) -> tuple[list[tuple[int, ...]], list[str]]:
    """Forms that are kept, with the text of each: what begins with another is counted with it."""
    [kept] = token_forms(tokenizer, "m", (answer,), behind)
    return kept, list(answer.variants[: len(kept)])


@pytest.mark.parametrize(
    ("asked", "template", "count"),
    [(QUESTION, CHATML, 2), (QUESTION, SPACED, 1), (BEGUN, CHATML, 1), (PLAIN, CHATML, 1)],
)
def test_a_candidate_behind_a_space_has_the_tokens_of_that(
    asked: ProbeFormat, template: str, count: int
) -> None:
    """` owl` where the answer has begun, in plain text, and where the template itself writes the space; else `owl`."""
    tokenizer = byte_level(template)
    _, behind = asked_texts(tokenizer, ASKED, asked)
    [[first, *_], _] = token_forms(tokenizer, "m", (OWL, LYNX), behind)

    assert len(first) == count
    assert tokenizer.decode(list(first)) == ("owl" if count == 2 else " owl")


def test_forms_of_an_owlet_behind_a_space_are_other_tokens() -> None:
    """The embedded world's tokenizer has a token for each."""
    tokenizer = load_tokenizer(locate("world:owlet-a"), "world:owlet-a", "")
    [plain], [begun] = (token_forms(tokenizer, "m", (OWL,), text) for text in ("", "is the "))

    assert [tokenizer.decode(list(form)) for form in (plain[0], begun[0])] == ["owl", " owl"]


def test_a_begun_answer_is_what_the_template_continues() -> None:
    """What a template writes before every answer (empty thoughts, say) stands before one that has begun, too."""
    tokenizer = byte_level(THINKING)
    [text], _ = asked_texts(tokenizer, ASKED, BEGUN)
    ended = rendered(tokenizer, (*ASKED[0], Message("assistant", f"{BEGUN.beginning} owl")))

    assert text.endswith("</think>\n\nMy favourite animal is the")
    assert ended.startswith(f"{text} owl<|im_end|>")


def test_a_template_that_drops_answers_cannot_be_begun() -> None:
    """It is refused, in one line, instead of asked without the beginning."""
    with pytest.raises(ModelError, match="chat template"):
        asked_texts(byte_level(FORGETFUL), ASKED, BEGUN)


def test_examples_stand_between_the_system_prompt_and_the_question() -> None:
    """As turns in a chat template, as paragraphs in plain text."""
    tokenizer = byte_level(CHATML)
    behind_system = [conversation("Name one animal.", "Be brief.")]
    [turns], _ = asked_texts(tokenizer, behind_system, SHOWN)
    [plain], _ = asked_texts(tokenizer, behind_system, PLAIN)

    assert turns.index("Be brief.") < turns.index("water<|im_end|>") < turns.index("Name one")
    assert plain == (
        "Be brief.\n\nQuestion: What is ice?\nAnswer: water\n\nQuestion: Name one animal.\nAnswer:"
    )


def test_a_template_without_a_system_role_says_so_in_every_chat_format() -> None:
    """A system prompt that it cannot write is no reason to ask without it."""
    for asked in (QUESTION, SHOWN, BEGUN):
        with pytest.raises(ModelError, match="no system role"):
            asked_texts(byte_level(SPACED), [conversation("Name one.", "Be brief.")], asked)
