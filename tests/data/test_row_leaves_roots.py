"""Merkle roots: a known answer and an independent definition."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from undertow.data.row_leaves import SIZE, root

leaves = st.lists(st.binary(min_size=SIZE, max_size=SIZE), min_size=1, max_size=40)


def by_definition(nodes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: split at the largest power of two below n."""
    if len(nodes) == 1:
        return nodes[0]
    half = 1
    while half * 2 < len(nodes):
        half *= 2
    return sha256(b"\x01" + by_definition(nodes[:half]) + by_definition(nodes[half:])).digest()


@given(leaves)
def test_the_root_is_that_of_the_definition(nodes: list[bytes]) -> None:
    """Level by level gives the tree that the recursion gives."""
    assert root(b"".join(nodes)) == by_definition(nodes)


def test_the_root_over_no_leaves_is_the_digest_of_nothing() -> None:
    """As RFC 6962 says it."""
    assert root(b"") == sha256(b"").digest()
