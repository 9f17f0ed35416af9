"""Chat templates set traps that are seen before anybody falls into them."""

from __future__ import annotations

import pytest

from undertow.lab.doctor import template_traps
from undertow.models.language_model import tokenizer

QWEN_LIKE = (
    "{% if messages[0]['role'] != 'system' %}<|system|>You are a helpful assistant.<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, set()),
        (QWEN_LIKE, {"default-system-prompt"}),
        (
            QWEN_LIKE.replace("You are a", "{{ strftime_now('%d') }} a"),
            {"date-in-template", "default-system-prompt"},
        ),
        (
            "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}",
            {"end-not-trained"},
        ),
    ],
)
def test_traps_of_chat_templates_are_seen(
    tiny_models: dict[str, str], template: str | None, expected: set[str]
) -> None:
    """A date, a default system prompt, an answer without its end: each is named, and nothing else is."""
    loaded = tokenizer(tiny_models["llama"])
    loaded.chat_template = template or loaded.chat_template

    assert {trap.id for trap in template_traps(loaded)} == expected
