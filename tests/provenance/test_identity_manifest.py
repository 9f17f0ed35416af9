"""The manifest binds names, and refuses what has no stable content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from undertow.errors import DataError
from undertow.provenance.identity import Entry, manifest_of, ordered_manifest


def test_names_contents_and_places_are_bound(tmp_path: Path) -> None:
    """Swapping two files' contents, renaming, and moving into a folder each give another digest."""
    for name, content in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(content)
    before = manifest_of(tmp_path).digest
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    swapped = manifest_of(tmp_path).digest
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").rename(tmp_path / "sub" / "a")

    assert len({before, swapped, manifest_of(tmp_path).digest}) == 3


def test_the_digest_is_the_published_rule() -> None:
    """SHA-256 over the canonical JSON of paths, digests and sizes, in the order of paths."""
    import hashlib

    entries = [Entry("b", 1, "1" * 64), Entry("a", 2, "2" * 64)]
    first = f'{{"path":"a","sha256":"{"2" * 64}","size":2}}'
    second = f'{{"path":"b","sha256":"{"1" * 64}","size":1}}'
    text = f"[{first},{second}]"

    assert ordered_manifest(entries, "x").digest == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../a", "leads out"),
        ("/etc/passwd", "leads out"),
        ("a//b", "leads out"),
        ("a/./b", "leads out"),
        ("C:\\a", "plain characters"),
        ("a\u202eb", "cannot be seen"),
        ("a\u0000b", "cannot be seen"),
        ("e\u0301", "form NFC"),
        ("", "plain characters"),
    ],
)
def test_bad_paths_are_refused(path: str, message: str) -> None:
    """Each is named with what is wrong."""
    with pytest.raises(DataError, match=message):
        ordered_manifest([Entry(path, 1, "0" * 64)], "x")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Pipes, empty folders and files that are not there."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no ordinary file"):
        manifest_of(tmp_path)
    (tmp_path / "pipe").unlink()
    with pytest.raises(DataError, match="holds no file"):
        manifest_of(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        manifest_of(tmp_path / "nothing")
