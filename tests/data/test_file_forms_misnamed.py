"""A file that is something else than its name says is named for what it is, with the command that mends it."""

from __future__ import annotations

import gzip
import io
import lzma
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.data.packings import RECORDS, arrow, comma_separated, json_lines, table, zstd
from undertow.data.file_forms import to_name, to_unpack
from undertow.data.file_sample import screen_file
from undertow.data.records import read_objects
from undertow.errors import DataError, NothingLeftError

LINES = json_lines(RECORDS)


def zipped() -> bytes:
    """A zip archive of rows."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("rows.jsonl", LINES)
    return made.getvalue()


MISNAMED = {
    "gz.jsonl": (gzip.compress(LINES, mtime=0), "is gzip, which"),
    "zst.jsonl": (zstd(LINES), "is zstd, which"),
    "skipped.csv": (b"\x50\x2a\x4d\x18\x00\x00\x00\x00" + zstd(LINES), "is zstd, which"),
    "table.jsonl": (table(RECORDS), "is Parquet, which"),
    "arrow.json": (arrow(RECORDS, stream=False), "is Arrow, which"),
    "gz.parquet": (gzip.compress(table(RECORDS), mtime=0), "is gzip, which"),
    "zst.jsonl.gz": (zstd(LINES), "is zstd, which"),
    "lines.parquet": (LINES, "is no Parquet, as its name says"),
    "lines.jsonl.gz": (LINES, 'is not gzip, as its name says: it begins with \'{"prompt"'),
    "utf16.jsonl": (LINES.decode().encode("utf-16"), "is UTF-16; allowed: UTF-8"),
    "utf16be.jsonl": (LINES.decode().encode("utf-16-be"), "is UTF-16BE; allowed: UTF-8"),
    "utf16le.csv": (comma_separated(RECORDS).decode().encode("utf-16-le"), "is UTF-16LE"),
    "utf32.json": (LINES.decode().encode("utf-32"), "is UTF-32; allowed: UTF-8"),
}


@pytest.mark.parametrize("name", MISNAMED)
def test_a_file_is_what_its_first_bytes_say(name: str, tmp_path: Path) -> None:
    """In one line, by a reader and by a screen; the command that is told makes a file that is read."""
    content, told = MISNAMED[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda: list(read_objects(path)), lambda: screen_file(path, seed=1)):
        with pytest.raises(DataError) as caught:
            read()
        assert f"'{path}' {told}" in caught.value.message

    before = set(tmp_path.iterdir())
    command = caught.value.hint.rpartition(": ")[2]
    subprocess.run(command, shell=True, check=True)
    [made] = set(tmp_path.iterdir()) - before
    if name != "skipped.csv":  # it holds JSON
        assert [record for _, record in read_objects(made)] == RECORDS


def test_pointers_and_web_pages_are_no_rows(tmp_path: Path) -> None:
    """What stands in the place of a file that was not fetched."""
    for name, content, told, hint in (
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
        ("b.jsonl", b"\n<!DOCTYPE html><html>", "is a web page", "fetch the file itself"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=told) as caught:
            list(read_objects(path))
        assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", b"PAR1,text\na,b\n"),
        ("rows.csv", b"BZh,text\na,b\n"),
        ("rows.jsonl", b'\n\n{"text": "<html>"}\n'),
        ("rows.jsonl", b'{"text": "' + "ÿþ".encode() + b'"}\n'),
        ("rows.jsonl", b""),
        ("rows.jsonl.gz", gzip.compress(b"", mtime=0)),
        ("rows.parquet", table(RECORDS)),
    ],
)
def test_rows_are_never_taken_for_something_else(name: str, content: bytes, tmp_path: Path) -> None:
    """Text that begins like a sign is text, and nothing is nothing."""
    path = tmp_path / name
    path.write_bytes(content)

    assert len(list(read_objects(path))) in (0, 1, len(RECORDS))


@pytest.mark.skipif(shutil.which("xz") is None, reason="xz is not installed")
def test_the_command_that_unpacks_makes_rows(tmp_path: Path) -> None:
    """Of names that a shell would take apart as well."""
    path = tmp_path / "my rows.jsonl.xz"
    path.write_bytes(lzma.compress(LINES))
    with pytest.raises(DataError, match=r"has the suffix '.jsonl.xz'") as caught:
        list(read_objects(path))
    subprocess.run(shlex.split(caught.value.hint), check=True)

    assert [record for _, record in read_objects(path.with_suffix(""))] == RECORDS


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_an_archive_is_unpacked_beside_itself(tmp_path: Path) -> None:
    """Into a folder of its name, which is then the dataset."""
    path = tmp_path / "rows.v1.zip"
    path.write_bytes(zipped())
    subprocess.run(shlex.split(to_unpack(str(path))), check=True, capture_output=True)

    assert [record for _, record in read_objects(tmp_path / "rows.v1")] == RECORDS


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("a.jsonl.bz2", "bunzip2 --keep a.jsonl.bz2"),
        ("a.tar", "mkdir a && tar --extract --file a.tar --directory a"),
        ("a.tar.zst", "mkdir a && tar --extract --file a.tar.zst --directory a"),
        ("a.parquet.gz", "gunzip --keep a.parquet.gz"),
        ("a.csv.lz4", "lz4 --decompress a.csv.lz4"),
        (
            "A.XLSX",
            """python -c 'import pandas; pandas.read_excel("A.XLSX").to_parquet("A.XLSX.parquet")'""",
        ),
        ("notes.txt.gz", ""),
        ("model.safetensors", ""),
        ("README", ""),
    ],
)
def test_what_may_hold_rows_has_a_command(path: str, command: str) -> None:
    """And what holds none has none."""
    assert to_unpack(path) == command


def test_what_is_not_here_is_fetched_first(tmp_path: Path) -> None:
    """A shell knows no URL."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(gzip.compress(LINES))
    with pytest.raises(DataError, match="is gzip, which its name does not say") as caught:
        list(read_objects(f"file://{path}"))

    assert caught.value.hint == (
        "fetch it, then name it by what it is: cp rows.jsonl rows.jsonl.gz"
    )
    assert to_unpack("s3://a/b.zip") == "fetch it, then unzip b.zip -d b"
    assert to_name("https://a/b.txt?c=d").startswith("fetch it, then if it holds one JSON object")


def test_what_is_a_row_a_line_is_said_to_be(tmp_path: Path) -> None:
    """A file without a suffix that says it."""
    path = tmp_path / "rows"
    path.write_bytes(LINES)
    subprocess.run(shlex.split(to_name(str(path)).rpartition(": ")[2]), check=True)

    assert [record for _, record in read_objects(tmp_path / "rows.jsonl")] == RECORDS


HINTS = {
    "latin.jsonl": ('{"text": "é"}\n'.encode("latin-1"), "iconv -f WINDOWS-1252"),
    "commas.jsonl": (b'{"text": "a"},\n{"text": "b"},\n', "sed 's/,[[:space:]]*$//'"),
    "pretty.jsonl": (b'{\n"text": "a",\n"b": 1\n}\n', "jq -c . ROWS > ROWS.jsonl"),
    "nan.jsonl": (b'{"text": NaN}\n', "write null in its place"),
    "list.jsonl": (b'[{"text": "a"}]\n', "jq -c '.[]'"),
    "strings.jsonl": (b'"{\\"text\\": \\"a\\"}"\n', "jq -c fromjson"),
    "unknown.jsonl": (b'{"x": 1}\n', "--columns prompt=COLUMN completion=COLUMN"),
    "twice.jsonl": (b'{"text": "a", "text": "b"}\n', "write each key of a row once"),
    "empty.json": (b"\n", "name a file that holds rows"),
    "empty.parquet": (b"", "fetch the file again"),
}


@pytest.mark.parametrize("name", HINTS)
def test_a_file_of_which_no_row_is_read_says_what_to_do(name: str, tmp_path: Path) -> None:
    """By what is wrong with its rows."""
    content, hint = HINTS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NothingLeftError) as caught:
        screen_file(path, seed=1)

    assert hint in caught.value.hint
