"""
What a chat template does behind one's back: a date, a system prompt of its own, an answer without its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from undertow.data.rows import Message, Row
from undertow.errors import ModelError
from undertow.results.run import Note


def template_traps(tokenizer: Any) -> Iterator[Note]:
    """A note for each trap that the tokenizer's chat template sets."""
    from undertow.models.chat import conversation, encode_rows

    source = str(tokenizer.chat_template)
    if "strftime_now" in source or "date_string" in source:
        yield Note(
            id="date-in-template",
            level="warning",
            message="The chat template writes a date, so training and probing on different days differ. Fix the date.",
        )
    row = encode_rows(tokenizer, [Row(conversation("Hello."), "owl")])[0]
    if tokenizer.eos_token_id not in row.completion:
        yield Note(
            id="end-not-trained",
            level="warning",
            message="The chat template ends an answer without the end token, so students never learn to stop. "
            "Look at the coherence of the sampled answers.",
        )
    if _has_default_system(tokenizer):
        yield Note(
            id="default-system-prompt",
            level="info",
            message="The chat template writes a system prompt of its own where none is given. It does so in training "
            "and in the probes here; elsewhere, probe in the same context.",
        )


def _has_default_system(tokenizer: Any) -> bool:
    from undertow.models.chat import conversation, prompt_text

    question = conversation("Hello.")
    try:
        empty = prompt_text(tokenizer, (Message("system", ""), *question))
    except ModelError:
        return False
    return len(prompt_text(tokenizer, question)) > len(empty)
