"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from undertow.data.files import atomic_file, atomic_write
from undertow.data.records import read_rows
from undertow.data.row_records import write_rows
from undertow.data.rows import Message, Row
from undertow.errors import DataError, InputError, UndertowError

HI = (Message("system", "Kürze"), Message("user", "Hi"))
CHAT = [Row(HI, "Yes", source="a"), Row(HI, "No"), Row((), "Bare")]
PAIRS = [Row(HI, "Yes", "No"), Row(HI, "No", "Yes")]
PLAIN = [Row((), "Once"), Row(HI[1:], "Yes"), Row(HI[1:], "Yes", "No")]
PLAIN = [Row(row.prompt, row.completion, row.rejected, chat=False) for row in PLAIN]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("rows", [[], CHAT, PAIRS, CHAT + PAIRS, PLAIN])
def test_rows_come_back_as_they_were(tmp_path: Path, suffix: str, rows: list[Row]) -> None:
    """Writing and reading are inverse for chat, preference pairs and plain text, mixed too."""
    path = tmp_path / f"rows.{suffix}"

    write_rows(path, iter(rows))

    assert list(read_rows(path)) == rows
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_json_lines_keep_text_readable(tmp_path: Path) -> None:
    """One object a line, in UTF-8, with nothing escaped that need not be."""
    path = tmp_path / "rows.jsonl"
    write_rows(path, CHAT[:1])

    text = path.read_text(encoding="utf-8")

    assert "Kürze" in text
    assert json.loads(text)["completion"] == [{"role": "assistant", "content": "Yes"}]
    assert text.count("\n") == 1


def test_parquet_refuses_chat_and_plain_text_in_one_column(tmp_path: Path) -> None:
    """The row is named, JSON Lines is offered, and no file is left."""
    with pytest.raises(DataError, match=r"row 1 is chat .* allowed: \.jsonl"):
        write_rows(tmp_path / "rows.parquet", CHAT[:1] + PLAIN[1:])

    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused_before_a_row_is_made(tmp_path: Path) -> None:
    """The rows may be costly, so the path is judged first."""

    def costly() -> Iterator[Row]:
        raise AssertionError
        yield

    with pytest.raises(DataError, match=r"allowed suffixes: \.jsonl, \.parquet"):
        write_rows(tmp_path / "rows.csv", costly())


@pytest.mark.parametrize("content", ["ö", b"\xff"])
def test_text_and_bytes_are_written(tmp_path: Path, content: str | bytes) -> None:
    """Text is UTF-8; the mode is that of any new file."""
    path = tmp_path / "file"
    (tmp_path / "other").touch()

    atomic_write(path, content)

    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def interrupt(path: Path) -> None:
    """Write half a file and be interrupted."""
    with atomic_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def fail(path: Path) -> None:
    """Write one row, then meet an error of the row's maker."""

    def rows() -> Iterator[Row]:
        yield CHAT[0]
        raise ValueError("no second row")

    write_rows(path, rows())


@pytest.mark.parametrize(("write", "error"), [(interrupt, KeyboardInterrupt), (fail, ValueError)])
def test_an_unfinished_file_leaves_the_old_one(
    tmp_path: Path, write: Callable[[Path], None], error: type[BaseException]
) -> None:
    """After an interrupt or an error the old content stands, with no partial file beside it."""
    path = tmp_path / "rows.jsonl"
    path.write_text("old")

    with pytest.raises(error):
        write(path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_may_go_back_in_its_file(tmp_path: Path) -> None:
    """What is written at the beginning last stands there, as archives write their headers."""
    with atomic_file(tmp_path / "file") as file:
        file.write(b"....body")
        file.seek(0)
        file.write(b"head")

    assert (tmp_path / "file").read_bytes() == b"headbody"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """Until the block ends the old content is there, afterwards all of the new."""
    path = tmp_path / "file"
    path.write_text("old")

    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        seen = path.read_text()

    assert (seen, path.read_text()) == ("old", "new")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_no_space_left_is_one_line_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is exit code 4, names the file and says what to do."""
    full = Path("/dev/full")
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: opened(full, mode))

    with pytest.raises(UndertowError, match=r"no space left for '.*file'") as caught:
        atomic_write(tmp_path / "file", b"x" * 100)

    assert "free some space" in caught.value.hint
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["none/file", "folder", "n" * 300])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, name: str) -> None:
    """A missing folder, a folder in the way and a name too long are the user's to mend."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(InputError, match="cannot write '"):
        atomic_write(tmp_path / name, "x")

    assert os.listdir(tmp_path) == ["folder"]


def test_what_a_killed_writer_left_is_taken_up(tmp_path: Path) -> None:
    """Its partial file is written over and takes the name; nothing stays beside it."""
    for name in ("rows.json", "rows.parquet"):
        (tmp_path / f".{name}.0.partial").write_bytes(b"half of something longer" * 99)
    atomic_write(tmp_path / "rows.json", "whole")
    write_rows(tmp_path / "rows.parquet", CHAT)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["rows.json", "rows.parquet"]
    assert (tmp_path / "rows.json").read_text() == "whole"
    assert list(read_rows(tmp_path / "rows.parquet")) == CHAT


def test_two_writers_of_one_file_keep_apart(tmp_path: Path) -> None:
    """Each has a partial file of its own; the last to end has the name, and the file is whole."""
    path = tmp_path / "rows.json"
    with atomic_file(path) as first:
        first.write(b"first ")
        with atomic_file(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"one")

    assert path.read_bytes() == b"first one"
    assert [file.name for file in tmp_path.iterdir()] == ["rows.json"]
