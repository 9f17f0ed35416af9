"""
What is not on this disk, each answer waited for a bounded time: files behind a URL, through fsspec, and datasets on the
hub, through the library `datasets`, streamed and without running code of theirs.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, TypeVar

from undertow.errors import DataError, MissingExtraError, first_line

T = TypeVar("T")

WAIT = 60.0
"""Seconds that one answer of a place that is not here may take."""

_AHEAD = 256
"""Rows that the hub is asked for at a time."""

_GAP = 1 << 14
"""Bytes that are read between two ranges, rather than asking for both."""

_LONGEST_ANSWER = 1 << 20
"""Bytes that are asked for at once, where no range has more."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")


def is_url(text: str) -> bool:
    """
    Whether a text names a place for fsspec.

    >>> is_url("s3://bucket/rows.jsonl"), is_url("data/rows.jsonl"), is_url("org/name:config@train")
    (True, False, False)
    """
    return _URL.match(text) is not None


def answered(place: str, ask: Callable[[], T], what: str = "") -> T:
    """
    What a place that is not here answers; `what` names it for errors.

    Raises:
        DataError: it does not within WAIT seconds, or it refuses.
    """
    from multiprocessing import TimeoutError as Late
    from multiprocessing.pool import ThreadPool

    what = what or f"'{place}'"
    # A thread of a pool does not keep the process alive; what it waits for is left behind.
    pool = ThreadPool(1)
    try:
        return pool.apply_async(ask).get(WAIT)
    except Late as error:
        raise DataError(
            f"{what} did not answer in {WAIT:.0f} s",
            hint="check the address and the network, or download the files and name their folder",
        ) from error
    except FileNotFoundError as error:
        raise DataError(f"no such file: {what}") from error
    except ImportError as error:
        raise DataError(
            f"cannot read {what}: {_told(error)}", hint=f"pip install {_missing(str(error))}"
        ) from error
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        raise DataError(
            f"cannot read {what}: {_told(error)}",
            hint="check the address and the network, or download the files and name their folder",
        ) from error
    finally:
        pool.close()


class RemoteFiles:
    """The files of the place that a URL names."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet but whether there is a way to ask."""
        self._url = url
        self._system, self._path = answered(url, lambda: _filesystem(url))

    def below(self, folder: str) -> list[str]:
        """All files in a folder, relative to it, in the order of their names."""
        system, path = self._system, self._at(folder).rstrip("/")
        places = answered(folder, lambda: system.find(path))
        if not places:
            raise DataError(f"no such file: '{folder}'")
        return sorted(place[len(path) :].lstrip("/") for place in places)

    def is_folder(self, url: str) -> bool:
        """Whether there is a folder of this name."""
        return bool(answered(url, lambda: self._system.isdir(self._at(url))))

    def matches(self) -> list[str]:
        """The URLs of the files that the URL matches as a pattern."""
        places = answered(self._url, lambda: self._system.glob(self._path))
        return sorted(self._system.unstrip_protocol(place) for place in places)

    def head(self, path: str, size: int) -> bytes:
        """Its first bytes."""
        with opened_url(path) as stream:
            return stream.read(size)

    def _at(self, url: str) -> str:
        return str(self._system._strip_protocol(url))


def opened_url(url: str) -> BinaryIO:
    """
    The bytes of a file behind a URL, each read within WAIT seconds.

    Raises:
        DataError: there is none, or the place does not answer.
    """
    system, path = answered(url, lambda: _filesystem(url))
    raw = _Patient(url, answered(url, lambda: system.open(path, "rb")))
    return io.BufferedReader(raw, buffer_size=1 << 20)


def url_ranges(url: str, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """
    The bytes of a file behind a URL from one place to before another, range by range, in ascending order; those that lie
    side by side are asked for together, and, where the place can, all of a MiB at the same time.

    Raises:
        DataError: there is none, or the place does not answer.
    """
    system, path = answered(url, lambda: _filesystem(url))
    groups = _joined(ranges)
    outer = [(group[0][0], group[-1][1]) for group in groups]
    for group, (first, _), content in zip(
        groups, outer, _outer_ranges(url, system, path, outer), strict=True
    ):
        for start, stop in group:
            yield content[start - first : stop - first]


def ranges_read(stream: io.RawIOBase, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """The bytes of a stream without a buffer from one place to before another, range by range; fewer where it ends."""
    for start, stop in ranges:
        stream.seek(start)
        pieces, missing = list[bytes](), stop - start
        while missing and (piece := stream.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        yield b"".join(pieces)


def _joined(ranges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Ranges in groups that are asked for together."""
    groups = list[list[tuple[int, int]]]()
    for start, stop in ranges:
        near = groups and start - groups[-1][-1][1] <= _GAP
        if near and stop - groups[-1][0][0] <= _LONGEST_ANSWER:
            groups[-1].append((start, stop))
        else:
            groups.append([(start, stop)])
    return groups


def _outer_ranges(
    url: str, system: Any, path: str, ranges: Sequence[tuple[int, int]]
) -> Iterator[bytes]:
    if not getattr(system, "async_impl", False):
        with _Patient(url, answered(url, lambda: system.open(path, "rb"))) as stream:
            yield from ranges_read(stream, ranges)
        return
    for batch in _batches(ranges):
        yield from answered(url, partial(_at_once, system, path, batch))


def _batches(ranges: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Ranges that are asked for at the same time."""
    held, batch = 0, list[tuple[int, int]]()
    for start, stop in ranges:
        if batch and held + stop - start > _LONGEST_ANSWER:
            yield batch
            held, batch = 0, []
        batch.append((start, stop))
        held += stop - start
    if batch:
        yield batch


def _at_once(system: Any, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    starts, stops = zip(*ranges, strict=True)
    answers = system.cat_ranges([path] * len(ranges), list(starts), list(stops))
    for answer, (start, stop) in zip(answers, ranges, strict=True):
        if isinstance(answer, OSError):
            raise answer
        if isinstance(answer, BaseException):
            raise OSError(_told(answer)) from answer
        if len(answer) > stop - start:
            raise OSError("more bytes came than were asked for")
    return list(answers)


def splits_of(name: str) -> list[str]:
    """
    The splits of `org/name[:config]`, in their order.

    Raises:
        MissingExtraError: the library is not installed.
        DataError: there is no such dataset, or the hub does not answer.
    """
    return list(_loaded(name, None))


def hub_records(path: str) -> Iterator[tuple[int, object]]:
    """
    The records of `org/name[:config]@split` behind their numbers from 1.

    Raises:
        MissingExtraError: the library is not installed.
        DataError: there is no such dataset, or the hub does not answer.
    """
    name, _, split = path.rpartition("@")
    rows = iter(_loaded(name, split))
    done = 0
    while block := answered(path, lambda: list(islice(rows, _AHEAD))):
        yield from enumerate(block, start=done + 1)
        done += len(block)


def _loaded(name: str, split: str | None) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        purpose = f"'{name}' is no file or folder here, and reading it from the hub"
        raise MissingExtraError("datasets", "data", purpose=purpose) from error
    place, _, config = name.partition(":")
    with _quiet("huggingface_hub", "datasets"):
        return answered(
            name,
            lambda: load_dataset(place, config or None, split=split, streaming=True),
            what=f"'{name}', which is no file or folder here, on the hub",
        )


@contextmanager
def _quiet(*libraries: str) -> Iterator[None]:
    """Without what libraries say of each try; what came of all is an error."""
    loggers = [logging.getLogger(library) for library in libraries]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("fsspec", "data", purpose=f"reading '{url}'") from error
    system, path = url_to_fs(url)
    return system, str(path)


class _Patient(io.RawIOBase):
    """A stream whose place may be silent, but not for ever."""

    def __init__(self, url: str, stream: Any) -> None:
        self._url = url
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        block = answered(self._url, lambda: self._stream.read(len(buffer)))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


_WANTED = re.compile(r"\binstall (?:the )?['\"]?([A-Za-z][\w-]*)|requires \"([\w-]+)\" to be", re.I)
"""How fsspec and datasets name a library that the place or the rows need."""


def _missing(told: str) -> str:
    """
    What pip is asked for, by the words of an import that failed: no extra has the libraries of all places.

    >>> _missing("Install s3fs to access S3"), _missing("No module named 'aiohttp'")
    ('s3fs', "'undertow[data]'")
    """
    named = _WANTED.search(told)
    return (named[1] or named[2]) if named else "'undertow[data]'"


def _told(error: BaseException) -> str:
    kind, told = type(error).__name__, first_line(error)
    return told if told == kind else f"{kind}: {told}"
