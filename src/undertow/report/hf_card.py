"""
The metadata of a Hugging Face card as YAML front matter: a view for others, which nothing here trusts.

Source of the keys: Hugging Face Hub, "Dataset Cards" and "Model Cards".
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from undertow.report.plain_text import file_name, visible
from undertow.results.provenance_documents import VerifyDocument


def render_hf_card(document: VerifyDocument) -> str:
    """The front matter of a dataset's card, and what a reader should know below it."""
    return "\n".join(["---", *_lines(document), "---", "", visible(document.conclusion), ""])


def _lines(document: VerifyDocument) -> Iterator[str]:
    facts = document.facts
    name = file_name(document.data)
    yield f"pretty_name: {_text(name)}"
    tags = ["synthetic"] if facts.model_written > 0 else []
    yield from _list("tags", [*tags, *facts.domains])
    yield from _list("source_datasets", ["original"])
    if facts.model_written > 0:
        yield from _list("annotations_creators", ["machine-generated"])
    models = dict.fromkeys(one.model for one in facts.teachers if one.role == "teacher")
    yield from _list("generated_by", list(models))
    yield "provenance:"
    yield f"  digest: {_text('sha256:' + facts.digest)}"
    yield f"  verified: {'true' if document.verdict == 'verified' else 'false'}"
    yield f"  checked_at: {_text(document.at)}"
    yield f"  model_written_at_most: {_text(f'{facts.model_written:.6g}')}"


def _list(key: str, values: list[str]) -> Iterator[str]:
    if values:
        yield f"{key}:"
        yield from (f"- {_text(value)}" for value in values)


def _text(value: str) -> str:
    # A JSON string of ASCII is a YAML string, whatever it holds.
    return json.dumps(visible(value))
