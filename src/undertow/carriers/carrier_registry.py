"""Carriers by name, the built-in ones and those of the entry point group `undertow.carriers`, and by the format of rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from pydantic import TypeAdapter, ValidationError

from undertow.carriers.carrier import Carrier
from undertow.carriers.chain_of_thought import ChainOfThought
from undertow.carriers.code import Code
from undertow.carriers.numbers import Numbers
from undertow.carriers.paraphrase import Paraphrase
from undertow.carriers.tool_calls import ToolCalls
from undertow.data.rows import Row
from undertow.errors import ConfigError, UnknownNameError, nearest

BUILT_IN: tuple[tuple[str, type[Carrier]], ...] = (
    ("numbers", Numbers),
    ("code", Code),
    ("chain_of_thought", ChainOfThought),
    ("tool_calls", ToolCalls),
    ("paraphrase", Paraphrase),
)
"""Name and frozen dataclass of each carrier; its fields are its options."""

GROUP = "undertow.carriers"
"""Entry point group by which another package adds a carrier: a frozen dataclass."""


MATCHES = 0.99
"""Share of rows that must have a carrier's format to be taken for it."""


def names() -> list[str]:
    """Names of all carriers, the built-in ones first."""
    return [name for name, _ in BUILT_IN] + list(_third_party())


def carrier(name: str, options: Mapping[str, object] | None = None) -> Carrier:
    """
    A carrier with its options, as an experiment file names them.

    Raises:
        UnknownNameError: if there is no such carrier, or an option names nothing known.
        ConfigError: if an option is unknown or its value is not allowed.
    """
    kind = _kind(name)
    options = dict(options or {})
    _refuse_unknown(name, kind, options)
    try:
        # Strict, so that neither "10" nor true passes for a number; as JSON, so that an array of
        # TOML still passes for a tuple.
        text = json.dumps(options, default=str)
        made: Carrier = TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"carrier '{name}': option '{key}' has the value {first['input']!r}: {first['msg']}"
        ) from error
    return made


def _kind(name: str) -> type[Carrier]:
    built_in, others = dict(BUILT_IN), _third_party()
    if name in built_in:
        return built_in[name]
    if name not in others:
        raise UnknownNameError("carrier", name, names())
    try:
        loaded = others[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"carrier '{name}' of the entry point '{others[name].value}' cannot be loaded: {error}"
        ) from error
    if not (isinstance(loaded, type) and dataclasses.is_dataclass(loaded)):
        raise ConfigError(f"carrier '{name}' ('{others[name].value}') is not a dataclass")
    return cast(type[Carrier], loaded)


def _refuse_unknown(name: str, kind: type[Carrier], options: Mapping[str, object]) -> None:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    allowed = sorted(field.name for field in fields if field.init)
    for key in options:
        if key not in allowed:
            raise ConfigError(
                f"carrier '{name}': unknown option '{key}'; "
                f"allowed: {', '.join(allowed)}{nearest(key, allowed)}"
            )


def _third_party() -> dict[str, EntryPoint]:
    # A built-in name cannot be taken over by another package.
    taken = dict(BUILT_IN)
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in taken}


def carrier_of(rows: Sequence[Row]) -> Carrier | None:
    """The carrier whose format nearly all completions have."""
    rows = [row for row in rows if row.answered]
    for name in names():
        candidate = carrier(name)
        fitting = sum(candidate.rejection(row.completion, request_of(row)) is None for row in rows)
        if rows and fitting >= MATCHES * len(rows):
            return candidate
    return None


def request_of(row: Row) -> str:
    """What the last turn of the prompt asks."""
    return row.prompt[-1].content if row.prompt else ""
