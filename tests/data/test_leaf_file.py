"""Leaves of many rows on disk: the same as in memory, and in an order that memory does not limit."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from undertow.data import leaf_file
from undertow.data.leaf_file import LeafFile, row_set, surplus
from undertow.data.row_leaves import SIZE
from undertow.errors import UndertowError


def leaves(count: int) -> bytes:
    """Some of which are alike, some but for the last byte, and some end with zeros."""
    made = np.random.default_rng(3).integers(0, 256, (count, SIZE), dtype=np.uint8)
    made[: count // 5, 3:] = 0
    made[count // 5 : count // 3, :-1] = made[0, :-1]
    made[-count // 4 :] = made[: count // 4]
    return made.tobytes()


def kept(content: bytes, stretch: int) -> LeafFile:
    """Leaves that came so many at a time."""
    made = LeafFile()
    for at in range(0, len(content), stretch * SIZE):
        made.extend(content[at : at + stretch * SIZE])
    return made


@pytest.mark.parametrize("held", [1 << 22, 7 * SIZE])
def test_what_lies_on_disk_is_what_was_kept(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    """In its order, in blocks and as numbers, also where more is added behind a reading."""
    monkeypatch.setattr(leaf_file, "HELD", held)
    content = leaves(1000)
    made = kept(content, 3)
    assert bytes(made) == content
    made.extend(content)
    assert len(made) == 2000
    assert made.words().tobytes() == 2 * content
    assert made == kept(2 * content, 50) != kept(content + content[::-1], 50)


@pytest.mark.parametrize("at_once", [1 << 22, 90])
def test_a_row_set_is_over_the_leaves_in_their_order(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """As SHA-256 over a sorted list says, in one turn or many, of files and of bytes."""
    monkeypatch.setattr(leaf_file, "HELD", 7 * SIZE)
    monkeypatch.setattr(leaf_file, "AT_ONCE", at_once)
    content = leaves(1000)
    ordered = sorted(content[at : at + SIZE] for at in range(0, len(content), SIZE))
    expected = hashlib.sha256(b"undertow row-set/v1\n" + b"".join(ordered)).hexdigest()

    assert row_set(kept(content[: 300 * SIZE], 11), content[300 * SIZE :], LeafFile()) == expected
    assert row_set() == row_set(b"") == hashlib.sha256(b"undertow row-set/v1\n").hexdigest()


@pytest.mark.parametrize("at_once", [1 << 22, 90])
def test_a_surplus_is_what_a_multiset_has_beyond_another(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """As subtracting counts says, in order, for leaves that occur several times, and with rows that only the other has."""
    monkeypatch.setattr(leaf_file, "HELD", 7 * SIZE)
    monkeypatch.setattr(leaf_file, "AT_ONCE", at_once)
    content, foreign = leaves(1000), bytes(5 * SIZE)
    ours, theirs = content + content[: 70 * SIZE], content[150 * SIZE : 700 * SIZE] + foreign
    counts = [
        Counter(part[at : at + SIZE] for at in range(0, len(part), SIZE)) for part in (ours, theirs)
    ]
    expected = sorted((counts[0] - counts[1]).elements())

    assert bytes(surplus(kept(ours, 11), kept(theirs, 13))) == b"".join(expected)
    assert bytes(surplus(kept(ours, 11), LeafFile())) == b"".join(sorted(counts[0].elements()))
    assert len(surplus(LeafFile(), kept(theirs, 13))) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_folder_of_temporary_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; it is another disk than that of the output, most often."""
    monkeypatch.setattr(leaf_file, "HELD", 7 * SIZE)
    full = partial(open, "/dev/full", "wb")
    monkeypatch.setattr(leaf_file.tempfile, "TemporaryFile", full)
    with pytest.raises(UndertowError, match=r"cannot be kept in '.*': No space left") as caught:
        LeafFile(leaves(100))

    assert "TMPDIR" in caught.value.hint


MEMORY = """
import numpy as np, resource
from undertow.data import leaf_file
leaf_file.AT_ONCE = 1 << 18
made, rng = leaf_file.LeafFile(), np.random.default_rng(0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(16):
    made.extend(rng.bytes(1 << 20 << 2))
leaf_file.row_set(made)
leaf_file.surplus(made, made)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_rows() -> None:
    """2.1 million rows are 67 MB of leaves: keeping, ordering and comparing them takes a fraction of that."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True
    )

    assert int(done.stdout) < 40_000
