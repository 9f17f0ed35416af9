"""Different items are counted exactly while they are few, and within the stated error beyond."""

from __future__ import annotations

import numpy as np

from undertow.data.observations import Distinct, digests
from undertow.data.seeds import generator


def test_repetitions_are_counted_exactly_while_they_fit() -> None:
    """Within a chunk and between chunks."""
    found = Distinct(capacity=100)
    for chunk in ([b"a", b"b", b"a"], [b"b", b"c"], []):
        found.add(digests(chunk))

    assert (found.seen, found.count, found.repeated) == (5, 3, 2)
    assert (found.exact, found.error) == (True, 0)


def test_digests_are_the_same_in_every_process() -> None:
    """BLAKE2b of b"a" in 8 bytes, as `b2sum -l 64` gives it."""
    assert digests([b"a"]).tobytes().hex() == "40f89e395b66422f"


def test_an_estimate_is_within_its_error() -> None:
    """Over 100 streams of 20,000 items, each twice, in a memory of 512: the mean is right and the spread as stated."""
    rng = generator(1, "test")
    counts = []
    for _ in range(100):
        found = Distinct(capacity=512)
        once = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
        for chunk in np.split(np.concatenate([once, once]), 20):
            found.add(chunk)
        counts.append(found.count)
    error = 1.2 / np.sqrt(512)

    assert abs(np.mean(counts) / 20_000 - 1) < 4 * error / np.sqrt(100)
    assert 0.7 * error < np.std(counts) / 20_000 < 1.3 * error


def test_memory_does_not_grow() -> None:
    """What is remembered of a million different items fits the capacity, and more are never counted than were seen."""
    rng = generator(2, "test")
    found = Distinct(capacity=1000)
    for _ in range(10):
        found.add(rng.integers(0, 2**64, 100_000, dtype=np.uint64))

    assert found.depth >= 9
    assert found.count <= found.seen
    assert len(found._kept) <= 1000
