"""Damage by lot: to the bytes of a document, or to the values in it, so that more than its first character is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

TOKENS = (
    *(b'"', b"'", b"{", b"[", b"}", b"]", b",", b":", b"=", b"\n", b"\r", b"\t", b"\0", b"\xff"),
    *(b"\xef\xbb\xbf", b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 40, b"9" * 5000, b"-0.0"),
    *(
        b"\\ud800",
        b"\\u0000",
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"\x1b[2J",
        b"&a *a",
        b"!!python/none",
    ),
    *(b"[" * 3000, b'{"a":' * 3000, b"<<: ", b"__proto__", b"../../", b"#", b"%TAG", b"[[a]]\n"),
)
"""What is put in somewhere."""

DEEP = 3000
"""Levels of what is nested deeply."""

SURROGATE = "\ud800"


ODD_VALUES = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**40, 0.5, 1e308, -0.0),
    *(float("nan"), float("inf"), [], {}, [[]], [{}], {"": ""}, [None], "", " "),
)


def odd_value(lot: Random) -> Any:
    """A value that is seldom where it is."""
    make = lot.randrange(20)
    if make == 0:
        return nested(lot.choice((5, 100, DEEP)), lot.random() < 0.5)
    if make == 1:
        return lot.choice(("owl", "x")) * lot.choice((1, 300, 20_000))
    if make == 2:
        return {odd_text(lot): odd_text(lot) for _ in range(lot.randrange(4))}
    if make == 3:
        return [odd_text(lot) for _ in range(lot.randrange(4))]
    if make < 12:
        return odd_text(lot)
    return json_copy(lot.choice(ODD_VALUES))


ODD_TEXTS = (
    *("", " ", "\n", "\0", SURROGATE, "\u202eowl", "\x1b[2J\x1b]0;x\x07", "<script>x</script>"),
    *("=1+1", "../../etc/passwd", "/", ".", "nan", "1e999", "true", "null", "0x10", "1_000"),
    *("2026-02-30T00:00:00Z", "a" * 64, "{}", "{{7*7}}", "{%", "$(x)", "`x`", "a\r\nb", "é"),
    *(
        "e\u0301",
        "user",
        "assistant",
        "owl",
        "\u2028",
        "\ufeff",
        "\U0001f989",
        "--help",
        "-",
        "x.toml",
    ),
)


def odd_text(lot: Random) -> str:
    """A text of which readers disagree, or that a terminal, a page or a shell would act on."""
    return lot.choice(ODD_TEXTS)


def nested(levels: int, table: bool) -> Any:
    """Something in so many levels of lists or tables."""
    made: Any = 1
    for _ in range(levels):
        made = {"a": made} if table else [made]
    return made


def changed_value(value: Any, lot: Random, edits: int = 0) -> Any:
    """A copy of a tree of lists and tables with a few places of it changed."""
    made = json_copy(value)
    try:
        for _ in range(edits or lot.choice((1, 1, 1, 2, 3, 6))):
            made = _edited(made, lot)
    except RecursionError:  # two deep ones, one in the other
        pass
    return made


def json_copy(value: Any) -> Any:
    """A copy of lists and tables; what they hold stays."""
    if isinstance(value, dict):
        return {key: json_copy(inner) for key, inner in value.items()}
    return [json_copy(inner) for inner in value] if isinstance(value, list) else value


def _edited(tree: Any, lot: Random) -> Any:
    holders = list(_holders(tree))
    if not holders or lot.random() < 0.02:
        return odd_value(lot)
    holder, key = lot.choice(holders)
    what = lot.randrange(9)
    if what < 4:
        holder[key] = odd_value(lot)
    elif what == 4:
        del holder[key]
    elif what == 5:
        holder[key] = lot.choice(([holder[key]], {"value": holder[key]}, str(holder[key])[:99]))
    elif what == 6:
        other, place = lot.choice(holders)
        holder[key] = json_copy(other[place]) if place in _places(other) else None
    elif isinstance(holder, dict):
        if what == 7:
            holder[odd_text(lot)] = holder.pop(key)
        else:
            holder[odd_text(lot)] = odd_value(lot)
    else:
        holder.insert(key, json_copy(holder[key]))
    return tree


def _places(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _holders(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every list and table with each of its places; nothing deeper than a document is."""
    waiting = [(tree, 0)]
    while waiting:
        holder, depth = waiting.pop()
        if not isinstance(holder, dict | list) or depth > 40:
            continue
        for key in _places(holder):
            yield holder, key
            waiting.append((holder[key], depth + 1))


def changed_bytes(content: bytes, lot: Random) -> bytes:
    """A copy of bytes with a few of them changed, doubled, cut out, or put in."""
    made = bytearray(content)
    for _ in range(lot.choice((1, 1, 2, 3, 8))):
        at = lot.randrange(len(made) + 1)
        kind = lot.randrange(6)
        if kind == 0 and at < len(made):
            made[at] = lot.randrange(256)
        elif kind == 1 and at < len(made):
            made[at] ^= 1 << lot.randrange(8)
        elif kind == 2:
            made[at:at] = lot.choice(TOKENS)
        elif kind == 3:
            made[at : at + lot.choice((1, 2, 8, 40))] = b""
        elif kind == 4:
            made[at:at] = made[max(0, at - lot.randint(1, 60)) : at]
        elif lot.random() < 0.2:
            del made[at:]
    return bytes(made)


def as_json(tree: Any, lot: Random) -> bytes:
    """The tree as JSON: now and then with bare words, a key twice, and surrogates as their own bytes."""
    try:
        text = json.dumps(tree, ensure_ascii=lot.random() < 0.7)
    except (RecursionError, ValueError):  # too deep, or a part of itself
        return b"[" * DEEP + b"]" * DEEP
    if lot.random() < 0.03 and text.startswith("{") and len(text) > 2:
        text = text[:-1] + ", " + text[1:]
    return text.encode("utf-8", "surrogatepass")


def as_toml(tree: Any) -> bytes:
    """The tree as TOML, its tables inline; what TOML has no word for as a bare word."""
    try:
        lines = [f"{_key(key)} = {_toml(value)}" for key, value in tree.items()]
    except (AttributeError, RecursionError):
        return b"a = " + b"[" * DEEP + b"]" * DEEP
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _key(key: Any) -> str:
    return json.dumps(str(key), ensure_ascii=False)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str)
