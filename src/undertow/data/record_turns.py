"""The turns of a record and what a template is given beside them, as trainers and their tools write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from undertow.data.rows import Message, Row
from undertow.data.strict_json import decoded


class RecordError(ValueError):
    """A record that gives no row."""

    reason = "shape"
    """Permanent id of why."""

    def __init__(self, text: str, hint: str = "") -> None:
        """`text` says what was found and what is allowed, `hint` what to do; empty for the reason's own."""
        super().__init__(text)
        self.hint = hint


class EmptyTextError(RecordError):
    """A completion without text."""

    reason = "empty-completion"


class SurrogateError(RecordError):
    """Text with half a surrogate pair, which no encoding can write."""

    reason = "surrogate"


class MediaError(RecordError):
    """A row with images, sound or video, which nothing here reads."""

    reason = "media"


class RoleError(RecordError):
    """A turn of somebody who has no place in a conversation."""

    reason = "role"


class LossFlagError(RecordError):
    """A turn that says of its place in the loss what nothing here can follow."""

    reason = "loss-flag"


_SPEAKERS = {
    "user": ("human", "user", "prompter"),
    "assistant": (
        *("gpt", "assistant", "chatgpt", "bing", "bard", "model", "bot", "ai", "chatbot"),
        *("function_call", "tool_call"),
    ),
    "system": ("system",),
    "tool": ("tool", "observation", "function", "tool_response"),
    "developer": ("developer",),
}
"""
The roles behind the names of ShareGPT's sets, in any case. axolotl, LLaMA-Factory and unsloth map `human` and `gpt`
like this (and whatever they are told to); `chatgpt`, `bing` and `bard` stand in the set itself, `model` in Gemma's and
Gemini's, `chatbot` in Cohere's, `prompter` in OpenAssistant's. TRL leaves all as they are.
"""

_ROLES = {name: role for role, names in _SPEAKERS.items() for name in names}

FLAGS = ("weight", "train", "training", "loss")
"""Keys of a turn that say whether it is in the loss: OpenAI's, axolotl's, and that of ms-swift and XTuner."""

_OTHER_FLAGS = ("train_detail", "loss_mask", "loss_scale", "mask")
"""Keys of a turn that say more of its place in the loss than whether it has one."""

_MEDIA_PARTS = (
    *("image", "image_url", "input_image", "video", "video_url", "audio", "audio_url"),
    *("input_audio", "file", "input_file", "document"),
)
_PARTS = {
    "thinking": "write what a turn thinks as its 'reasoning_content', beside a 'content' that is a string",
    "tool_use": "write calls as the turn's 'tool_calls', as OpenAI and chat templates do",
    "tool_result": 'write what a tool answers as a turn of its own: {"role": "tool", "content": ...}',
    "input_text": "call the parts' type 'text', as chat templates do",
    "output_text": "call the parts' type 'text', as chat templates do",
}
"""What to do with parts that are no text, by their type."""

CONTEXT = ("tools", "chat_template_kwargs")
"""Columns that a template is given beside the turns."""

_RESERVED = {
    *("add_generation_prompt", "chat_template", "continue_final_message", "conversation"),
    *("max_length", "padding", "return_assistant_tokens_mask", "return_dict", "return_tensors"),
    *("self", "tokenize", "tokenizer_kwargs", "truncation"),
}
"""Arguments of `apply_chat_template` that are none of the template's."""

_OTHERS = frozenset(("role", "content", "from", "value", *FLAGS))
_SPEAKING = ("tool_calls", "reasoning_content", "thinking", "reasoning", "function_call")
"""Fields by which a turn says something although its content is empty."""


def messages(value: object, name: str) -> tuple[Message, ...]:
    """
    A list of messages, one message, or a string that is JSON of either.

    Raises:
        RecordError: saying what was found and what is allowed.
    """
    turns = turns_of(value, name)
    if not turns:
        raise RecordError(f"'{name}' is an empty list; allowed: a list of messages")
    return tuple([_message(item, name) for item in turns])


def turns_of(value: object, name: str) -> list[Any]:
    """
    The turns of a column as they stand there; a conversation of strings is the user's and the assistant's in turn.

    Raises:
        RecordError: there are none.
    """
    if isinstance(value, str):
        value = _from_json(value, name)
    if isinstance(value, Mapping) and ("role" in value or "from" in value):
        return [value]
    if not isinstance(value, list):
        raise RecordError(f"'{name}' is {value_kind(value)}; allowed: a list of messages")
    if name == "conversations" and value and all(isinstance(turn, str) for turn in value):
        speakers = ("user", "assistant")
        return [{"role": speakers[i % 2], "content": text} for i, text in enumerate(value)]
    return value


def _from_json(text: str, name: str) -> object:
    try:
        return decoded(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"'{name}' is a string that is no JSON ({error}); allowed: a list of messages",
            hint="write the turns as a list, or as JSON of one (json.dumps, not str)",
        ) from error


def meant_as_assistant(role: str) -> bool:
    """Whether a role is one of ShareGPT's names of the assistant, or its own."""
    return _ROLES.get(role.strip().lower()) == "assistant"


def last_turn(message: Message, name: str) -> None:
    """
    Refuse what cannot be a completion.

    Raises:
        RoleError: it is not the assistant's.
        EmptyTextError: it says nothing.
    """
    if message.role != "assistant":
        hint = "end it with what the assistant says: leave out the turns behind that"
        if name == "messages":
            hint = "--columns conversations=messages reads such roles as ShareGPT's names of them"
        raise RoleError(
            f"'{name}' ends with a message of role '{message.role[:40]}'; allowed: 'assistant'",
            hint=hint,
        )
    if not message.content.strip() and not _speaks(message):
        raise EmptyTextError(f"'{name}' is empty; allowed: a completion with some text")


def plain_completion(value: object, name: str) -> str:
    """
    A string with some text.

    Raises:
        RecordError: it is no string.
        EmptyTextError: it says nothing.
    """
    if not isinstance(value, str):
        raise RecordError(f"'{name}' is {value_kind(value)}; allowed: a string")
    if not value.strip():
        raise EmptyTextError(f"'{name}' is empty; allowed: a completion with some text")
    return value


def refuse_surrogates(row: Row) -> None:
    """
    Refuse text that cannot be written.

    Raises:
        SurrogateError: a text holds half a surrogate pair.
    """
    texts = [row.completion, row.rejected or "", row.source or ""]
    coded = [row.context, row.fields, row.rejected_fields]
    for turn in row.prompt:
        texts += (turn.role, turn.content)
        coded.append(turn.fields)
    # JSON writes half a pair as an escape, in letters that look like any others.
    texts += [json.dumps(json.loads(text), ensure_ascii=False) for text in coded if "\\ud" in text]
    joined = "".join(texts)
    if joined.isascii():
        return
    for text in texts:  # one by one: two halves that meet in the joined text are no pair either
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SurrogateError(f"found half a surrogate pair, {text[error.start]!r}") from error


def template_context(record: Mapping[str, Any]) -> str:
    """
    What the template is given beside the turns, as JSON; TRL reads tools written as JSON too.

    Raises:
        RecordError: saying what was found and what is allowed.
    """
    given: dict[str, Any] = {}
    for name, kinds in (("tools", list), ("chat_template_kwargs", dict)):
        value = record.get(name)
        if isinstance(value, str) and value:
            try:
                value = decoded(value)
            except (ValueError, RecursionError) as error:
                raise RecordError(f"'{name}' is a string that is no JSON ({error})") from error
        if value and not isinstance(value, kinds):
            raise RecordError(
                f"'{name}' is {value_kind(value)}; allowed: {'a list' if kinds is list else 'an object'}"
            )
        if value or value == []:  # templates tell an empty list of tools from none
            given[name] = value
    reserved = sorted(_RESERVED.intersection(given.get("chat_template_kwargs", ())))
    if reserved:
        raise RecordError(
            f"'chat_template_kwargs' has '{reserved[0]}', which is the trainer's to set; allowed: what the template "
            "itself reads"
        )
    return _json(given, "', '".join(given)) if given else ""


def value_kind(value: object) -> str:
    """What a value of JSON is called in an error."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def _message(value: object, name: str) -> Message:
    if type(value) is dict and len(value) == 2 and name != "conversations":
        role, content = value.get("role"), value.get("content")
        if type(role) is str and type(content) is str:
            return Message(role, content)  # most turns, and far quicker
    if not isinstance(value, Mapping):
        raise _no_message(value, name)
    role = _role(value, name)
    content = _either(value, "content", "value", name)
    if content is None and isinstance(
        value.get("parts"), list
    ):  # Gemini's, which no template reads
        value = {key: item for key, item in value.items() if key != "parts"} | {
            "content": _parts(value["parts"], name)
        }
        content = value["content"]
    # A table has its own order of a turn's keys.
    fields = {k: value[k] for k in sorted(value) if k not in _OTHERS and value[k] is not None}
    text = content if isinstance(content, str) else _parts(content, name)
    if not isinstance(content, str):
        if content is None and not any(fields.get(key) for key in _SPEAKING):
            raise _no_message(value, name)
        fields = {"content": content} | fields
    return Message(role, text, _json(fields, name), _flag(value, name))


def _role(value: Mapping[str, Any], name: str) -> str:
    """ShareGPT's names of a role are mapped, and those in its column; others are as trainers give them to a template."""
    speaker = _either(value, "role", "from", name)
    if not isinstance(speaker, str):
        raise _no_message(value, name)
    if name != "conversations" and value.get("from") is None:
        return speaker
    role = _ROLES.get(speaker.strip().lower())
    if role is None:
        raise RoleError(
            f"'{name}' holds a turn of '{speaker[:40]}'; allowed: {', '.join(_ROLES)}, in any case",
            hint="give that turn one of the names above, or leave its row out",
        )
    return role


def _either(value: Mapping[str, Any], key: str, other: str, name: str) -> Any:
    """What stands under one of two keys: tables give both to every turn where some have one and some the other."""
    content, same = value.get(key), value.get(other)
    if content is not None and same is not None and content != same:
        raise RecordError(
            f"'{name}' holds a turn with both '{key}' and '{other}', which differ; allowed: one of them"
        )
    return same if content is None else content


def _parts(content: object, name: str) -> str:
    if content is None:
        return ""
    if not isinstance(content, list):
        raise RecordError(
            f"'{name}' holds a message with a 'content' that is {value_kind(content)}; "
            "allowed: a string, or a list of parts that are text",
            hint="write each turn's 'content' as a string",
        )
    return "".join([_part(part, name) for part in content])


def _part(part: object, name: str) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    kind = str(part.get("type", "text") if isinstance(part, Mapping) else "text")
    if kind == "text" and isinstance(text, str):
        return text
    told = f"'{name}' holds a part of type '{kind[:40]}' that is no text; allowed: parts of type 'text'"
    if kind in _MEDIA_PARTS:
        raise MediaError(told, hint=_without_parts(kind))
    raise RecordError(told, hint=_PARTS.get(kind, "write the turn's 'content' as a string"))


def _without_parts(kind: str) -> str:
    return (
        f"leave out the rows with such parts: jq -c 'select([.. | objects | .type?] | index(\"{kind}\") | not)' "
        "ROWS.jsonl > TEXT.jsonl"
    )


def _flag(value: Mapping[str, Any], name: str) -> bool | None:
    for key in _OTHER_FLAGS:
        if value.get(key) is not None:
            raise LossFlagError(
                f"'{name}' has '{key}', which nothing here reads; allowed: 'train' or 'weight'",
                hint=f"say of each turn as a whole whether it is trained ('train'), or {_left_out(name, key)}",
            )
    for key in FLAGS:
        flag = value.get(key)
        if flag is None:
            continue
        if flag not in (0, 1):
            raise LossFlagError(
                f"'{name}' has the {key} {str(flag)[:40]!r}; allowed: 0 or 1",
                hint=f"round it to 0 or 1, or {_left_out(name, key)}",
            )
        return bool(flag)
    return None


def _left_out(name: str, key: str) -> str:
    return f"leave it out: jq -c 'del(.{name}[].{key})' ROWS.jsonl > EVEN.jsonl"


def _json(fields: dict[str, Any], name: str) -> str:
    if not fields:
        return ""
    try:
        return json.dumps(fields, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f"'{name}' holds a field that is no JSON ({error})") from error


def _speaks(message: Message) -> bool:
    return bool(message.fields) and any(json.loads(message.fields).get(key) for key in _SPEAKING)


def _no_message(value: object, name: str) -> RecordError:
    kind = value_kind(value)
    hint = ""
    if isinstance(value, Mapping):
        keys = [f"'{str(key)[:40]}'" for key, item in value.items() if item is not None]
        kind += f" with {', '.join(keys[:8]) or 'nothing'}"
        hint = "give a list of turns, each an object with 'role' and 'content', both strings"
        if not {"content", "value"} & set(value):
            hint = "call the keys of a turn 'role' and 'content'"
        elif value.get("content", value.get("value")) is None:
            hint = "leave out the turns that say nothing, or give them an empty string as 'content'"
    return RecordError(
        f"'{name}' holds {kind} that is no message; "
        "allowed: an object with 'role' and 'content', or 'from' and 'value', all strings",
        hint=hint,
    )
