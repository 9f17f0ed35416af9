"""The sample of a stream is uniform, whatever the chunks it comes in; named random streams."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from undertow.data.seeds import Reservoir, derive, generator


def sampled(size: int, items: int, rng: np.random.Generator, chunk: int = 7) -> list[int]:
    """A sample of `size` of the numbers below `items`."""
    reservoir: Reservoir[int] = Reservoir(size, rng)
    for start in range(0, items, chunk):
        reservoir.extend(range(start, min(items, start + chunk)))
    return reservoir.sample()


def test_each_item_is_kept_equally_often() -> None:
    """A chi-squared test of 4,000 samples of 10 of 40: the counts are those of draws without replacement."""
    rng = generator(2, "test")
    counts = np.bincount([i for _ in range(4000) for i in sampled(10, 40, rng)], minlength=40)
    expected = 4000 * 10 / 40
    # Drawn without replacement, counts vary less than a multinomial's by (1 - 10/40).
    statistic = ((counts - expected) ** 2 / expected).sum() / (1 - 10 / 40) * 39 / 40

    assert chi2.sf(statistic, 39) > 0.001


def test_each_pair_is_kept_equally_often() -> None:
    """Not the items alone: of 5 items, each of the 10 pairs is a tenth of 5,000 samples of 2."""
    rng = generator(3, "test")
    counts = Counter(frozenset(sampled(2, 5, rng, chunk=2)) for _ in range(5000))

    assert len(counts) == 10
    assert max(abs(count - 500) for count in counts.values()) < 4 * np.sqrt(5000 * 0.09)


def test_the_beginning_of_a_sample_is_a_sample() -> None:
    """Early items of the stream are not first: the first of 10 kept ones is below 20 of 40 in half of 2,000 samples."""
    rng = generator(4, "test")
    low = sum(sampled(10, 40, rng)[0] < 20 for _ in range(2000))

    assert abs(low - 1000) < 4 * np.sqrt(500)


@pytest.mark.parametrize("chunk", [1, 3, 100, 5000])
def test_chunks_make_no_difference(chunk: int) -> None:
    """The same seed takes the same items, one by one or all at once."""
    found = sampled(20, 5000, generator(1, "test"), chunk=chunk)

    assert found == sampled(20, 5000, generator(1, "test"), chunk=1024)
    assert len(set(found)) == 20


def test_a_short_stream_is_kept_whole() -> None:
    """Fewer items than room, as many, and none."""
    for items in (0, 3, 5):
        assert sorted(sampled(5, items, generator(1, "test"))) == list(range(items))


def test_few_numbers_are_drawn_for_many_items() -> None:
    """Ten million items passed over cost next to nothing; about size * ln(items / size) are taken."""
    reservoir: Reservoir[int] = Reservoir(10, generator(1, "test"))
    for start in range(0, 10_000_000, 100_000):
        reservoir.extend(range(start, start + 100_000))

    assert reservoir.seen == 10_000_000
    assert max(reservoir.sample()) > 1_000_000


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
