"""The shapes of a record: which columns make a row, and what of them a trainer reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import takewhile
from typing import Any

from undertow.data.record_turns import (
    CONTEXT,
    last_turn,
    messages,
    plain_completion,
    refuse_surrogates,
    template_context,
    value_kind,
)
from undertow.data.rows import Message, Row


class TokensError(ValueError):
    """A row with tokens of its own: what a trainer would read is not its text."""

    reason = "tokens"


class MediaError(ValueError):
    """A row with images, sound or video, which nothing here reads."""

    reason = "media"


TOKENS = ("input_ids", "labels", "completion_mask", "assistant_masks", "attention_mask")
"""Columns that trainers read in place of a row's text."""

MEDIA = ("image", "images", "video", "videos", "audio", "audios")
"""Columns that trainers read beside a row's text, and nothing here does."""

_LABELS = frozenset(("source", "id"))
_TOKENS = frozenset(TOKENS)
_MEDIA = frozenset(MEDIA)

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """One way in which people write a row."""

    columns: tuple[str, ...]
    """All of which a record must have."""
    row: Callable[[Record], Row]
    further: tuple[str, ...] = ()
    """Columns that are read where they are there."""


def _text(record: Record) -> Row:
    return Row((), plain_completion(record["text"], "text"), chat=False)


def _conversation(record: Record, name: str = "messages") -> Row:
    turns = messages(record[name], name)
    last = turns[-1]
    if last.role != "assistant":
        return Row(turns, "", whole=True, answered=False)
    last_turn(last, name)
    return Row(turns[:-1], last.content, fields=last.fields, trained=last.trained, whole=True)


def _sharegpt(record: Record) -> Row:
    row = _conversation(record, "conversations")
    return replace(row, prompt=(*_system(record, row.prompt), *row.prompt))


def _completion(record: Record) -> Row:
    if _plain(record, ("prompt", "completion")):
        completion = plain_completion(record["completion"], "completion")
        return Row(_asked(record["prompt"]), completion, chat=False)
    *earlier, last = messages(record["completion"], "completion")
    last_turn(last, "completion")
    prompt = (*_turns(record["prompt"], "prompt"), *earlier)
    return Row(prompt, last.content, fields=last.fields, trained=last.trained, earlier=len(earlier))


def _labelled(record: Record) -> Row:
    label, row = _truth(record["label"]), _completion(record)
    return row if label is None else replace(row, label=label)


def _truth(label: object) -> bool | None:
    """A label of KTO; None for one that says something else. CSV has words for it, and other tables numbers."""
    if isinstance(label, str):
        return {"true": True, "false": False}.get(label.lower())
    return bool(label) if isinstance(label, int | float) and label in (0, 1) else None


def _pair(record: Record) -> Row:
    if isinstance(record["prompt"], str) and isinstance(record["chosen"], list):
        return _implicit(record)  # its prompt is repeated as text, and TRL reads the turns
    if _plain(record, ("prompt", "chosen", "rejected")):
        return _plain_pair(record["prompt"], record["chosen"], record["rejected"])
    sides = [messages(record[name], name) for name in ("chosen", "rejected")]
    return _sided(_turns(record["prompt"], "prompt"), *sides)


def _implicit(record: Record) -> Row:
    if _plain(record, ("chosen", "rejected")):
        chosen, rejected = (plain_completion(record[n], n) for n in ("chosen", "rejected"))
        shared = _shared(chosen, rejected)
        # TRL leaves the space before the completion with the completion; where nothing is shared it looks at the last
        # letter, and what is left of that pair is refused.
        if chosen[shared] != rejected[shared] and chosen[shared - 1] == " ":
            shared -= 1
        return _plain_pair(chosen[:shared], chosen[shared:], rejected[shared:])
    sides = [messages(record[name], name) for name in ("chosen", "rejected")]
    shared = _shared(*sides)
    return _sided(sides[0][:shared], *(side[shared:] for side in sides))


def _shared(a: Any, b: Any) -> int:
    """How far two sequences are the same; at least one item of the shorter one is left."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    return max(0, min(same, len(a) - 1, len(b) - 1))


def _plain_pair(prompt: str, chosen: str, rejected: str) -> Row:
    texts = [plain_completion(chosen, "chosen"), plain_completion(rejected, "rejected")]
    return Row(_asked(prompt), texts[0], texts[1], chat=False)


def _sided(
    prompt: tuple[Message, ...], chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> Row:
    for name, side in (("chosen", chosen), ("rejected", rejected)):
        if len(side) != 1:
            raise ValueError(
                f"'{name}' goes on for {len(side)} messages behind the prompt; allowed: pairs that differ in their "
                "last message"
            )
        last_turn(side[0], name)
    one, other = chosen[0], rejected[0]
    return Row(prompt, one.content, other.content, fields=one.fields, rejected_fields=other.fields)


def _alpaca(record: Record) -> Row:
    texts = [record["instruction"], record.get("input")]
    for name, text in zip(("instruction", "input"), texts, strict=True):
        if not isinstance(text, str | None):
            raise ValueError(f"'{name}' is {value_kind(text)}; allowed: a string")
    request = "\n".join(text for text in texts if text)
    before = _history(record.get("history") or ())
    prompt = (*before, Message("user", request)) if request else before
    completion = plain_completion(record["output"], "output")
    # Trainers that read a history learn its answers too.
    return Row((*_system(record, prompt), *prompt), completion, whole=bool(before))


def _history(turns: object) -> tuple[Message, ...]:
    asked: list[Message] = []
    for pair in turns if isinstance(turns, list | tuple) else (None,):
        if not isinstance(pair, list | tuple) or [type(text) for text in pair] != [str, str]:
            raise ValueError("'history' is no list of pairs of a request and its answer")
        asked += [Message("user", pair[0]), Message("assistant", pair[1])]
    return tuple(asked)


SHAPES: tuple[Shape, ...] = (
    Shape(("messages",), _conversation, CONTEXT),
    Shape(("conversations",), _sharegpt, ("system", *CONTEXT)),
    Shape(("prompt", "completion"), _completion, CONTEXT),
    Shape(("prompt", "completion", "label"), _labelled, CONTEXT),
    Shape(("prompt", "chosen", "rejected"), _pair, CONTEXT),
    Shape(("chosen", "rejected"), _implicit, CONTEXT),
    Shape(("instruction", "output"), _alpaca, ("input", "system", "history")),
    Shape(("text",), _text),
)
"""What a record may look like: TRL's shapes, ShareGPT and alpaca."""

COLUMNS = tuple(
    dict.fromkeys(name for shape in SHAPES for name in (*shape.columns, *shape.further))
)
"""Every column that some shape reads."""

_REQUIRED = frozenset(name for shape in SHAPES for name in shape.columns)
_MEANT = {
    "prompt": ("question", "query", "input", "request", "instruction", "inputs", "problem"),
    "completion": ("answer", "response", "output", "target", "targets", "solution", "reply"),
    "messages": ("conversation", "dialog", "dialogue", "turns", "chat"),
    "text": ("content", "document", "body"),
    "chosen": ("accepted", "preferred", "winner"),
    "rejected": ("refused", "dispreferred", "loser"),
}
"""What else people call a column, for a refusal that names the nearest shape."""


def from_record(record: object) -> Row:
    """
    A row from one parsed JSON object or Parquet record; columns of no shape are ignored.

    Raises:
        ValueError: saying what was found, and the shapes that are allowed.
    """
    return shaped(record)[1]


def shaped(record: object) -> tuple[tuple[str, ...], Row]:
    """
    The same, behind the columns of its shape.

    Raises:
        ValueError: saying what was found, and the shapes that are allowed.
    """
    if not _is_object(record):
        raise ValueError(f"found {value_kind(record)}; allowed: an object with {shapes_text()}")
    assert isinstance(record, Mapping)
    shape = _shape_of(record)
    if not _MEDIA.isdisjoint(record):
        _refuse_media(record)
    row = shape.row(record)
    source = record.get("source")
    if isinstance(source, str):
        row = replace(row, source=source)
    if row.chat and shape.further:
        context = template_context(record)
        row = replace(row, context=context) if context else row
    refuse_surrogates(row)
    return shape.columns, row


def unread_columns(record: Record, shape: tuple[str, ...]) -> Iterator[str]:
    """The columns of a usable record of this shape that hold something, and that nothing reads."""
    for name in _unread(tuple(record), shape):
        if record[name] is not None:
            yield name
    if shape[-1] == "label" and _truth(record["label"]) is None:
        yield "label"
    if not isinstance(record.get("source"), str | None):
        yield "source"
    if shape[0] == "conversations" and record.get("system"):
        first = messages(record[shape[0]], shape[0])[0]
        if first.role == "system" and first.content != record["system"]:
            yield "system"
    if not _TOKENS.isdisjoint(record):
        yield from (n for n in TOKENS if not isinstance(record.get(n), list | None))
    if any(isinstance(record[n], str) for n in ("completion", "rejected") if n in shape):
        yield from (n for n in CONTEXT if record.get(n) is not None)


@lru_cache(maxsize=1024)
def _unread(names: tuple[str, ...], shape: tuple[str, ...]) -> tuple[str, ...]:
    further = next(one.further for one in SHAPES if one.columns == shape)
    read = _LABELS.union(shape, further, _TOKENS)
    return tuple(name for name in names if name not in read)


def renamed(record: object, columns: Sequence[tuple[str, str]]) -> object:
    """The record with columns under the names that a shape has for them; one that is named "" is left out."""
    if not isinstance(record, Mapping):
        return record
    made = dict(record)
    for name, old in columns:
        if not old:
            made.pop(name, None)
        elif old in record:
            made.pop(old, None)
    return made | {name: record[old] for name, old in columns if old and old in record}


def tokens_in(record: Record) -> str:
    """The columns of a record that hold tokens, as a text; empty where there are none."""
    if _TOKENS.isdisjoint(record):  # true of most rows, and far quicker
        return ""
    return ", ".join(f"'{name}'" for name in TOKENS if isinstance(record.get(name), list))


def shapes_text() -> str:
    """The allowed shapes, for an error."""
    return "; or ".join(" + ".join(f"'{name}'" for name in shape.columns) for shape in SHAPES)


def nearest_shape(columns: Iterable[str]) -> str:
    """The option by which columns of no shape become the nearest one; empty where none is near."""
    present = {name.lower(): name for name in columns}

    def meant(name: str) -> str | None:
        names = (name, *_MEANT.get(name, ()))
        return next((present[other] for other in names if other in present), None)

    for shape in SHAPES:
        found = [(name, meant(name)) for name in shape.columns]
        if all(old for _, old in found) and len({old for _, old in found}) == len(found):
            told = " ".join(f"{new}={old}" for new, old in found if new != old)
            return f"--columns {told}" if told else ""
    return ""


@cache
def _shapes_in(columns: frozenset[str]) -> tuple[Shape, ...]:
    fitting = [shape for shape in SHAPES if columns.issuperset(shape.columns)]
    wider = [set(shape.columns) for shape in fitting]
    fitting = [s for s in fitting if not any(set(s.columns) < other for other in wider)]
    if "chosen" in columns and "rejected" in columns:
        # Sets for both SFT and preferences repeat the chosen answer as a conversation.
        fitting = [s for s in fitting if s.columns != ("messages",)]
    return tuple(fitting)


def _shape_of(record: Record) -> Shape:
    named = _REQUIRED.intersection(record)
    if any(record[name] is None for name in named):
        named = frozenset(name for name in named if record[name] is not None)
    fitting = _shapes_in(named)
    if len(fitting) == 1:
        return fitting[0]
    present = [str(key) for key, value in record.items() if value is not None]
    columns = ", ".join(f"'{name}'" for name in present) or "none"
    if fitting:
        apart = [name for name in fitting[-1].columns if name not in fitting[0].columns]
        way = f"leave out all but one: --columns {apart[0]}="
        raise ValueError(
            f"found the columns {columns}, more than one shape; {way}; allowed: {shapes_text()}"
        )
    near = nearest_shape(present)
    way = f"; nearest: {near}" if near else ""
    raise ValueError(f"found the columns {columns}, no known shape{way}; allowed: {shapes_text()}")


def _refuse_media(record: Record) -> None:
    for name in MEDIA:
        if record.get(name):
            raise MediaError(
                f"holds '{name}', which a trainer shows to the model and nothing here reads; "
                "allowed: rows of text alone"
            )


def _system(record: Record, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    system = record.get("system")
    if system and not isinstance(system, str):
        raise ValueError(f"'system' is {value_kind(system)}; allowed: a string")
    if not system or (turns and turns[0].role == "system"):
        return ()
    return (Message("system", system),)


def _asked(prompt: str) -> tuple[Message, ...]:
    return (Message("user", prompt),) if prompt else ()


def _turns(value: object, name: str) -> tuple[Message, ...]:
    return messages(value, name) if value else ()


def _plain(record: Record, names: tuple[str, ...]) -> bool:
    """Whether all columns are strings, of none of which messages are needed."""
    first = names[0]
    chat = not isinstance(record[first], str)
    for name in names:
        if isinstance(record[name], str) == chat:
            raise ValueError(
                f"'{first}' is {value_kind(record[first])} but '{name}' is {value_kind(record[name])}; "
                "allowed: all strings, or all lists of messages"
            )
    return not chat


def _is_object(record: object) -> bool:
    # Asking the abstract class first is most of the time that a short row takes.
    return type(record) is dict or isinstance(record, Mapping)
