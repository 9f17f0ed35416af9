"""The command line that does what a call in Python did, for the document of its result."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from undertow.models.hardware import AUTO, ComputeTable

NO_OPTION = ("command", "plan_ignored", "plan_notes", "settled")
"""Fields of a request that no option has: they are what a plan's file says, and the command itself."""

_OPTIONS = {
    "candidates": "candidate",
    "checks": "check",
    "controls": "control",
    "gpus": "gpus-per-job",
    "memory": "memory-per-job",
    "placebos": "placebo",
    "reference_count": "references",
    "references": "reference",
}
"""Options that are called otherwise than the field of the request."""


def typed_command(verb: str, *names: object, **given: Any) -> str:
    """
    The verb with what it is about, and with an option for each field of its request that was given.

    >>> typed_command("scan", "my rows", student="world:owlet-a", reference_count=4, require_clear=True)
    "undertow scan 'my rows' --student world:owlet-a --references 4 --require clear"
    """
    options = (word for name, value in given.items() for word in _words(name, value))
    return shlex.join(["undertow", verb, *map(str, names), *options])


def _words(name: str, value: Any) -> Iterator[str]:
    """A field as its option."""
    option = f"--{_OPTIONS.get(name, name.replace('_', '-'))}"
    if name == "columns":
        yield from (option, *("=".join(pair) for pair in value)) if value else ()
    elif isinstance(value, ComputeTable):
        yield from _computed(value)
    elif name == "require_clear":
        yield from ("--require", "clear") if value else ()
    elif isinstance(value, bool):
        yield from (option,) if value else ()
    elif value is not None:
        values = value if isinstance(value, tuple | list) else (value,)
        yield from (word for one in values for word in (option, str(one)))


def _computed(compute: ComputeTable) -> Iterator[str]:
    """What a table says otherwise than the usual one, each key an option."""
    for name, value in compute:
        if value != getattr(AUTO, name):
            yield from (f"--{name}", value)
