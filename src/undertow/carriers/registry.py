"""
Carriers by name: the built-in ones and those of the entry point group `undertow.carriers`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from pydantic import TypeAdapter, ValidationError

from undertow.carriers.carrier import Carrier
from undertow.carriers.numbers import Numbers
from undertow.data.configuration import nearest
from undertow.errors import ConfigError, UnknownNameError

BUILT_IN: tuple[tuple[str, type[Carrier]], ...] = (("numbers", Numbers),)
"""Name and frozen dataclass of each carrier; its fields are its options."""

GROUP = "undertow.carriers"
"""Entry point group by which another package adds a carrier: a frozen dataclass."""


def names() -> list[str]:
    """
    Names of all carriers, the built-in ones first.
    """
    return list(_carriers())


def carrier(name: str, options: Mapping[str, object] | None = None) -> Carrier:
    """
    A carrier with its options, as an experiment file names them.

    Raises:
        UnknownNameError: if there is no such carrier, or an option names nothing known.
        ConfigError: if an option is unknown or its value is not allowed.
    """
    known = _carriers()
    if name not in known:
        raise UnknownNameError("carrier", name, known)
    kind = known[name]
    options = dict(options or {})
    _refuse_unknown(name, kind, options)
    try:
        # Strict, so that neither "10" nor true passes for a number; as JSON, so that an array of
        # TOML still passes for a tuple.
        made: Carrier = TypeAdapter(kind).validate_json(
            json.dumps(options, default=str), strict=True
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"carrier '{name}': option '{key}' has the value {first['input']!r}: {first['msg']}"
        ) from error
    return made


def _refuse_unknown(name: str, kind: type[Carrier], options: Mapping[str, object]) -> None:
    if not dataclasses.is_dataclass(kind):
        raise ConfigError(f"carrier '{name}' is not a dataclass: {kind!r}")
    allowed = sorted(field.name for field in dataclasses.fields(kind) if field.init)
    for key in options:
        if key not in allowed:
            raise ConfigError(
                f"carrier '{name}': unknown option '{key}'; "
                f"allowed: {', '.join(allowed)}{nearest(key, allowed)}"
            )


@cache
def _carriers() -> dict[str, type[Carrier]]:
    # A built-in name cannot be taken over by another package.
    third_party = {point.name: point.load() for point in entry_points(group=GROUP)}
    return dict(BUILT_IN) | {
        name: kind for name, kind in third_party.items() if name not in dict(BUILT_IN)
    }
