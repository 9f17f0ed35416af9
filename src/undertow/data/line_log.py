"""
A log of work as it is done: one line an entry, appended, each with a checksum of its own.

    CRC32 {"log": "undertow.log/1", "subject": …}      the first line: what the entries belong to
    CRC32 ENTRY                                        JSON on one line

A line reaches the system when it is written, so that a kill loses none, and the disk every few seconds. What a kill or a
power cut tore off is dropped when the log is opened again, with all that stands behind it, and `dropped` says so.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from undertow.data.strict_json import decoded

SECONDS_TO_DISK = 5.0
"""Most seconds of entries that a power cut loses."""

_FORM = "undertow.log/1"


class LineLog:
    """Entries of one piece of work: those from before are read, and new ones appended."""

    def __init__(
        self,
        path: Path,
        subject: str,
        say: Callable[[str], None] = lambda notice: None,
    ) -> None:
        """
        Open the log of the `subject`, or begin it, and `say` what of it had to be dropped.

        Raises:
            OSError: no space is left, or the place cannot be written to.
        """
        self.entries: list[Any] = []
        """Those that were there, in their order."""
        self.dropped = ""
        """What was left out of a log that was there, in words; empty for nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._read(path, subject)
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(whole)
        self._file.seek(whole)
        self._synced = time.monotonic()
        if self.dropped:
            say(f"dropped {self.dropped}: what it held is done again")
        if not whole:
            self.append({"log": _FORM, "subject": subject})

    def append(self, entry: Any, *, to_disk: bool = False) -> None:
        """
        Add an entry, which JSON can say; `to_disk` waits until no power cut can lose it.

        Raises:
            OSError: no space is left.
        """
        self._file.write(_line(entry))
        self._file.flush()
        now = time.monotonic()
        if to_disk or now - self._synced >= SECONDS_TO_DISK:
            os.fsync(self._file.fileno())
            self._synced = now

    def close(self) -> None:
        """End the writing; entries stay."""
        self._file.close()

    def __enter__(self) -> LineLog:
        """The log, which the block's end closes."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the log, however the block ended."""
        self.close()

    def _read(self, path: Path, subject: str) -> int:
        """Read what is whole, and give its length in bytes."""
        content = path.read_bytes() if path.is_file() else b""
        lines = content.splitlines(keepends=True)
        entries, length = [], 0
        for line in lines:
            try:
                entries.append(_entry(line))
            except ValueError:
                break
            length += len(line)
        if not entries:
            self.dropped = f"all of '{path}', which is no log" if content else ""
            return 0
        if entries[0] != {"log": _FORM, "subject": subject}:
            self.dropped = f"all of '{path}', which is of other work"
            return 0
        if length < len(content):
            self.dropped = (
                f"{len(lines) - len(entries)} torn or damaged line(s) at the end of '{path}'"
            )
        self.entries = entries[1:]
        return length


def _line(entry: Any) -> bytes:
    text = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> Any:
    """
    The entry of a line.

    Raises:
        ValueError: the line is torn, or its checksum is of another one.
    """
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        raise ValueError("a line that is not whole")
    return decoded(text.decode("ascii"))
