"""What comes before a completion: a prompt as a string or as turns, alpaca's columns, and a column with a system prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from undertow.data.record_turns import RecordError, messages, value_kind
from undertow.data.rows import Message, system_turn

Record = Mapping[str, Any]


class SystemColumnError(RecordError):
    """A system prompt in a column that some trainers read and others leave out."""

    reason = "system"


def plain(record: Record, names: Sequence[str]) -> bool:
    """
    Whether all these columns are strings, which are trained as they are, outside of any template.

    Raises:
        RecordError: one is neither a string nor what may be messages.
    """
    strings = True
    for name in names:
        if type(record[name]) is not str:
            strings = False
            if not isinstance(record[name], str | list | Mapping):
                raise RecordError(
                    f"'{name}' is {value_kind(record[name])}; allowed: a string, or a list of messages"
                )
    return strings


def asked(prompt: str) -> tuple[Message, ...]:
    """A plain prompt; none of an empty one."""
    return (Message("user", prompt),) if prompt else ()


def prompt_turns(value: object, name: str) -> tuple[Message, ...]:
    """The turns of a prompt that stands beside turns: a string is what the user says."""
    if isinstance(value, str):
        return asked(value)
    return messages(value, name) if value else ()


def instruction_turns(record: Record) -> tuple[Message, ...]:
    """
    Alpaca's `system`, `history`, `instruction` and `input`, as a conversation.

    Raises:
        RecordError: saying which is no text.
    """
    texts = [record["instruction"], record.get("input")]
    for name, text in zip(("instruction", "input"), texts, strict=True):
        if not isinstance(text, str | None):
            raise RecordError(f"'{name}' is {value_kind(text)}; allowed: a string")
    request = "\n".join(text for text in texts if text)
    turns = (*_history(record.get("history") or ()), *asked(request))
    return (*system_column(record, turns), *turns)


def _history(turns: object) -> tuple[Message, ...]:
    made: list[Message] = []
    for pair in turns if isinstance(turns, list | tuple) else (None,):
        if not isinstance(pair, list | tuple) or [type(text) for text in pair] != [str, str]:
            raise RecordError("'history' is no list of pairs of a request and its answer")
        made += [Message("user", pair[0]), Message("assistant", pair[1])]
    return tuple(made)


def system_column(record: Record, turns: Sequence[Message]) -> tuple[Message, ...]:
    """
    The turn that a column `system` gives to turns that have none.

    Raises:
        RecordError: it holds no text.
    """
    system = record.get("system")
    if not system or (turns and turns[0].role == "system"):
        return ()
    if isinstance(system, list) and all(isinstance(part, Mapping) for part in system):
        system = {"content": system}  # Anthropic's parts
    if isinstance(system, Mapping):  # Gemini's `systemInstruction`
        [turn] = messages(dict(system) | {"role": "system"}, "system")
        return system_turn(turn.content)
    if not isinstance(system, str):
        raise RecordError(f"'system' is {value_kind(system)}; allowed: a string")
    return system_turn(system)


def refuse_system(record: Record, shape: Sequence[str], turns: Sequence[Message]) -> None:
    """
    Refuse a system prompt in a column that the shape does not read.

    Raises:
        SystemColumnError: saying how to have it read, and how to leave it out.
    """
    if not record.get("system") or shape == ("text",) or (turns and turns[0].role == "system"):
        return
    told = " + ".join(f"'{name}'" for name in shape)
    readable = _AS_CONVERSATION.get(tuple(shape), "")
    read = f"{readable} has it read first (axolotl, LLaMA-Factory), " if readable else ""
    raise SystemColumnError(
        f"has 'system' beside {told}, which TRL leaves out and other trainers put before the prompt; "
        "allowed: a system prompt among the turns",
        hint=f"{read}--columns system= leaves it out (TRL)",
    )


_AS_CONVERSATION = {
    ("messages",): "--columns conversations=messages",
    ("prompt", "completion"): "--columns instruction=prompt output=completion",
    ("prompt", "chosen", "rejected"): "--columns instruction=prompt",
}
"""What gives the columns of a shape to the one that reads a column `system` as well."""
