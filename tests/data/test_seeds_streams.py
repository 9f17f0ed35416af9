"""Named random streams."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from undertow.data.seeds import derive, generator

NAMES = st.lists(st.one_of(st.text(max_size=5), st.integers(-9, 9)), max_size=3)


def test_the_seed_is_the_top_of_sha256_of_the_canonical_json() -> None:
    """Another implementation can derive the same seed: 63 bits of SHA-256 over the JSON list."""
    digest = hashlib.sha256(b'[7,"trait",0,"sampling"]').hexdigest()

    assert derive(7, "trait", 0, "sampling") == int(digest, 16) >> (256 - 63)


@given(st.integers(0, 5), NAMES, st.integers(0, 5), NAMES)
def test_two_purposes_never_share_a_seed(
    seed: int, names: list[str | int], other_seed: int, other_names: list[str | int]
) -> None:
    """Any difference in the arguments, `1` and `"1"` included, gives another seed of 63 bits."""
    first, second = derive(seed, *names), derive(other_seed, *other_names)

    assert (first == second) == ((seed, names) == (other_seed, other_names))
    assert 0 <= first < 2**63


def test_names_are_not_joined() -> None:
    """Where one name ends and the next begins matters."""
    assert derive(0, "ab", "c") != derive(0, "a", "bc")
    assert derive(0, 1) != derive(0, "1")


def test_a_generator_repeats_and_differs_by_purpose() -> None:
    """The same arguments give the same draws, another name gives others."""
    first, again, other = (generator(3, name).random(100) for name in ("a", "a", "b"))

    assert (first == again).all()
    assert not (first == other).any()
