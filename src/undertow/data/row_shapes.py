"""The shapes of a record: which columns make a row, and what of them a trainer reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from undertow.data.preference_pairs import (
    ASKING,
    implicit_pair,
    instructed_pair,
    pair,
    sharegpt_pair,
)
from undertow.data.record_turns import (
    CONTEXT,
    MediaError,
    RecordError,
    last_turn,
    meant_as_assistant,
    messages,
    plain_completion,
    refuse_surrogates,
    template_context,
    value_kind,
)
from undertow.data.row_prompts import (
    Record,
    asked,
    instruction_turns,
    plain,
    prompt_turns,
    refuse_system,
    system_column,
)
from undertow.data.rows import Message, Row


class TokensError(RecordError):
    """A row with tokens of its own: what a trainer would read is not its text."""

    reason = "tokens"


SHAPES_TOLD = (
    "'messages'; 'conversations'; 'prompt' + 'completion' (+ 'label'); 'instruction' + 'output'; 'text'; or 'chosen' + "
    "'rejected', with a 'prompt', an 'instruction' or 'conversations' if both do not begin with one"
)
"""The allowed shapes, for an error."""


class NoShapeError(RecordError):
    """A record whose columns make no row, or several."""

    def __init__(self, columns: str, what: str) -> None:
        """`columns` are those found, as a text."""
        super().__init__(f"found the columns {columns}, {what}; allowed: {SHAPES_TOLD}")
        self.before = f"found the columns {columns}, {what}"

    def with_way(self, way: str) -> str:
        """The same, with what to type in front of what is allowed, which is long."""
        return f"{self.before}; {way}; allowed: {SHAPES_TOLD}" if way else str(self)


TOKENS = ("input_ids", "labels", "completion_mask", "assistant_masks", "attention_mask")
"""Columns that trainers read in place of a row's text."""

MEDIA = ("image", "images", "video", "videos", "audio", "audios")
"""Columns that trainers read beside a row's text, and nothing here does."""

_LABELS = frozenset(("source", "id"))
_NAMED = 12
"""Columns that an error names."""

_TOKENS = frozenset(TOKENS)
_MEDIA = frozenset(MEDIA)


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
    if not meant_as_assistant(last.role):
        return Row(turns, "", whole=True, answered=False)
    last_turn(last, name)
    return Row(turns[:-1], last.content, fields=last.fields, trained=last.trained, whole=True)


def _sharegpt(record: Record) -> Row:
    row = _conversation(record, "conversations")
    return replace(row, prompt=(*system_column(record, row.prompt), *row.prompt))


def _completion(record: Record) -> Row:
    prompt, completion = record["prompt"], record["completion"]
    if plain(record, ("prompt", "completion")):
        return Row(asked(prompt), plain_completion(completion, "completion"), chat=False)
    if isinstance(completion, str):
        return Row(prompt_turns(prompt, "prompt"), plain_completion(completion, "completion"))
    *earlier, last = messages(completion, "completion")
    last_turn(last, "completion")
    turns = (*prompt_turns(prompt, "prompt"), *earlier)
    return Row(turns, last.content, fields=last.fields, trained=last.trained, earlier=len(earlier))


def _labelled(record: Record) -> Row:
    label, row = _truth(record["label"]), _completion(record)
    return row if label is None else replace(row, label=label)


_LABELLING = frozenset(("kto_tag", "label"))
"""LLaMA-Factory's column of KTO, and TRL's."""


def _kto_label(record: Record, shape: tuple[str, ...]) -> bool | None:
    """
    What a row of another shape than TRL's of KTO says of its answer. Many a table has a `label` of something else, which
    is seldom a boolean.
    """
    if _LABELLING.isdisjoint(record):  # true of most rows, and far quicker
        return None
    if "rejected" in shape or shape[-1] in ("label", "text"):
        return None
    tag, label = record.get("kto_tag"), record.get("label")
    return label if tag is None and isinstance(label, bool) else _truth(tag)


def _truth(label: object) -> bool | None:
    """A label of KTO; None for one that says something else. CSV has words for it, and other tables numbers."""
    if isinstance(label, str):
        return {"true": True, "false": False}.get(label.lower())
    return bool(label) if isinstance(label, int | float) and label in (0, 1) else None


def _alpaca(record: Record) -> Row:
    prompt = instruction_turns(record)
    completion = plain_completion(record["output"], "output")
    # Trainers that read a history learn its answers too.
    whole = any(turn.role == "assistant" for turn in prompt)
    instruction = record["instruction"] if record.get("input") else ""
    return Row(prompt, completion, whole=whole, instruction=instruction)


SHAPES: tuple[Shape, ...] = (
    Shape(("messages",), _conversation, CONTEXT),
    Shape(("conversations",), _sharegpt, ("system", *CONTEXT)),
    Shape(("prompt", "completion"), _completion, CONTEXT),
    Shape(("prompt", "completion", "label"), _labelled, CONTEXT),
    Shape(("prompt", "chosen", "rejected"), pair, CONTEXT),
    Shape(("chosen", "rejected"), implicit_pair, CONTEXT),
    Shape(("conversations", "chosen", "rejected"), sharegpt_pair, ("system", *CONTEXT)),
    Shape(("instruction", "chosen", "rejected"), instructed_pair, ("input", "system", "history")),
    Shape(("instruction", "output"), _alpaca, ("input", "system", "history")),
    Shape(("text",), _text),
)
"""What a record may look like: TRL's shapes, ShareGPT and alpaca."""

COLUMNS = (
    *dict.fromkeys(name for shape in SHAPES for name in (*shape.columns, *shape.further)),
    "kto_tag",
)
"""Every column that some shape reads."""

LOOKED_AT = (*COLUMNS, *ASKING)
"""All columns that decide of a row, those among them for which it is refused."""

_REQUIRED = frozenset(name for shape in SHAPES for name in shape.columns)


def from_record(record: object, *, wrapped: bool = False) -> Row:
    """
    A row from one parsed JSON object or Parquet record; columns of no shape are ignored.

    Where strings are `wrapped`, a plain prompt and its completion are the turns of a chat.

    Raises:
        ValueError: saying what was found, and the shapes that are allowed.
    """
    return shaped(record, wrapped=wrapped)[1]


def shaped(record: object, *, wrapped: bool = False) -> tuple[tuple[str, ...], Row]:
    """
    The same, behind the columns of its shape.

    Raises:
        ValueError: saying what was found, and the shapes that are allowed.
    """
    if not _is_object(record):
        raise RecordError(f"found {value_kind(record)}; allowed: an object with {SHAPES_TOLD}")
    assert isinstance(record, Mapping)
    shape = _shape_of(record)
    if not _MEDIA.isdisjoint(record):
        _refuse_media(record)
    row = shape.row(record)
    if wrapped and not row.chat and (row.prompt or "prompt" in shape.columns):
        # An empty prompt is a turn of the user all the same, for LLaMA-Factory and the published recipe.
        row = replace(row, chat=True, prompt=row.prompt or (Message("user", ""),))
    if "system" in record and "system" not in shape.further:
        refuse_system(record, shape.columns, row.turns)
    if (label := _kto_label(record, shape.columns)) is not None:
        row = replace(row, label=label)
    source = record.get("source")
    if isinstance(source, str):
        row = replace(row, source=source)
    if row.chat and shape.further:
        context = template_context(record)
        row = replace(row, context=context) if context else row
    refuse_surrogates(row)
    return shape.columns, row


def unread_columns(record: Record, shape: tuple[str, ...], *, chat: bool = False) -> Iterator[str]:
    """
    The columns of a usable record of this shape that hold something, and that nothing reads; `chat` is whether its
    strings are put into the chat template, which reads some.
    """
    labelled = _kto_label(record, shape) is not None
    for name in _unread(tuple(record), shape):
        if record[name] is not None and not (labelled and name in _LABELLING):
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
    if is_text(record, shape) and not chat:
        yield from (n for n in CONTEXT if record.get(n) is not None)


def is_text(record: Record, shape: Sequence[str]) -> bool:
    """Whether a record of this shape is strings alone, a prompt and its completion or a pair, and no conversation."""
    texts = [record[name] for name in shape if name != "label"]
    return shape[0] in ("prompt", "chosen") and all(isinstance(text, str) for text in texts)


@lru_cache(maxsize=1024)
def _unread(names: tuple[str, ...], shape: tuple[str, ...]) -> tuple[str, ...]:
    further = next(one.further for one in SHAPES if one.columns == shape)
    read = _LABELS.union(shape, further, _TOKENS)
    return tuple(name for name in names if name not in read)


@lru_cache(maxsize=1024)
def plain_shape(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The columns of the shape of records with these columns, and those that nothing reads; None where values decide of it."""
    required = _REQUIRED.intersection(names)
    for shape in (("messages",), ("prompt", "completion"), ("text",)):
        if required == set(shape) and _TELLING.isdisjoint(names):
            return shape, _unread(names, shape)
    return None


_TELLING = frozenset((*CONTEXT, *TOKENS, *MEDIA, *_LABELLING, "system"))
"""Columns beside a shape's own by whose values a record is refused, or read otherwise."""


def tokens_in(record: Record) -> str:
    """The columns of a record that hold tokens, as a text; empty where there are none."""
    if _TOKENS.isdisjoint(record):  # true of most rows, and far quicker
        return ""
    return ", ".join(f"'{name}'" for name in TOKENS if isinstance(record.get(name), list))


@cache
def _shapes_in(columns: frozenset[str]) -> tuple[Shape, ...]:
    fitting = [shape for shape in SHAPES if columns.issuperset(shape.columns)]
    wider = [set(shape.columns) for shape in fitting]
    fitting = [s for s in fitting if not any(set(s.columns) < other for other in wider)]
    if "chosen" in columns and "rejected" in columns:
        # Sets for both SFT and preferences repeat the chosen answer as a conversation.
        fitting = [s for s in fitting if s.columns != ("messages",)]
        if "prompt" in columns:
            fitting = [s for s in fitting if s.columns != ("instruction", "chosen", "rejected")]
    return tuple(fitting)


def fitting_shapes(record: Record) -> tuple[Shape, ...]:
    """The shapes all of whose columns the record has; none is part of another."""
    named = _REQUIRED.intersection(record)
    if any(record[name] is None for name in named):
        named = frozenset(name for name in named if record[name] is not None)
    return _shapes_in(named)


def _shape_of(record: Record) -> Shape:
    fitting = fitting_shapes(record)
    if len(fitting) == 1:
        return fitting[0]
    present = [f"'{str(key)[:40]}'" for key, value in record.items() if value is not None]
    columns = ", ".join(present[:_NAMED]) or "none"
    if len(present) > _NAMED:
        columns += f" and {len(present) - _NAMED} more"
    raise NoShapeError(columns, "more than one shape" if fitting else "no known shape")


def _refuse_media(record: Record) -> None:
    for name in MEDIA:
        if record.get(name):
            raise MediaError(
                f"holds '{name}', which a trainer shows to the model and nothing here reads; "
                "allowed: rows of text alone",
                hint=f"leave such rows out: jq -c 'select((.{name} // []) | length == 0)' ROWS.jsonl > TEXT.jsonl",
            )


def _is_object(record: object) -> bool:
    # Asking the abstract class first is most of the time that a short row takes.
    return type(record) is dict or isinstance(record, Mapping)
