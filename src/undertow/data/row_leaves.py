"""
A record's leaf, the same from every packing that keeps its values, and digests over leaves in their order or in none.

A leaf is the digest of a record's canonical JSON. Roots have the shape of RFC 6962, section 2.1, without its leaf hash,
which is made here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

SIZE = 32
"""Bytes of a leaf and of a root."""

EMPTY = hashlib.sha256(b"").digest()
"""Root over no leaves."""

_LEAF = b"\x00"
_NODE = b"\x01"
_BROKEN = b"\x02"

_SET = b"undertow row-set/v1\n"


class RowError(ValueError):
    """A record that has no canonical spelling."""


def leaf(record: object) -> bytes:
    """
    SHA-256 over a zero byte and the canonical JSON of the whole record, all its columns.

    Raises:
        RowError: it holds NaN, an infinity or what is no JSON (a date, bytes).
    """
    try:
        text = _spelled(record)
        if "null" in text:  # Parquet fills columns that a row does not have
            text = _spelled(_without_nulls(record))
    except (ValueError, TypeError) as error:
        raise RowError(f"no canonical JSON: {error}") from error
    return hashlib.sha256(_LEAF + text.encode("ascii")).digest()


def root(leaves: bytes) -> bytes:
    """
    The root over leaves of 32 bytes, one behind the other.

    >>> root(b"").hex()[:8]
    'e3b0c442'
    """
    level = memoryview(leaves)
    while len(level) > SIZE:
        pairs = len(level) - len(level) % (2 * SIZE)
        above = [
            hashlib.sha256(_NODE + level[at : at + 2 * SIZE]).digest()
            for at in range(0, pairs, 2 * SIZE)
        ]
        # The last of an odd number rises as it is, which gives RFC 6962's tree.
        level = memoryview(b"".join(above) + bytes(level[pairs:]))
    return bytes(level) or EMPTY


def row_set(leaves: bytes) -> str:
    """
    SHA-256 in hex over the leaves in their own order: the same for the same rows in any order.
    """
    ordered = sorted(leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE))
    return hashlib.sha256(_SET + b"".join(ordered)).hexdigest()


class RunningRoot:
    """The root over the leaves of records that come one after another, in memory that grows with their logarithm."""

    def __init__(self) -> None:
        """Over none yet."""
        self._peaks: list[tuple[int, bytes]] = []

    def take(self, record: object) -> None:
        """The next record; one without a canonical spelling counts as it is written here."""
        try:
            self._add(leaf(record))
        except RowError:
            self.take_broken(repr(record).encode("utf-8", "surrogatepass"))

    def take_broken(self, content: bytes) -> None:
        """What stands in the place of the next record, where that is none."""
        self._add(hashlib.sha256(_BROKEN + content).digest())

    def hexdigest(self) -> str:
        """
        The root so far, in hex.

        >>> running = RunningRoot()
        >>> for n in range(5):
        ...     running.take({"n": n})
        >>> running.hexdigest() == root(b"".join(leaf({"n": n}) for n in range(5))).hex()
        True
        """
        above = b""
        for _, peak in reversed(self._peaks):
            above = hashlib.sha256(_NODE + peak + above).digest() if above else peak
        return (above or EMPTY).hex()

    def _add(self, node: bytes) -> None:
        height = 0
        while self._peaks and self._peaks[-1][0] == height:
            node = hashlib.sha256(_NODE + self._peaks.pop()[1] + node).digest()
            height += 1
        self._peaks.append((height, node))


_spelled: Callable[[object], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    return value
