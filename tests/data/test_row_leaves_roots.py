"""Merkle roots: a known answer and an independent definition."""

from __future__ import annotations

import multiprocessing
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.data import row_leaves
from undertow.data.row_leaves import SIZE, HelpedRoot, leaf, root
from undertow.errors import UndertowError

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


@pytest.mark.parametrize("helpers", [1, 2])
def test_helpers_find_the_same_root(monkeypatch: pytest.MonkeyPatch, helpers: int) -> None:
    """Whatever the stretches in which the leaves come, over whole subtrees and a rest."""
    monkeypatch.setattr(row_leaves, "BLOCK", 4)
    leaves = b"".join(leaf({"n": n}) for n in range(103))
    with HelpedRoot(helpers) as helped:
        for at in range(0, len(leaves), 7 * SIZE):
            helped.extend(leaves[at : at + 7 * SIZE])

        assert helped.hexdigest() == root(leaves).hex()


def test_a_helper_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no wait without end."""
    monkeypatch.setattr(row_leaves, "BLOCK", 4)
    others = multiprocessing.active_children()
    with HelpedRoot(1) as helped:
        for child in set(multiprocessing.active_children()).difference(others):
            child.kill()
            child.join()
        with pytest.raises(UndertowError, match="was killed"):
            helped.extend(bytes(64 * SIZE))
