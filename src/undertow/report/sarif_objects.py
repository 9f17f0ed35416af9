"""
What SARIF 2.1.0 makes of texts, paths and absent values.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; section numbers are
of that document.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from undertow.report.visible import visible

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def message(text: str) -> dict[str, str]:
    """
    Plain text as a message object: brackets would make a link (3.11.6), braces a placeholder (3.11.5).

    >>> message("[a](b) {0}")
    {'text': '\\\\[a\\\\](b) {{0}}'}
    """
    shown = re.sub(r"([\\\[\]])", r"\\\1", visible(text))
    return {"text": shown.replace("{", "{{").replace("}", "}}")}


def location(path: str) -> str:
    """
    The path as a URI reference (3.4.3): relative ones stay relative, everything else is encoded.

    >>> location("data/a b.jsonl"), location("/data/a.jsonl"), location("hf://org/rows")
    ('data/a%20b.jsonl', 'file:///data/a.jsonl', 'hf://org/rows')
    """
    if found := _SCHEME.match(path):
        return found[0] + quote(path[found.end() :], errors="replace")
    whole = str(PurePosixPath(path))
    return ("file://" if whole.startswith("/") else "") + quote(whole, errors="replace")


def without_gaps(value: Any) -> Any:
    """The value without absent entries and without numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: without_gaps(entry) for key, entry in value.items() if not _absent(entry)}
    if isinstance(value, list):
        return [without_gaps(entry) for entry in value]
    return value


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
