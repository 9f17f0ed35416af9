"""Is every column read or listed? What a template renders must change the tokens, and what nothing reads must be named."""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, meta, nodes

from bench.figures import Figure, at_least, at_most
from bench.rows.sequences import REFUSALS, read_sequences
from bench.rows.template_tokenizers import template_texts, template_tokenizer
from undertow.data.file_sample import screen_file

COMMAND = "python -m bench.rows columns"
UNKNOWN = 200
"""Generated columns that no trainer knows."""

Record = dict[str, Any]

_CALL = {"type": "function", "id": "call00001", "function": {"name": "weather", "arguments": {}}}
_TURNS: tuple[Mapping[str, Any], ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How warm is it?"},
    {"role": "assistant", "content": "I look.", "tool_calls": [_CALL]},
    {"role": "tool", "content": "20", "name": "weather", "tool_call_id": "call00001"},
    {"role": "assistant", "content": "It is warm."},
)
_SHORT = _TURNS[1:2] + _TURNS[4:]
_LONG = _TURNS[1:2] + _TURNS[4:] + _TURNS[1:2] + _TURNS[4:]
_TOOL = {
    "name": "weather",
    "description": "Weather",
    "parameters": {"type": "object", "properties": {}},
}
_TOOLS = [{"type": "function", "function": _TOOL}]

_VALUES: tuple[tuple[Any, Any], ...] = (
    ("alpha", "beta"),
    (True, False),
    (None, "alpha"),
    ([{"type": "text", "text": "alpha"}], [{"type": "text", "text": "beta"}]),
    (
        [{"type": "function", "function": {"name": "alpha", "arguments": {"x": 1}}}],
        [{"type": "function", "function": {"name": "beta", "arguments": {"x": 2}}}],
    ),
    ([{"name": "alpha", "response": {"x": 1}}], [{"name": "alpha", "response": {"x": 2}}]),
    ({"name": "alpha"}, {"name": "beta"}),
)
"""Two values each, of the kinds that templates tell apart."""

_GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
_SET_BY_TRAINERS = {
    "messages",
    "tools",
    "add_generation_prompt",
    "raise_exception",
    "role",
    "content",
}


@dataclass
class Changes:
    """Pairs of records that a template writes differently."""

    fields: set[str] = field(default_factory=set)
    """Template and the field that differs."""
    read: int = 0
    """Pairs with different ids, or with a record that is refused."""
    same: list[str] = field(default_factory=list)
    """Pairs whose change is lost."""


def figures() -> list[Figure]:
    """Both halves: what is rendered, and what is not known."""
    changes = Changes()
    for name, template in template_texts().items():
        judge_template(changes, name, template)
    missing = _not_listed()
    more = {"command": COMMAND}
    return [
        at_least(
            "columns: fields that a template renders", len(changes.fields), 1, "fields", **more
        ),
        at_most(
            "columns: changes of a rendered field that leave the ids as they were",
            len(changes.same),
            0,
            "changes",
            note=f"of {changes.read + len(changes.same)}; {'; '.join(changes.same[:3])[:300]}",
            **more,
        ),
        at_most(
            "columns: unknown columns that are not listed",
            len(missing),
            0,
            "columns",
            note=f"of {UNKNOWN}; {', '.join(missing[:3])}",
            **more,
        ),
    ]


def judge_template(changes: Changes, name: str, template: str) -> None:
    """Add every pair of records that the template writes differently."""
    tokenizer = template_tokenizer(name, template)
    for place, one, other in _changed(template):
        if _written(tokenizer, one) != _written(tokenizer, other):
            _judge(changes, tokenizer, f"{name}: {place}", one, other)


def rendered_names(template: str) -> tuple[set[str], set[str]]:
    """What a template asks any object for, and the variables that it does not set itself."""
    tree = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_GENERATION.sub("", template))
    asked = {node.attr for node in tree.find_all(nodes.Getattr)}
    for node in tree.find_all(nodes.Getitem):
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            asked.add(node.arg.value)
    for call in tree.find_all(nodes.Call):
        asked |= {str(arg.value) for arg in call.args[:1] if isinstance(arg, nodes.Const)}
    return asked - {"role"}, set(meta.find_undeclared_variables(tree)) - _SET_BY_TRAINERS


def _changed(template: str) -> Iterator[tuple[str, Record, Record]]:
    """Pairs of records that differ in one value."""
    asked, variables = rendered_names(template)
    for name in sorted(asked):
        for turns in (_TURNS, _SHORT, _LONG):
            for place in range(len(turns)):
                for values in _VALUES:
                    one, other = (_with(turns, place, name, value) for value in values)
                    yield name, {"messages": one}, {"messages": other}
    for turns in (_TURNS, _SHORT):
        record: Record = {"messages": list(turns)}
        for name in sorted(variables):
            for values in _VALUES:
                one, other = (record | {"chat_template_kwargs": {name: v}} for v in values)
                yield f"{name} (an argument)", one, other
        tooled = json.loads(json.dumps(_TOOLS).replace("Weather", "Climate"))
        for one, other in ((_TOOLS, tooled), (None, _TOOLS), ([], None)):
            yield "tools", record | {"tools": one}, record | {"tools": other}


def _with(turns: tuple[Mapping[str, Any], ...], place: int, name: str, value: Any) -> list[Any]:
    changed = {**turns[place], name: value}
    return [*turns[:place], changed, *turns[place + 1 :]]


def _written(tokenizer: Any, record: Record) -> str | None:
    arguments = {"tools": record.get("tools"), **record.get("chat_template_kwargs", {})}
    try:
        return str(tokenizer.apply_chat_template(record["messages"], tokenize=False, **arguments))
    except REFUSALS:
        return None


def _judge(changes: Changes, tokenizer: Any, name: str, one: Record, other: Record) -> None:
    changes.fields.add(name)
    first, second = (read_sequences(tokenizer, [record], "all")[0] for record in (one, other))
    if isinstance(first, Exception) or isinstance(second, Exception) or first != second:
        changes.read += 1
    else:
        changes.same.append(f"{name} in {json.dumps(other)}")


def _not_listed() -> list[str]:
    """Generated names of columns that are in a file and not in what the report lists."""
    names = unknown_columns(random.Random(0))
    rows = [
        {"prompt": f"Number {i}?", "completion": str(i), **dict.fromkeys(names[i::20], i)}
        for i in range(20)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        listed = screen_file(path, seed=0).data.unread
    return sorted(set(names) - set(listed))


def unknown_columns(generator: random.Random, count: int = UNKNOWN) -> list[str]:
    """Names that people give to columns, none of which a shape has."""
    first = (
        "meta",
        "quality",
        "ds",
        "gen",
        "user",
        "lang",
        "rating",
        "x",
        "model",
        "hash",
        "Prompt",
        "größe",
    )
    then = (
        "id",
        "score",
        "tag",
        "name",
        "v2",
        "at",
        "url",
        "text ",
        "messages",
        "weights",
        "kind",
        "-1",
    )
    names = [f"{a}{joint}{b}" for a in first for b in then for joint in ("_", ".", "-")]
    return generator.sample(names, count)
