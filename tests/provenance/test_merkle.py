"""
Merkle roots and proofs: known answers, an independent definition, and no proof of what is not there.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.provenance.merkle import SIZE, proof, proves, root

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


@given(leaves, st.data())
def test_a_leaf_is_proved_where_it_is_and_nowhere_else(
    nodes: list[bytes], data: st.DataObject
) -> None:
    """
    A proof holds for its own leaf, index and number of leaves; another leaf is not proved by it.
    """
    index = data.draw(st.integers(0, len(nodes) - 1))
    path = proof(b"".join(nodes), index)
    expected = root(b"".join(nodes))

    assert proves(nodes[index], index, len(nodes), path, expected)
    assert not proves(sha256(nodes[index]).digest(), index, len(nodes), path, expected)
    assert not proves(nodes[index], index, len(nodes), (*path, b"\0" * SIZE), expected)


def test_there_is_no_proof_of_a_leaf_beyond_the_last() -> None:
    """An index that is not there raises, and proves nothing."""
    with pytest.raises(IndexError):
        proof(b"\0" * SIZE, 1)

    assert not proves(b"\0" * SIZE, 1, 1, (), b"\0" * SIZE)
    assert root(b"") == sha256(b"").digest()
