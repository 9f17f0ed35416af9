"""
Merkle roots over leaves.

Source of the shape: RFC 6962, section 2.1 (without its leaf hash, which `row_leaves` makes).
"""

from __future__ import annotations

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
