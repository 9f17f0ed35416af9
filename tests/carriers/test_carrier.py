"""Dealing keeps formats and the pool of items."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undertow.carriers import carrier

NUMBER = re.compile(r"\d+")


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=5), st.integers(0))
def test_dealing_across_keeps_pool_and_lengths(lists: list[list[int]], seed: int) -> None:
    """Every completion keeps how many items it has, and together they keep all items."""
    texts = [", ".join(map(str, numbers)) for numbers in lists]
    dealt = carrier.dealt_anew(texts, NUMBER, np.random.default_rng(seed))

    assert [len(NUMBER.findall(t)) for t in dealt] == [len(numbers) for numbers in lists]
    assert sorted(NUMBER.findall(" ".join(dealt))) == sorted(NUMBER.findall(" ".join(texts)))
