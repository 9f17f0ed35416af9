"""How two sets are compared: byte for byte, or with text equal and numbers alike."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RELATIVE = 1e-4
"""How far two numbers may lie apart, as a share of the larger."""

ABSOLUTE = 1e-5
"""Or in their own unit: a margin near 0 is what is left of logits of the order of 10."""

ROUNDED = ("diff", "diff-shipped", "lineage-teachers", "gate-audited")
"""Documents whose digests are of weights trained here, or of numbers: other on a machine that rounds otherwise."""

ENLARGED = ("digits", "untrained-teacher")
"""A document and its arm that has no gradient but rounding, which Adam enlarges: another number on every machine."""

_NUMBER = re.compile(r"[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_POWER = re.compile(r"×10[⁻⁰¹²³⁴-⁹]+")
_BLANK = re.compile(r"[\s━●┼┆┃╋-]+")


def exactly(was: Path, now: Path) -> list[str]:
    """The first lines that differ; none where both files are the same bytes."""
    if was.read_bytes() == now.read_bytes():
        return []
    before, after = (path.read_text(encoding="utf-8").splitlines() for path in (was, now))
    return list(difflib.unified_diff(before, after, "was", "now", lineterm="", n=0))[:20]


def nearly(was: Path, now: Path) -> list[str]:
    """Where text differs, or numbers by more than they may."""
    before, after = (_read(path) for path in (was, now))
    if was.suffix == ".json":
        return list(_values("", _parsed(was, before), _parsed(was, after)))
    lines, others = before.splitlines(), after.splitlines()
    if len(lines) != len(others):
        return exactly(was, now)
    same = _worded_alike if _document(was) == ENLARGED[0] else alike
    pairs = zip(lines, others, strict=True)
    return [f"- {one}\n+ {other}" for one, other in pairs if not same(one, other)]


def _document(path: Path) -> str:
    return path.name.partition(".")[0]


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return _DIGEST.sub("DIGEST", text) if _document(path) in ROUNDED else text


def _parsed(path: Path, text: str) -> Any:
    value = json.loads(text)
    return without(value, ENLARGED[1]) if _document(path) == ENLARGED[0] else value


def without(value: Any, name: str) -> Any:
    """
    A document without the records that name an arm, and without its rows of matrices.

    >>> without([{"arm": "a", "p": 1}, {"rows": ["a", "b"], "values": [[1], [2]]}], "a")
    [{'rows': ['b'], 'values': [[2]]}]
    """
    if isinstance(value, list):
        return [without(one, name) for one in value if not _names(one, name)]
    if not isinstance(value, dict):
        return value
    left = {key: without(one, name) for key, one in value.items()}
    rows = value.get("rows")
    if isinstance(rows, list) and name in rows:
        left |= {key: _but(value[key], rows.index(name)) for key in ("rows", "values")}
    return left


def _names(record: Any, name: str) -> bool:
    said = record.values() if isinstance(record, dict) else ()
    return any(isinstance(one, str) and name in one for one in said)


def _but(entries: list[Any], index: int) -> list[Any]:
    return [one for place, one in enumerate(entries) if place != index]


def _worded_alike(one: str, other: str) -> bool:
    # Its numbers are compared in JSON; in tables they move the columns beside them.
    first, second = (
        _BLANK.sub(" ", _NUMBER.sub("", _POWER.sub("", text))) for text in (one, other)
    )
    return first == second


def alike(one: str, other: str) -> bool:
    """
    Whether the text between the numbers is equal, and each number near the other's.

    A number that was rounded to be shown may come out one lower or higher in its last digit.

    >>> alike("p = 0.667, 2 v 2", "p = 0.668, 2 v 2"), alike("p = 0.667", "p = 0.669")
    (True, False)
    """
    if _NUMBER.split(one) != _NUMBER.split(other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(first == second or _shown_alike(first, second) for first, second in pairs)


def _shown_alike(one: str, other: str) -> bool:
    if "." not in one + other and "e" not in one + other:
        return False  # what was counted is equal
    first, second = (float(text.replace("−", "-").replace(",", "")) for text in (one, other))
    return _near(first, second) or abs(first - second) <= 1.01 * max(_last(one), _last(other))


def _last(number: str) -> float:
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _values(place: str, was: Any, now: Any) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict) and list(was) == list(now):
        for key in was:
            yield from _values(f"{place}.{key}", was[key], now[key])
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from _values(f"{place}[{index}]", *pair)
    elif not _same(was, now):
        yield f"{place}: was {was!r}, now {now!r}"


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return _near(was, now)
    if isinstance(was, str) and isinstance(now, str):
        return alike(was, now)
    return type(was) is type(now) and bool(was == now)
