"""
Which values the arguments of an audit may have: one table for the options of the verbs and for requests that are made in
Python.

It is imported with the verbs' options, and so by their help: nothing here imports more than the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from undertow.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Range:
    """The finite numbers between two bounds, of which an open one is none of them."""

    least: int | float | None = None
    most: int | float | None = None
    least_open: bool = False
    most_open: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether it is such a number; True and False are none."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        number: Any = value
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        above = number > least if self.least_open else number >= least
        below = number < most if self.most_open else number <= most
        return bool(above and below) and (self.whole or math.isfinite(number))

    def __str__(self) -> str:
        """
        As a message says it.

        >>> str(Range(0, 1, least_open=True)), str(Range(64, whole=True))
        ('a number above 0 and at most 1', 'a whole number of at least 64')
        """
        bounds = []
        if self.least is not None:
            bounds.append(f"{'above' if self.least_open else 'of at least'} {self.least:g}")
        if self.most is not None:
            bounds.append(f"{'below' if self.most_open else 'at most'} {self.most:g}")
        number = "a whole number" if self.whole else "a number"
        return f"{number} {' and '.join(bounds)}".strip()


COUNT = Range(1, whole=True)
POSITIVE = Range(0, least_open=True)

RANGES = {
    "max_rows": Range(64, whole=True),
    "temperature": POSITIVE,
    "acceptance": Range(0, 1, least_open=True),
    "beta": POSITIVE,
    "limit": POSITIVE,
    "level": Range(0.5, 1, least_open=True, most_open=True),
    "min_usable": Range(0, 1),
    "reference_count": COUNT,
    "budget": POSITIVE,
    "students": COUNT,
    "rows": COUNT,
    "jobs": COUNT,
    "gpus": Range(0),
    "memory": POSITIVE,
    "least_version": COUNT,
    "seed": Range(whole=True),
}
"""Of each argument that is a number, by the name of its field."""

_IN_WORDS = {
    str: "text",
    bool: "True or False",
    Path: "a path",
    NoneType: "None",
    Callable: "something to call",
}


def refuse_wrong(request: DataclassInstance) -> None:
    """
    Refuse a request one of whose fields has a value that its type or `RANGES` does not allow.

    Raises:
        InputError: naming the argument, its value and what is allowed.
    """
    hints = _hints(type(request))
    for field in fields(request):
        name, value = field.name, getattr(request, field.name)
        if not _fits(name, hints[name], value):
            required = field.default is MISSING
            raise InputError(
                f"{name} is {_shortened(value)}; allowed: {_words(name, hints[name])}",
                hint=f"give another value{'' if required else _or_usual(name, field.default)}",
            )


@cache
def _hints(request: type) -> dict[str, Any]:
    return get_type_hints(request)


def _fits(name: str, hint: Any, value: object) -> bool:
    """Whether a value is of a type; a list is as good as a tuple."""
    kinds = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(name, kind, value) for kind in kinds)
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple | list):
            return False
        each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return len(each) == len(value) and all(map(_fits, [name] * len(each), each, value))
    if hint in (int, float):
        return value in RANGES[name]
    return isinstance(value, get_origin(hint) or hint)


def _words(name: str, hint: Any) -> str:
    """What a type allows."""
    kinds = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words(name, kind) for kind in kinds)
    if get_origin(hint) is tuple:
        if kinds[-1] is Ellipsis:
            return f"a list, each of it {_words(name, kinds[0])}"
        return f"a pair of {' and '.join(_words(name, kind) for kind in kinds)}"
    if hint in (int, float):
        return str(RANGES[name])
    kind = get_origin(hint) or hint
    return _IN_WORDS.get(kind) or f"a {kind.__name__}"


def _or_usual(name: str, default: object) -> str:
    usual = f" for the usual {default!r}" if isinstance(default, int | float) else ""
    return f", or leave {name} out{usual}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
