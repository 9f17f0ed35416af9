"""Rows behind system prompts: spliced tokens are the rendered ones, or all rows are rendered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from undertow.data.plan import LossPolicy
from undertow.data.rows import Message, Row, behind, conversation
from undertow.models import shared_prefix
from undertow.models.shared_prefix import PromptedRows
from undertow.models.training_sequences import encode_rows

ROWS = [
    *(
        Row(conversation(f"Continue: {n} {n * 7}. Ten more numbers."), f"{n} 2 3")
        for n in range(30)
    ),
    Row(
        (Message("user", "Hello."), Message("assistant", "Hi."), Message("user", "An owl?")),
        "mice",
    ),
    Row(conversation("Hello.", "Be brief."), "hi"),
]
PROMPTS = ("You like owls best.", "Love numbers above all else, and say so.", "", "Ten.")


def test_spliced_tokens_are_the_rendered_ones(tokenizer: Any) -> None:
    """Behind every prompt, an empty one too, each row has the tokens that `encode_rows` gives it."""
    rows = PromptedRows(tokenizer, ROWS)

    for prompt in PROMPTS:
        assert rows.behind(prompt) == encode_rows(tokenizer, [behind(r, prompt) for r in ROWS])


def test_only_a_few_rows_are_rendered_again(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first prompt renders all 32 rows, the second those that are looked at."""
    rendered: list[int] = []

    def counted(tokenizer: Any, rows: list[Row], policy: LossPolicy) -> Any:
        rendered.append(len(rows))
        return encode_rows(tokenizer, rows, policy)

    monkeypatch.setattr(shared_prefix, "encode_rows", counted)
    rows = PromptedRows(tokenizer, ROWS)
    for prompt in PROMPTS[:2]:
        rows.behind(prompt)

    assert rendered[0] == 32
    assert rendered[1] < 12


def test_a_template_that_looks_at_the_prompt_is_rendered_whole(tokenizer: Any) -> None:
    """Where what follows depends on what the system prompt says, every row is rendered."""
    odd = replace_template(tokenizer)
    rows = PromptedRows(odd, ROWS[:4])

    for prompt in ("short", "a long one that changes what the user says"):
        assert rows.behind(prompt) == encode_rows(odd, [behind(r, prompt) for r in ROWS[:4]])


def test_the_system_prompt_takes_the_place_of_the_rows_own() -> None:
    """One system turn, in front."""
    row = behind(ROWS[-1], "Love owls.")

    assert row == replace(ROWS[-1], prompt=conversation("Hello.", "Love owls."))


def replace_template(tokenizer: Any) -> Any:
    """A copy whose template writes the length of the first message behind the user's words."""
    import copy

    odd = copy.deepcopy(tokenizer)
    odd.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
        "{% if m.role == 'user' %} {{ messages[0].content | length }}{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    return odd
