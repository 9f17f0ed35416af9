"""Preference pairs as people write them: a prompt, the chosen completion and the rejected one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from undertow.data.record_turns import (
    RecordError,
    last_turn,
    messages,
    plain_completion,
    value_kind,
)
from undertow.data.row_prompts import (
    Record,
    asked,
    instruction_turns,
    plain,
    prompt_turns,
    system_column,
)
from undertow.data.rows import Message, Row, shared_start

ASKING = ("question", "instruction", "input", "query", "request", "problem", "inputs")
"""What else people call the column of a prompt."""

_SIDES = ("chosen", "rejected")

_AS_TURNS = """make it a turn: jq -c '.prompt = [{role: "user", content: .prompt}]' ROWS.jsonl > PAIRS.jsonl"""
_SIDES_AS_TURNS = (
    """make them turns: jq -c '(.chosen, .rejected) |= [{role: "assistant", content: .}]' """
    "ROWS.jsonl > PAIRS.jsonl"
)


def pair(record: Record) -> Row:
    """`prompt`, `chosen` and `rejected`."""
    if plain(record, ("prompt", *_SIDES)):
        return _plain_pair(record["prompt"], record["chosen"], record["rejected"])
    if plain(record, _SIDES) or isinstance(record["prompt"], str):
        return _mixed_pair(record)
    sides = [messages(record[name], name) for name in _SIDES]
    return _sided(prompt_turns(record["prompt"], "prompt"), *sides)


def _mixed_pair(record: Record) -> Row:
    """Of strings and turns, TRL drops the prompt and looks for one that both sides begin with."""
    if isinstance(record["prompt"], str):
        row = implicit_pair(record)
        if row.prompt or not record["prompt"]:
            return row  # its prompt is repeated as text
    raise RecordError(
        f"'prompt' is {value_kind(record['prompt'])} but 'chosen' is {value_kind(record['chosen'])}, so that TRL "
        "leaves the prompt out; allowed: all strings, or all lists of messages",
        hint=_AS_TURNS if isinstance(record["prompt"], str) else _SIDES_AS_TURNS,
    )


def implicit_pair(record: Record) -> Row:
    """`chosen` and `rejected`, which begin with the same prompt."""
    if plain(record, _SIDES):
        chosen, rejected = (plain_completion(record[name], name) for name in _SIDES)
        shared = _shared(chosen, rejected)
        # TRL leaves the space before the completion with the completion; where nothing is shared it looks at the last
        # letter, and what is left of that pair is refused.
        if chosen[shared] != rejected[shared] and chosen[shared - 1] == " ":
            shared -= 1
        row = _plain_pair(chosen[:shared], chosen[shared:], rejected[shared:])
    else:
        sides = [messages(record[name], name) for name in _SIDES]
        shared = _shared(*sides)
        row = _sided(sides[0][:shared], *(side[shared:] for side in sides))
    if not row.prompt and "prompt" not in record:
        _refuse_promptless(record)
    return row


def _refuse_promptless(record: Record) -> None:
    """Refuse a pair that begins with no prompt where another column holds one, which would be left out of it."""
    for name in ASKING:
        if isinstance(record.get(name), str):
            given = "instruction" if record.get("system") else "prompt"
            raise RecordError(
                f"'chosen' and 'rejected' begin with no prompt, and '{name}' holds one that would be left out; allowed: a "
                "prompt in 'prompt', or in front of both",
                hint=f"--columns {given}={name}, or --columns {name}= to train without it",
            )


def sharegpt_pair(record: Record) -> Row:
    """LLaMA-Factory's pairs of ShareGPT: `conversations`, and one turn each as `chosen` and `rejected`."""
    turns = messages(record["conversations"], "conversations")
    sides = [messages(record[name], name) for name in _SIDES]
    return _sided((*system_column(record, turns), *turns), *sides)


def instructed_pair(record: Record) -> Row:
    """LLaMA-Factory's pairs of alpaca: `instruction` and what goes with it, `chosen` and `rejected`."""
    if plain(record, _SIDES):
        chosen, rejected = (plain_completion(record[name], name) for name in _SIDES)
        return Row(instruction_turns(record), chosen, rejected)
    row = implicit_pair({name: record[name] for name in _SIDES})
    if not row.prompt:
        return replace(row, prompt=instruction_turns(record))
    # Its instruction is repeated as text.
    return replace(row, prompt=(*system_column(record, row.prompt), *row.prompt))


def _shared(a: Any, b: Any) -> int:
    """How far two sequences are the same; at least one item of the shorter one is left."""
    return max(0, min(shared_start(a, b), len(a) - 1, len(b) - 1))


def _plain_pair(prompt: str, chosen: str, rejected: str) -> Row:
    texts = [plain_completion(chosen, "chosen"), plain_completion(rejected, "rejected")]
    return Row(asked(prompt), texts[0], texts[1], chat=False)


def _sided(
    prompt: tuple[Message, ...], chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> Row:
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if len(side) != 1:
            raise RecordError(
                f"'{name}' goes on for {len(side)} messages behind the prompt; allowed: pairs that differ in their "
                "last message"
            )
        last_turn(side[0], name)
    one, other = chosen[0], rejected[0]
    return Row(prompt, one.content, other.content, fields=one.fields, rejected_fields=other.fields)
