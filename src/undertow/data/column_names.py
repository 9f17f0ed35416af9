"""Columns under other names: what `--columns` makes of a record, what to type for rows of no known shape, what was mistyped."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from undertow.data.preference_pairs import ASKING
from undertow.data.record_turns import RecordError
from undertow.data.row_shapes import COLUMNS, SHAPES, Shape, fitting_shapes, shaped
from undertow.errors import DataError

Columns = Sequence[tuple[str, str]]
"""Names that a shape has for columns, each with the column's own name, or the way to it; "" leaves a column out."""

NAME_THEM = "say which of these columns is what: --columns prompt=COLUMN completion=COLUMN, or the names of another shape"
"""What to do about columns of which nothing is advised."""

_NOTHING = object()

_ASKED = (*(name for name in ASKING if name != "instruction"), "user", "human")
_ANSWERED = (
    *("answer", "response", "output", "target", "targets", "solution", "reply", "answers"),
    *(
        "assistant",
        "bot",
        "gpt",
        "completion",
        "canonical_solution",
        "highlights",
        "summary",
        "tgt",
    ),
)
_TURNS = ("conversation", "dialog", "dialogue", "turns", "chat", "items", "data", "contents")
_MEANT = {
    "prompt": (*_ASKED, "instruction", "article", "document", "src"),
    "completion": _ANSWERED,
    "instruction": (*_ASKED, "prompt"),
    "output": _ANSWERED,
    "input": ("context",),
    "system": ("system_prompt", "systeminstruction", "system_instruction"),
    "messages": _TURNS,
    "conversations": ("messages", *_TURNS),
    "text": ("content", "document", "body", "chat", "raw_content"),
    "chosen": ("accepted", "preferred", "winner", "chosen_response"),
    "rejected": ("refused", "dispreferred", "loser", "rejected_response"),
}
"""What else people call a column."""

_WITHIN = (
    (
        *(("prompt", "input.messages"), ("chosen", "preferred_output")),
        *(("rejected", "non_preferred_output"), ("tools", "input.tools")),
    ),
    (("prompt", "request.messages"), ("completion", "response.choices.0.message")),
    (("prompt", "request.body.messages"), ("completion", "response.body.choices.0.message")),
)
"""Columns that lie in others, of OpenAI's preferences and of logs of requests."""

_ROWS = (
    "data",
    "rows",
    "records",
    "examples",
    "samples",
    "instances",
    "train",
    "validation",
    "test",
)
"""Keys under which a file that is one object keeps its rows."""


def columns_fault(columns: Columns) -> str:
    """
    What is wrong with the pairs themselves, whatever the rows are; empty if nothing is.

    >>> columns_fault([("prompt", "a"), ("prompt", "b")])
    "the name 'prompt' is given twice"
    """
    names = [name for name, _ in columns]
    allowed = (*COLUMNS, "source")
    if wrong := [name for name, column in columns if column and name not in allowed]:
        return f"no shape reads '{wrong[0]}'; allowed: {', '.join(allowed)}"
    if twice := [name for name in names if names.count(name) > 1]:
        return f"the name '{twice[0]}' is given twice"
    given = [column for _, column in columns if column]
    if twice := [column for column in given if given.count(column) > 1]:
        return f"the column '{twice[0]}' is given two names; allowed: a column for each name"
    return ""


def renamed(record: object, columns: Columns) -> object:
    """
    The record with columns under the names that a shape has for them; one that is named "" is left out.

    >>> renamed({"question": "Hi", "log": {"answers": ["Yes"]}}, [("prompt", "question"), ("completion", "log.answers.0")])
    {'log': {'answers': ['Yes']}, 'prompt': 'Hi', 'completion': 'Yes'}
    """
    if not isinstance(record, Mapping):
        return record
    made = dict(record)
    given = {name: value_at(record, old) for name, old in columns if old}
    for name, old in columns:
        if not old:
            made.pop(name, None)
        elif given[name] is not _NOTHING:
            made.pop(old, None)
    return made | {name: value for name, value in given.items() if value is not _NOTHING}


def value_at(record: Mapping[str, Any], column: str) -> Any:
    """A column's value, or what lies in one: keys and places of a list behind dots; `_NOTHING` where there is none."""
    if column in record:
        return record[column]
    value: Any = record
    for step in column.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _NOTHING
    return value


@dataclass
class Renaming:
    """`--columns` over the records of a dataset, and which of the columns were there."""

    columns: Columns
    unmet: dict[str, str] = field(init=False)
    """The columns that no record had so far, each behind the name that it was to have."""
    others: tuple[str, ...] = ()
    """The columns of a record that lacked one."""

    def __post_init__(self) -> None:
        """Nothing was met yet."""
        self.unmet = {name: old for name, old in self.columns if old}

    def of(self, record: object) -> object:
        """The record under its new names."""
        if self.unmet and isinstance(record, Mapping):
            for name, old in list(self.unmet.items()):
                if value_at(record, old) is not _NOTHING:
                    del self.unmet[name]
            self.others = self.others or tuple(map(str, record))
        return renamed(record, self.columns)

    def join(self, other: Renaming) -> None:
        """What another one met, over records behind these."""
        self.unmet = {name: old for name, old in self.unmet.items() if name in other.unmet}
        self.others = self.others or other.others

    def missing(self, record: object) -> RecordError | None:
        """What to say of a record that has no shape, if a column that was named is not in it."""
        if not isinstance(record, Mapping):
            return None
        for name, old in self.columns:
            if old and value_at(record, old) is _NOTHING:
                told, hint = self._mistyped(name, old, tuple(map(str, record)))
                return RecordError(f"has no column {told}", hint=hint)
        return None

    def refuse_unmet(self, dataset: str) -> None:
        """
        Refuse a dataset that has been read, and in none of whose rows a column was.

        Raises:
            DataError: naming the column, and the nearest one that is there.
        """
        for name, old in self.unmet.items():
            told, hint = self._mistyped(name, old, self.others)
            raise DataError(f"no row of '{dataset}' has the column {told}", hint=hint)

    def _mistyped(self, name: str, old: str, columns: Sequence[str]) -> tuple[str, str]:
        """A column that is not there among those that are, and the option with the one that was meant."""
        lower = {column.lower(): column for column in reversed(columns)}
        near = difflib.get_close_matches(old.lower(), lower, n=1)
        near += [other for other in _MEANT.get(name, ()) if other in lower]
        listed = ", ".join(f"'{column[:40]}'" for column in columns[:12]) or "none"
        told = f"'{old}' (--columns {name}={old}); found: {listed}"
        if not near:
            return told, f"--columns {name}=COLUMN, one of those that were found"
        meant = lower[near[0]]
        return told, _option([(n, meant if n == name else o) for n, o in self.columns])


def advised(record: object) -> str:
    """
    What to type for a record that has no shape, or more than one: each option that is named reads it.

    >>> advised({"question": "Hi", "answer": "Yes"})
    '--columns prompt=question completion=answer'
    """
    if isinstance(record, list):
        return "give its elements one a line: jq -c '.[]' ROWS.json > ROWS.jsonl"
    if isinstance(record, str) and record.lstrip().startswith("{"):
        return "take the rows out of their strings: jq -c fromjson ROWS.jsonl > MENDED.jsonl"
    if not isinstance(record, Mapping):
        return ""
    if _is_table(record):
        return (
            f"write its rows one a line: python -c {shlex.quote(_BY_ROWS)} TABLE.json > ROWS.jsonl"
        )
    several = _left_alone(record)
    if several:
        return ", or ".join(several)
    for columns in _candidates(record):
        if columns and _reads(record, columns):
            return _option(columns)
    return _wrapped(record)


def _candidates(record: Mapping[str, Any]) -> Iterator[Columns]:
    """What the columns may be called, the most of them used first."""
    names = {str(column).strip().lower(): str(column) for column in record}
    made = [pairs for shape in SHAPES if (pairs := _as_shape(shape, names))]
    yield from sorted(made, key=lambda pairs: (-len(pairs), sum(a != b for a, b in pairs)))
    for within in _WITHIN:
        yield [pair for pair in within if value_at(record, pair[1]) is not _NOTHING]


def _as_shape(shape: Shape, names: Mapping[str, str]) -> Columns:
    """Pairs for all columns of a shape and for what it reads beside them; none where one is not there."""
    used: dict[str, str] = {}

    def take(name: str) -> bool:
        others = (name, *_MEANT.get(name, ()))
        column = next(
            (names[n] for n in others if n in names and names[n] not in used.values()), ""
        )
        if column:
            used[name] = column
        return bool(column)

    if not all(take(name) for name in sorted(shape.columns, key=lambda name: name not in names)):
        return ()
    further = [name for name in ("input", "system") if name in shape.further and take(name)]
    # Strings that are a question and its answer are a prompt and its completion, unless there is more for a conversation.
    if shape.columns[0] == "instruction" and used["instruction"] != "instruction" and not further:
        return ()
    return list(used.items())


def _left_alone(record: Mapping[str, Any]) -> list[str]:
    """For a record of several shapes, what leaves each of them alone."""
    fitting = fitting_shapes(record)
    options = []
    for shape in fitting if len(fitting) > 1 else ():
        others = {name for other in fitting for name in other.columns} - set(shape.columns)
        least = next(
            (cut for cut in ([(name, "")] for name in sorted(others)) if _reads(record, cut)), None
        )
        if least is not None:
            options.append(f"{_option(least)} for {' + '.join(shape.columns)}")
    return options


def _reads(record: Mapping[str, Any], columns: Columns) -> bool:
    with suppress(ValueError):
        return shaped(renamed(record, columns)) is not None
    return False


def _option(columns: Iterable[tuple[str, str]]) -> str:
    pairs = [f"{name}={old}" for name, old in columns if name != old]
    return " ".join(["--columns", *(shlex.quote(pair) for pair in pairs)])


def rows_within(record: Mapping[str, Any]) -> str:
    """The key under which an object keeps a list of rows; empty where there is none."""
    for key in _ROWS:
        value = record.get(key)
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, Mapping) and (_reads(first, ()) or advised(first)):
            return key
    return ""


def _is_table(record: Mapping[str, Any]) -> bool:
    """Whether it holds columns and not a row, as pandas and `datasets` write a table."""
    for shape in fitting_shapes(record):
        values = [record[name] for name in shape.columns]
        texts = [list(v.values()) if isinstance(v, Mapping) else v for v in values]
        if all(isinstance(v, list) and v and all(isinstance(t, str) for t in v) for v in texts):
            return len(shape.columns) > 1 and not _reads(record, ())
    return False


_BY_ROWS = "import pandas, sys; pandas.read_json(sys.argv[1]).to_json(sys.stdout, orient='records', lines=True)"


def _wrapped(record: Mapping[str, Any]) -> str:
    """Where one key holds all rows."""
    key = rows_within(record)
    return (
        f"give what '{key}' holds one a line: jq -c '.{key}[]' ROWS.json > ROWS.jsonl"
        if key
        else ""
    )
