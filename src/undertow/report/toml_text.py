"""A resolved configuration as TOML text, for reading and for copying."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(config: Mapping[str, object]) -> str:
    """The configuration as TOML; a setting without a value (None) is shown as a comment."""
    return "\n".join(_lines(config, ())).strip("\n")


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(_key, path))}]"] if path and (plain or not nested) else []
    lines += [_setting(key, value) for key, value in plain.items()]
    for key, value in nested.items():
        lines += ["", *_lines(value, (*path, key))]
    return lines


def _setting(key: str, value: object) -> str:
    return f"# {_key(key)} is not set" if value is None else f"{_key(key)} = {_value(value)}"


def _key(key: object) -> str:
    text = str(key)
    return text if _BARE_KEY.fullmatch(text) else _string(text)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        entries = (f"{_key(key)} = {_value(entry)}" for key, entry in value.items())
        return f"{{ {', '.join(entries)} }}"
    return '"none"' if value is None else _string(str(value))


def _string(text: str) -> str:
    # TOML's basic strings take JSON's escapes, except surrogate pairs: those stay as characters.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
