"""Weights in pieces: what they are joined to, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.real.pieces import packed, unpacked
from bench.real.weights import WeightsError, join


def pieces(folder: Path) -> list[Path]:
    """Two files that are one when they stand one behind the other."""
    files = [folder / "part0", folder / "part1"]
    for file, content in zip(files, (b"before ", b"after"), strict=True):
        file.write_bytes(content)
    return files


def test_pieces_are_joined_in_their_order(tmp_path: Path):
    """The whole has the bytes of the pieces, and the digest that was expected."""
    expected = hashlib.sha256(b"before after").hexdigest()
    whole = join(pieces(tmp_path), expected, tmp_path / "whole")
    assert whole.read_bytes() == b"before after"


def test_another_digest_is_refused_and_nothing_is_left(tmp_path: Path):
    """A file that is not what it was is never opened as weights."""
    with pytest.raises(WeightsError, match="expected 0000"):
        join(pieces(tmp_path), "0000", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_a_missing_piece_is_named(tmp_path: Path):
    """Who carries the pieces is told which one is not there."""
    with pytest.raises(WeightsError, match=r"part2 is missing; carry it"):
        join([*pieces(tmp_path), tmp_path / "part2"], "0000", tmp_path / "whole")


@pytest.mark.parametrize("size", [0, 19, 20, 4_015])
def test_packed_pieces_are_unpacked_as_they_were(tmp_path: Path, size: int):
    """Whatever their length; other files come along, and a changed piece is refused."""
    content = np.random.default_rng(0).integers(0, 9, size, dtype=np.uint8).tobytes()
    packed(content, tmp_path / "a" / "part0")
    packed(b"{}", tmp_path / "a" / "shape" / "config.json")
    (tmp_path / "a" / "sha256").write_text("digest\n")
    unpacked(tmp_path / "a", tmp_path / "kept")
    assert (tmp_path / "kept" / "part0").read_bytes() == content
    assert (tmp_path / "kept" / "shape" / "config.json").read_bytes() == b"{}"
    assert (tmp_path / "kept" / "sha256").read_text() == "digest\n"

    packed(content + b"more", tmp_path / "b" / "part0")
    shutil.copy(tmp_path / "a" / "part0.sha256", tmp_path / "b")
    with pytest.raises(SystemExit, match="expected"):
        unpacked(tmp_path / "b", tmp_path / "kept")
