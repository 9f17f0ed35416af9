"""
How templates are filled: everything escaped and made visible, nothing undefined, no data as markup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from undertow.report.visible import visible


def environment(
    *, filters: Mapping[str, Callable[..., Any]], names: Mapping[str, object]
) -> Environment:
    """
    An environment for the templates of this package.

    Args:
        filters: filters that its templates use, by name.
        names: what its templates can see besides what they are given, by name.
    """
    made = Environment(
        loader=PackageLoader("undertow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(filters)
    made.globals.update(names)
    return made


def embedded(document: str) -> Markup:
    """A JSON document that cannot end its script element: pure ASCII without `<`, `>` and `&`."""
    text = json.dumps(json.loads(document), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _shown(value: Any) -> Any:
    """Every value that a template writes, so that no text can be forgotten; markup is ours."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)
