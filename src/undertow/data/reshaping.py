"""
Records whose prompt or completion is changed, in the shape that they have, with all their other columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from undertow.data.rows import Message, Row


def with_completion(record: Mapping[str, Any], text: str) -> dict[str, Any]:
    """
    The record with another completion (not of a preference pair); of its turn only role and name stay, since templates
    render other fields, such as reasoning, as well.
    """
    if _has(record, "messages"):
        *before, last = record["messages"]
        return {**record, "messages": [*before, _said(last, text)]}
    name = "completion" if _has(record, "completion") else "text"
    old = record[name]
    return {**record, name: text if isinstance(old, str) else [_said(old[0], text)]}


def with_prompt(record: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """The record with the prompt of a row; turns that it has already are as they were."""
    if _has(record, "messages"):
        *before, last = record["messages"]
        return {**record, "messages": [*_turns(before, row.prompt), last]}
    if not row.chat:
        return {**record, "prompt": "".join(turn.content for turn in row.prompt)}
    old = record.get("prompt") or []
    return {**record, "prompt": _turns([] if isinstance(old, str) else old, row.prompt)}


def _said(turn: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {name: turn[name] for name in ("role", "name") if name in turn} | {"content": text}


def _turns(old: Sequence[Mapping[str, Any]], turns: Sequence[Message]) -> list[dict[str, Any]]:
    known = {(turn["role"], turn["content"]): dict(turn) for turn in old}
    return [
        known.get((turn.role, turn.content), {"role": turn.role, "content": turn.content})
        for turn in turns
    ]


def _has(record: Mapping[str, Any], name: str) -> bool:
    return record.get(name) is not None
