"""
Merkle trees over leaves, with proofs that one leaf is among them.

Source of the shape and of the proofs: RFC 6962, section 2.1 (without its leaf hash, which `row_leaves` makes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

SIZE = 32
"""Bytes of a leaf and of a root."""

EMPTY = sha256(b"").digest()
"""Root over no leaves."""

_NODE = b"\x01"


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
            sha256(_NODE + level[at : at + 2 * SIZE]).digest() for at in range(0, pairs, 2 * SIZE)
        ]
        # The last of an odd number rises as it is, which gives RFC 6962's tree.
        level = memoryview(b"".join(above) + bytes(level[pairs:]))
    return bytes(level) or EMPTY


def proof(leaves: bytes, index: int) -> tuple[bytes, ...]:
    """
    The neighbours that lead from leaf `index` (from 0) to the root, lowest first.

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves) // SIZE:
        raise IndexError(index)
    path = []
    level = [leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE)]
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            path.append(level[neighbour])
        level = [_joined(level[at : at + 2]) for at in range(0, len(level), 2)]
        index //= 2
    return tuple(path)


def proves(leaf: bytes, index: int, rows: int, path: Sequence[bytes], expected: bytes) -> bool:
    """
    Whether the path leads from the leaf at `index` of `rows` to the expected root (RFC 9162, section 2.1.3.2).
    """
    if not 0 <= index < rows:
        return False
    found, last = leaf, rows - 1
    for neighbour in path:
        if last == 0:
            return False
        if index % 2 or index == last:
            found = _joined((neighbour, found))
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            found = _joined((found, neighbour))
        index, last = index // 2, last // 2
    return last == 0 and found == expected


def _joined(pair: Iterable[bytes]) -> bytes:
    nodes = tuple(pair)
    return sha256(_NODE + nodes[0] + nodes[1]).digest() if len(nodes) == 2 else nodes[0]
