"""Are the token ids and loss masks TRL's own too where the plan gives the chat template, whatever template the student has?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from bench.figures import Figure, at_most
from bench.rows.generated_records import SHAPES, records
from bench.rows.sequences import CHIEF, Compared, compared, policies
from bench.rows.template_tokenizers import template_texts, template_tokenizer

COMMAND = "python -m bench.rows templates"

ROWS = 100
"""Generated rows of a combination."""

OWN = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
"""What the students' tokenizers have in the place of the template that the plan gives."""


def figures() -> list[Figure]:
    """All combinations in one figure."""
    measured = [*_combinations()]
    wrong = [f"{name}: {text}" for name, one in measured for text in one.differences]
    rows = sum(one.equal for _, one in measured) + len(wrong)
    first = "".join(f"; {text}" for text in wrong[:2])[:600]
    return [
        at_most(
            "templates: rows with other ids or masks than TRL's where the plan gives the template",
            len(wrong),
            0,
            "rows",
            command=COMMAND,
            note=f"of {rows:,} in {len(measured)} combinations of shape, policy and template{first}",
        )
    ]


def student_tokenizer(name: str, given: str) -> Any:
    """A tokenizer that has the tokens of a template, and another template."""
    tokenizer = template_tokenizer(name, given)
    tokenizer.chat_template = OWN
    return tokenizer


def _combinations() -> Iterator[tuple[str, Compared]]:
    texts = template_texts()
    for name in CHIEF:
        print(f"template {name}", file=sys.stderr, flush=True)
        tokenizer = student_tokenizer(name, texts[name])
        for shape in (shape for shape in SHAPES if "strings" not in shape):
            rows = records(shape, ROWS, seed=2)
            for policy in policies(shape):
                made = compared(tokenizer, shape, policy, rows, template=texts[name])
                yield f"{name}, {shape}, {policy}", made
