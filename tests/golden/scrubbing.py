"""
What is taken out of a document before it is kept: how long it took, on what, and with which versions.

Each is replaced by a constant, so that what is left is still a document that every renderer takes.
"""

from __future__ import annotations

import json
import re
from typing import Any

CONSTANTS: dict[str, Any] = {
    "packages": {"undertow": "0"},
    "hardware": {"machine": "golden"},
    "git_revision": "0" * 12,
    "wall_seconds": 1.0,
    "peak_memory_mb": 1.0,
    "seconds": 1.0,
    "seconds of references": 1.0,
    "spent_seconds": 1.0,
    "tokens_per_second": 1.0,
}
"""By key, wherever it stands."""

_COST = re.compile(r"\b(?:\d+ h )?(?:\d+ min )?[\d.]+ (?:s|h|min), [\d.,]+ [MG]B\b")

_TIME = re.compile(r"\b(?:\d+ h )?(?:\d+ min )?[\d.]+ (?:s|h|min)\b")

_PRICES = re.compile(r"^What it cost\n(?:.+\n)+", re.MULTILINE)
"""A table whose columns are as wide as the times in it."""

_EXPECTED = re.compile(r"\b(about|at most) [\d.]+ s\b")
"""What a scan tells on stderr before and while it makes references."""

_LEFT = re.compile(
    r"^[^\"\n]+: [\d,]+[/ ][^\"\n]*(?: left|/s|already done)\b[^\"\n]*\n", re.MULTILINE
)
"""What stages and work say on stderr only where they take long; no line of JSON, which has quotation marks."""


def scrubbed(value: Any) -> Any:
    """
    The same with the constants in place; what is not known stays so.

    >>> scrubbed({"seconds": 3.2, "arms": [{"seconds": None, "rows": 8}]})
    {'seconds': 1.0, 'arms': [{'seconds': None, 'rows': 8}]}
    """
    if isinstance(value, list):
        return [scrubbed(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: CONSTANTS[key] if key in CONSTANTS and one is not None else scrubbed(one)
        for key, one in value.items()
    }


def scrubbed_text(text: str, version: str) -> str:
    """
    The same for what was printed: its cost in time and memory, how far it is, and undertow's own version.

    >>> scrubbed_text("seed 0, 1.4 s, 309 MB", "0.1.0")
    'seed 0, 1.0 s, 1 MB'
    >>> scrubbed_text("students (22)\\nstudents: 19/22, 5 s left; trait--1\\n", "0.1.0")
    'students (22)\\n'
    >>> scrubbed_text("What it cost\\nall   2.5 fine-tunes, 2 min 45 s  3\\n", "0.1.0")
    'What it cost\\nall  2.5 fine-tunes, 1.0 s  3\\n'
    """
    text = _EXPECTED.sub(r"\1 1 s", _PRICES.sub(_untimed, text))
    return _COST.sub("1.0 s, 1 MB", _LEFT.sub("", text)).replace(version, "0")


def _untimed(table: re.Match[str]) -> str:
    return re.sub(" {2,}", "  ", _TIME.sub("1.0 s", table.group()))


def compact(value: Any, depth: int = 2) -> str:
    """
    JSON with a line for each entry of the outer levels only: small, and differences still have a line of their own.

    >>> print(compact({"rows": [1, 2], "name": "owl"}, depth=1), end="")
    {
    "rows": [1,2],
    "name": "owl"
    }
    """
    return _lines(value, depth) + "\n"


def _lines(value: Any, depth: int) -> str:
    if depth and value and isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {_lines(one, depth - 1)}" for key, one in value.items()]
        return "{\n" + ",\n".join(entries) + "\n}"
    if depth and value and isinstance(value, list):
        return "[\n" + ",\n".join(_lines(one, depth - 1) for one in value) + "\n]"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
