"""What is not on this disk: a place that is silent or refuses is one line within a bounded time, the hub is streamed."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.data.packings import RECORDS, json_lines, table
from undertow.data import remote_files
from undertow.data.dataset import open_dataset, place_of
from undertow.data.file_sample import screen_file
from undertow.data.part_leaves import dataset_root
from undertow.data.records import read_objects
from undertow.errors import DataError, MissingExtraError


class Silent(MemoryFileSystem):
    """A place that takes the question and never answers."""

    protocol = "silent"

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        threading.Event().wait(30)

    info = isdir = find = open = glob = ls


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short, and the silent place is known."""
    monkeypatch.setattr(remote_files, "WAIT", 0.3)
    fsspec.register_implementation("silent", Silent, clobber=True)


@pytest.mark.parametrize("url", ["silent://a/rows.jsonl", "silent://a/folder", "silent://a/*.csv"])
def test_a_place_that_does_not_answer_is_one_line(url: str, impatient: None) -> None:
    """Within the time that an answer may take, whatever is asked: a file, a folder, a pattern."""
    start = time.monotonic()
    with pytest.raises(DataError, match="did not answer in 0 s") as caught:
        list(read_objects(url))

    assert time.monotonic() - start < 5
    assert caught.value.hint.startswith("check the address and the network")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nowhere/rows.jsonl", "no such file: 'memory://nowhere/rows.jsonl'"),
        ("memory://nowhere/folder", "no such file: 'memory://nowhere/folder'"),
        ("memory://nowhere/*.jsonl", "holds no rows: no file"),
        ("nosuch://a/rows.jsonl", "cannot read 'nosuch://a/rows.jsonl': ValueError: Protocol"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_line(url: str, message: str) -> None:
    """A missing file or folder, a pattern that matches nothing, a protocol that is not known."""
    with pytest.raises(DataError, match=message) as caught:
        list(read_objects(url))
    assert "\n" not in caught.value.message


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of two shards and a description, in memory."""
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/data/train-00000-of-00002.parquet", table(RECORDS[:4]))
    system.pipe("/bucket/data/train-00001-of-00002.parquet", table(RECORDS[4:]))
    system.pipe("/bucket/README.md", b"#")
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("suffix", ["", "/data/*.parquet", "@train", "/data/"])
def test_a_folder_and_a_pattern_behind_a_url(bucket: str, suffix: str) -> None:
    """Read as on this disk, each shard named by its own URL."""
    placed = list(read_objects(bucket + suffix))

    assert [record for _, record in placed] == RECORDS
    assert placed[0][0].endswith("bucket/data/train-00000-of-00002.parquet', row 1")
    assert placed[0][0].startswith("'memory://")


def load(rows: Callable[[], Iterator[dict[str, Any]]]) -> Callable[..., Any]:
    """What stands for `datasets.load_dataset`: two splits of a dataset."""

    def load_dataset(path: str, name: str | None, *, split: str | None, streaming: bool) -> Any:
        assert (path, name, streaming) == ("org/name", "small", True)
        splits = {"train": rows, "test": lambda: iter(RECORDS[:2])}
        return splits if split is None else splits[split]()

    return load_dataset


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ("Install s3fs to access S3", "s3fs"),
        ("Please install gcsfs to access Google Storage", "gcsfs"),
        ("Install adlfs to access Azure Datalake Gen2 and Azure Blob Storage", "adlfs"),
        ('SFTPFileSystem requires "paramiko" to be installed', "paramiko"),
        ("To support decoding images, please install 'Pillow'.", "Pillow"),
        ('HTTPFileSystem requires "requests" and "aiohttp" to be installed', "'undertow[data]'"),
    ],
)
def test_a_place_without_its_library_names_it(told: str, hint: str) -> None:
    """What fsspec says is missing is what pip is asked for; the extra is named only where it has the library."""

    def ask() -> None:
        raise ImportError(told)

    with pytest.raises(DataError, match="cannot read 'x://rows'") as caught:
        remote_files.answered("x://rows", ask)

    assert caught.value.hint == f"pip install {hint}"


def test_the_hub_is_streamed_split_by_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """All splits, in their order, or the one that is named; the digest is that of the same rows in a file."""
    monkeypatch.setattr("datasets.load_dataset", load(lambda: iter(RECORDS)))
    placed = list(read_objects("org/name:small"))

    assert [record for _, record in placed] == RECORDS + RECORDS[:2]
    assert placed[0][0] == "'org/name:small@train', row 1"
    assert screen_file("org/name:small@test", seed=1).data.rows == 2
    assert len(open_dataset("org/name:small").notes) == 2


def test_the_digest_of_the_hub_is_that_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows."""
    monkeypatch.setattr("datasets.load_dataset", load(lambda: iter(RECORDS)))
    (tmp_path / "rows.jsonl").write_bytes(json_lines(RECORDS))

    assert dataset_root("org/name:small@train") == dataset_root(tmp_path / "rows.jsonl")


def broken() -> Iterator[dict[str, Any]]:
    """Rows of a hub that fails behind the first."""
    yield RECORDS[0]
    raise ConnectionError("Couldn't reach the Hub")


def test_a_hub_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """At the first question or between rows; silent or refusing."""

    def offline(*names: object, **more: object) -> Any:
        raise ConnectionError("Couldn't reach 'org/name' on the Hub (offline)")

    for loader, message in [
        (
            offline,
            "cannot read 'org/name:small', which is no file or folder here, on the hub: ConnectionError: Couldn't reach",
        ),
        (load(broken), "cannot read 'org/name:small@train': ConnectionError"),
        (lambda *a, **b: threading.Event().wait(30), "did not answer in 0 s"),
    ]:
        monkeypatch.setattr("datasets.load_dataset", loader)
        with pytest.raises(DataError, match=message):
            list(read_objects("org/name:small"))


@pytest.mark.parametrize(
    ("package", "reference"), [("datasets", "org/name"), ("fsspec.core", "memory://x.jsonl")]
)
def test_what_is_not_installed_is_named(
    package: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        list(read_objects(reference))

    assert caught.value.hint == "pip install 'undertow[data]'"


def test_what_has_no_place_here_has_a_name_in_the_working_directory(tmp_path: Path) -> None:
    """Bundles and ledgers of a URL, a pattern or a name on the hub; those of files lie beside them."""
    assert place_of("org/name:small@train") == Path("org-name-small@train")
    assert place_of("memory://a/rows.jsonl") == Path("memory-a-rows.jsonl")
    assert place_of(f"{tmp_path}@train") == Path(f"{tmp_path}@train")
    assert place_of("data/rows.jsonl") == Path("data/rows.jsonl")


class Rows(BaseHTTPRequestHandler):
    """Answers every question with the same rows."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(json_lines(RECORDS))))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(json_lines(RECORDS))

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        pass


def test_a_file_behind_http_is_read_whatever_it_is_asked_with() -> None:
    """A question mark is no pattern there, and what stands behind it no suffix."""
    pytest.importorskip("aiohttp")
    with ThreadingHTTPServer(("127.0.0.1", 0), Rows) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/rows.jsonl?download=true"
        assert [record for _, record in read_objects(url)] == RECORDS
        server.shutdown()


def test_a_server_that_says_nothing_is_one_line(impatient: None) -> None:
    """It takes the connection and is silent."""
    pytest.importorskip("aiohttp")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/rows.jsonl"
        with pytest.raises(DataError, match=f"'{url}' did not answer in 0 s"):
            list(read_objects(url))
