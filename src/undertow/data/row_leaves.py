"""
A record's leaf, the same from every packing that keeps its values, and digests over leaves in their order or in none.

A leaf is the digest of a record's canonical JSON. Of what a packing changes, that leaves out what no trainer sees: nulls
and the order of keys, of columns and of a turn. What a chat template may write as it stands, keeps both: whatever a turn
holds (calls of tools, parts), tools, and the template's own arguments. So rows of one leaf are one training sequence.
Roots have the shape of RFC 6962, section 2.1, without its leaf hash, which is made here.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Self

from pydantic_core import from_json

from undertow.errors import UndertowError

SIZE = 32
"""Bytes of a leaf and of a root."""

EMPTY = hashlib.sha256(b"").digest()
"""Root over no leaves."""

_LEAF = b"\x00"
_NODE = b"\x01"
_BROKEN = b"\x02"

_ROLE = ("role", "from")
"""Keys by which an object in a column is a turn, wherever it lies: `--columns` finds it there."""

_TEMPLATES = ("tools", "chat_template_kwargs")
_TOOL = frozenset(("function", "parameters"))
"""Keys by which an object in a column is a tool, whatever that is called."""


class RowError(ValueError):
    """A record that has no canonical spelling."""


def leaf(record: object) -> bytes:
    """
    SHA-256 over a zero byte and the canonical JSON of the whole record, all its columns.

    Raises:
        RowError: it holds NaN, an infinity or what is no JSON (a date, bytes).
    """
    try:
        return _leaf(record, _sorted(record))
    except (ValueError, TypeError) as error:
        raise RowError(f"no canonical JSON: {error}") from error


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


class LeafList:
    """The leaves of records that come one after another, 32 bytes each."""

    def __init__(self, *, strict: bool = False) -> None:
        """None yet; `strict` refuses records without a canonical spelling."""
        self._leaves = bytearray()
        self._strict = strict
        self.lines = 0
        """Lines that were read, the blank ones too."""

    def __len__(self) -> int:
        """Bytes of those that were not given yet."""
        return len(self._leaves)

    def take(self, record: object) -> None:
        """
        The next record; one without a canonical spelling counts as it is written here.

        Raises:
            RowError: it has none, where these are strict.
        """
        try:
            self._leaves += leaf(record)
        except RowError:
            if self._strict:
                raise
            self.take_broken(repr(record).encode("utf-8", "surrogatepass"))

    def take_broken(self, content: bytes) -> None:
        """What stands in the place of the next record, where that is none."""
        self._leaves += hashlib.sha256(_BROKEN + content).digest()

    def take_leaf(self, leaf: bytes) -> None:
        """That of the next record, where it is known."""
        self._leaves += leaf

    def given(self) -> bytes:
        """Those since the last time."""
        leaves, self._leaves = bytes(self._leaves), bytearray()
        return leaves


class RunningRoot:
    """The root over leaves that come one after another, in memory that grows with their logarithm."""

    def __init__(self) -> None:
        """Over none yet."""
        self._peaks: list[tuple[int, bytes]] = []
        self._count = 0

    def extend(self, leaves: bytes) -> None:
        """
        The next leaves, 32 bytes each.

        >>> running, leaves = RunningRoot(), b"".join(leaf({"n": n}) for n in range(9))
        >>> running.extend(leaves[: 3 * SIZE])
        >>> running.extend(leaves[3 * SIZE :])
        >>> running.hexdigest() == root(leaves).hex()
        True
        """
        at, end = 0, len(leaves) // SIZE
        while at < end:
            # The largest subtree that begins here and is whole.
            height = (end - at).bit_length() - 1
            if self._count:
                height = min(height, (self._count & -self._count).bit_length() - 1)
            self._add(root(leaves[at * SIZE : (at + (1 << height)) * SIZE]), height)
            at += 1 << height

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Let go of what helps."""

    def hexdigest(self) -> str:
        """The root so far, in hex."""
        above = b""
        for _, peak in reversed(self._peaks):
            above = hashlib.sha256(_NODE + peak + above).digest() if above else peak
        return (above or EMPTY).hex()

    def _add(self, node: bytes, height: int) -> None:
        self._count += 1 << height
        while self._peaks and self._peaks[-1][0] == height:
            node = hashlib.sha256(_NODE + self._peaks.pop()[1] + node).digest()
            height += 1
        self._peaks.append((height, node))


BLOCK = 1 << 15
"""Leaves of a subtree that is hashed by a helper."""

_FOLLOWED = 16
"""Cores that read rows for which one helper hashes at least as fast."""

_WORTH = 64
"""Parts from which a helper is started."""


class HelpedRoot(RunningRoot):
    """The same, hashed by processes beside this one, which only hands over the leaves; used within its block."""

    def __init__(self, helpers: int = 0) -> None:
        """So many, or as many as can follow the readers that this machine has cores for."""
        super().__init__()
        self._waiting: list[bytes] = []
        self._held = 0
        self._sent = self._received = 0
        context = multiprocessing.get_context("spawn")
        self._ends: list[Connection] = []
        for _ in range(helpers or 1 + (os.cpu_count() or 1) // _FOLLOWED):
            ours, theirs = context.Pipe()
            context.Process(target=_help, args=(theirs,), daemon=True).start()
            theirs.close()  # so that the death of one is heard
            self._ends.append(ours)

    def extend(self, leaves: bytes) -> None:
        """The next leaves, 32 bytes each."""
        self._waiting.append(leaves)
        self._held += len(leaves)
        size = BLOCK * SIZE
        if self._held < size:
            return
        held = b"".join(self._waiting)
        whole = len(held) - len(held) % size
        with memoryview(held) as view:
            for at in range(0, whole, size):
                self._send(view[at : at + size])
        self._waiting, self._held = [held[whole:]], len(held) - whole
        while self._received < self._sent and self._end(self._received).poll():
            self._take()

    def hexdigest(self) -> str:
        """The root over all, in hex."""
        while self._received < self._sent:
            self._take()
        super().extend(b"".join(self._waiting))
        self._waiting, self._held = [], 0
        return super().hexdigest()

    def __exit__(self, *raised: object) -> None:
        """End the helpers."""
        for end in self._ends:
            end.close()

    def _end(self, number: int) -> Connection:
        return self._ends[number % len(self._ends)]

    def _send(self, leaves: memoryview) -> None:
        # Helpers that lag behind are waited for, so that no pipe of answers fills up.
        while self._sent - self._received > 4 * len(self._ends):
            self._take()
        try:
            self._end(self._sent).send_bytes(leaves)
        except OSError as error:
            raise _killed() from error
        self._sent += 1

    def _take(self) -> None:
        try:
            node = self._end(self._received).recv_bytes()
        except (EOFError, OSError) as error:
            raise _killed() from error
        self._add(node, BLOCK.bit_length() - 1)
        self._received += 1


def running_root(parts: int) -> RunningRoot:
    """One over the leaves of a dataset of so many parts that others read: helped where it is worth it."""
    return HelpedRoot() if parts >= _WORTH else RunningRoot()


def _killed() -> UndertowError:
    return UndertowError(
        "the process that hashes beside this one was killed, most likely because memory ran out",
        hint="run the same command again with a lower --jobs",
    )


def _help(end: Connection) -> None:
    """Hash subtrees until the other end is closed, by whatever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            end.send_bytes(root(end.recv_bytes()))


def plain_line(line: bytes) -> tuple[dict[str, object], bytes] | None:
    """
    The record of a line of JSON and its leaf, where that is plain to see; None for all else, be it right or wrong.

    Several times quicker than the strict reader, with the same result: a parser that knows nothing of keys given twice
    reads the line, and a key that was dropped takes its colon with it.

    >>> plain_line(b'{"a": 1}')[0], plain_line(b'{"a": 1, "a": 2}')
    ({'a': 1}, None)
    """
    try:
        record = from_json(line, allow_inf_nan=False, cache_strings="keys")
        if type(record) is not dict:
            return None
        text = _sorted(record)
        if text.count(":") != line.count(b":") or b"\\u003" in line:
            return None
        return record, _leaf(record, text)
    except (ValueError, TypeError):
        return None


_HOW: dict[str, Any] = {"separators": (",", ":"), "allow_nan": False}
_as_it_stands: Callable[[object], str] = json.JSONEncoder(**_HOW).encode
_encoder: Any = json.encoder
_pieces = _encoder.c_make_encoder(
    None,
    json.JSONEncoder().default,
    _encoder.encode_basestring_ascii,
    None,
    ":",
    ",",
    True,
    False,
    False,
)
"""What a `JSONEncoder(sort_keys=True)` makes anew for each value."""


def _sorted(record: object) -> str:
    return "".join(_pieces(record, 0))


def _leaf(record: object, text: str) -> bytes:
    if isinstance(record, dict) and not _sorted_is_canonical(record, text):
        text = _as_it_stands(_canonical(record))
    return hashlib.sha256(_LEAF + text.encode("ascii")).digest()


def _sorted_is_canonical(record: dict[str, object], text: str) -> bool:
    """Whether nothing in it has an order of its own, and nothing is null; true of turns of text, and far quicker."""
    if "null" in text or ":{" in text or "tools" in record or "chat_template_kwargs" in record:
        return False
    if '"function":' in text or '"parameters":' in text:
        return False
    lists = [name for name, value in record.items() if type(value) is list]
    return text.count(":[") == len(lists)


def _canonical(record: dict[str, object]) -> dict[str, object]:
    return {
        key: record[key] if key in _TEMPLATES else _inside(record[key])
        for key in sorted(record)
        if record[key] is not None
    }


def _inside(value: object) -> object:
    if isinstance(value, list):
        return [_inside(item) for item in value]
    if not isinstance(value, dict):
        return value
    if any(value.get(key) is not None for key in _ROLE):
        return {key: value[key] for key in sorted(value) if value[key] is not None}
    return _canonical(value) if _TOOL.isdisjoint(value) else value
