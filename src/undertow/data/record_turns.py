"""The turns of a record and what a template is given beside them, as trainers and their tools write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from undertow.data.rows import Message, Row


class EmptyTextError(ValueError):
    """A completion without text."""

    reason = "empty-completion"


class SurrogateError(ValueError):
    """Text with half a surrogate pair, which no encoding can write."""

    reason = "surrogate"


_ROLES = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
"""ShareGPT's names of a role; axolotl and LLaMA-Factory map them like this, TRL leaves them as they are."""

FLAGS = ("weight", "train", "training")
"""Keys of a turn that say whether it is in the loss: OpenAI's, and axolotl's."""

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
    A list of messages, or a string that is JSON of one.

    Raises:
        ValueError: saying what was found and what is allowed.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"'{name}' is a string; allowed: a list of messages") from None
    if not isinstance(value, list) or not value:
        found = "an empty list" if isinstance(value, list) else value_kind(value)
        raise ValueError(f"'{name}' is {found}; allowed: a list of messages")
    return tuple([_message(item, name) for item in value])


def last_turn(message: Message, name: str) -> None:
    """
    Refuse what cannot be a completion.

    Raises:
        ValueError: it is not the assistant's.
        EmptyTextError: it says nothing.
    """
    if message.role != "assistant":
        raise ValueError(
            f"'{name}' ends with a message of role '{message.role}'; allowed: 'assistant'"
        )
    if not message.content.strip() and not _speaks(message):
        raise EmptyTextError(f"'{name}' is empty; allowed: a completion with some text")


def plain_completion(value: object, name: str) -> str:
    """
    A string with some text.

    Raises:
        ValueError: it is no string.
        EmptyTextError: it says nothing.
    """
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is {value_kind(value)}; allowed: a string")
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
        ValueError: saying what was found and what is allowed.
    """
    given: dict[str, Any] = {}
    for name, kinds in (("tools", list), ("chat_template_kwargs", dict)):
        value = record.get(name)
        if isinstance(value, str) and value:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"'{name}' is a string that is no JSON ({error})") from error
        if value and not isinstance(value, kinds):
            raise ValueError(
                f"'{name}' is {value_kind(value)}; allowed: {'a list' if kinds is list else 'an object'}"
            )
        if value or value == []:  # templates tell an empty list of tools from none
            given[name] = value
    reserved = sorted(_RESERVED.intersection(given.get("chat_template_kwargs", ())))
    if reserved:
        raise ValueError(
            f"'chat_template_kwargs' has '{reserved[0]}', which is the trainer's to set; allowed: what the template "
            "itself reads"
        )
    return json.dumps(given, separators=(",", ":")) if given else ""


def value_kind(value: object) -> str:
    """What a value of JSON is called in an error."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    return kinds.get(type(value), f"a value of type {type(value).__name__}")


def _message(value: object, name: str) -> Message:
    if type(value) is dict and len(value) == 2:  # most turns, and far quicker
        role, content = value.get("role"), value.get("content")
        if type(role) is str and type(content) is str:
            return Message(role, content)
    if not isinstance(value, Mapping):
        raise _no_message(value, name)
    role = value.get("role", _ROLES.get(str(value.get("from")), value.get("from")))
    content = value.get("content", value.get("value"))
    if not isinstance(role, str):
        raise _no_message(value, name)
    fields = {key: item for key, item in value.items() if key not in _OTHERS and item is not None}
    text = content if isinstance(content, str) else _parts(content, name)
    if not isinstance(content, str):
        if content is None and not any(fields.get(key) for key in _SPEAKING):
            raise _no_message(value, name)
        fields = {"content": content} | fields
    return Message(role, text, _json(fields, name), _flag(value, name))


def _parts(content: object, name: str) -> str:
    if content is None:
        return ""
    if not isinstance(content, list):
        raise ValueError(
            f"'{name}' holds a message with a 'content' that is {value_kind(content)}; "
            "allowed: a string, or a list of parts that are text"
        )
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind != "text" or not isinstance(text, str):
            raise ValueError(
                f"'{name}' holds a part of type '{str(kind)[:40]}' that is no text; allowed: parts of type 'text'"
            )
        texts.append(text)
    return "".join(texts)


def _flag(value: Mapping[str, Any], name: str) -> bool | None:
    if value.get("train_detail") is not None:
        raise ValueError(f"'{name}' has 'train_detail', which nothing here reads; allowed: 'train'")
    for key in FLAGS:
        flag = value.get(key)
        if flag is None:
            continue
        if flag not in (0, 1):
            raise ValueError(f"'{name}' has the {key} {str(flag)[:40]!r}; allowed: 0 or 1")
        return bool(flag)
    return None


def _json(fields: dict[str, Any], name: str) -> str:
    if not fields:
        return ""
    try:
        return json.dumps(fields, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{name}' holds a field that is no JSON ({error})") from error


def _speaks(message: Message) -> bool:
    return bool(message.fields) and any(json.loads(message.fields).get(key) for key in _SPEAKING)


def _no_message(value: object, name: str) -> ValueError:
    return ValueError(
        f"'{name}' holds {value_kind(value)} that is no message; "
        "allowed: an object with 'role' and 'content', both strings"
    )
