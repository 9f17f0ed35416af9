"""
JSON of signed documents, read so that every reader sees the same: no key twice, no number that readers round.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from undertow.errors import InputError, ProvenanceError
from undertow.results.strict_json import tables_of

LARGEST = 1 << 24
"""Bytes of one signed document, at most."""

DEEPEST = 32
"""Levels of nesting, at most."""

EXACT = 2**53 - 1
"""The largest whole number that every reader of JSON keeps (RFC 8259, section 6)."""


def parsed(content: bytes, where: str) -> dict[str, Any]:
    """
    The JSON object that the bytes hold; `where` names them in the error.

    Raises:
        ProvenanceError: as `table_of`, or it is nested too deeply, or holds a fraction, a number beyond 2^53 or half a
            surrogate pair.
    """
    table = table_of(content, where)
    _refuse_inexact(table, where, 1)
    return table


def table_of(content: bytes, where: str) -> dict[str, Any]:
    """
    The same for data, in which any number may stand.

    Raises:
        ProvenanceError: it is too large, no UTF-8, no JSON object, or has a key twice.
    """
    if len(content) > LARGEST:
        raise ProvenanceError(f"{where} has {len(content)} bytes; allowed: at most {LARGEST}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProvenanceError(f"{where} is not UTF-8 (byte {error.start})") from error
    try:
        table: dict[str, Any] = tables_of(text, Path(where.strip("'")), again="")
    except InputError as error:
        raise ProvenanceError(error.message) from error
    return table


def canonical(value: object) -> bytes:
    """
    The one spelling of a value that is signed and hashed: sorted keys, no spaces, ASCII.

    >>> canonical({"b": ["é"], "a": 1})
    b'{"a":1,"b":["\\\\u00e9"]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _refuse_inexact(value: object, where: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ProvenanceError(f"{where} is nested more than {DEEPEST} levels deep")
    if isinstance(value, float):
        raise ProvenanceError(
            f'{where} holds the number {value!r}; allowed: fractions as strings, e.g. "0.7"'
        )
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        raise ProvenanceError(
            f"{where} holds the number {value}, which other readers would round; allowed: a string"
        )
    if isinstance(value, str):
        _refuse_surrogate(value, where)
    elif isinstance(value, dict):
        for key, entry in value.items():
            _refuse_surrogate(key, where)
            _refuse_inexact(entry, where, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _refuse_inexact(entry, where, depth + 1)


def _refuse_surrogate(text: str, where: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ProvenanceError(f"{where} holds half a surrogate pair, which no encoding can write")
