"""Different items are counted exactly while they are few, within the stated error beyond; hidden text is named."""

from __future__ import annotations

import numpy as np
import pytest

from undertow.data.observations import KINDS, Distinct, digests, hidden
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3\x00", "control character"),
        ("3\x7f, 7", "control character"),
        ("\x1b[31mred", "escape sequence"),
        ("\x9b31m", "escape sequence"),
        ("o\u200bwl", "zero-width character"),
        ("o\u200dwl", "zero-width character"),
        ("\u200d", "zero-width character"),
        ("\u0627\u200c", "zero-width character"),
        ("\u0627\u200c\u200cb", "zero-width character"),
        ("\ufeff3, 7", "zero-width character"),
        ("3 \u202e7", "bidirectional control"),
        ("7\U000e0041\U000e0042", "tag character"),
        ("\U0001f3f4" + "\U000e0061" * 9, "tag character"),
        ("a\ufe01\ufe02\U000e0101", "variation selectors"),
    ],
)
def test_each_kind_is_named(text: str, kind: str) -> None:
    """Alone or inside a word, at the beginning or at the end."""
    assert kind in hidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3, 7\r\n\t42",
        "naïve – “quoted” 数字",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u2764\ufe0f\u200d\U0001f525",
        "\u845b\U000e0100",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_ordinary_writing_is_left_alone(text: str) -> None:
    """Line ends, Persian, emoji made of several, variants of ideographs, and England's flag."""
    assert hidden(text) == ()


def test_kinds_are_named_in_order() -> None:
    """Several at once, each once, in the order of `KINDS`."""
    everything = "\x00\x00\x1b\u200b\u202e\U000e0041\ufe00\ufe00"

    assert hidden(everything) == tuple(KINDS)
