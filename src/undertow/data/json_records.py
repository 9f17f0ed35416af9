"""JSON as records: a line, many lines, or one array whose elements are told apart while it is read; strictly decoded."""

from __future__ import annotations

import codecs
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from undertow.data.parquet_file import OnFault
from undertow.data.strict_json import BareWordError, KeyTwiceError, decoded, decoded_at
from undertow.errors import DataError

LONGEST_LINE = 1 << 24
"""Bytes of a line or an element: a row of a million tokens fits, a file without line ends does not fill memory."""

_BLOCK = 1 << 20
"""Bytes read at a time."""

_HEAD = 1 << 12
_MARK_AND_SPACE = codecs.BOM_UTF8 + b" \t\r\n"
_SPACE = re.compile(r"[ \t\n\r]*")


class LineError(ValueError):
    """A line that gives no record."""

    def __init__(self, reason: str, text: str, hint: str = "") -> None:
        """`reason` is a permanent id, `text` says what was found, `hint` what to do."""
        super().__init__(text)
        self.reason = reason
        self.hint = hint


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int, /) -> bytes:
        """At most so many; none at the end."""


class ReadAgain:
    """A stream whose first sign is known before it is read."""

    def __init__(self, stream: Readable) -> None:
        """Reads up to the first byte that is neither white space nor a byte order mark."""
        self._stream = stream
        self._head = b""
        self.first = b""
        while not self.first and len(self._head) < LONGEST_LINE and (read := stream.read(_HEAD)):
            self._head += read
            self.first = self._head.lstrip(_MARK_AND_SPACE)[:1]

    def read(self, size: int, /) -> bytes:
        """What was read ahead, whatever the size, and then the rest."""
        head, self._head = self._head, b""
        return head or self._stream.read(size)


Broken = Callable[[bytes], object]
"""Gets the bytes that stand where a record should."""


def line_record(line: bytes, *, first: bool) -> object:
    """
    The JSON of a line that is not blank. `first` allows a byte order mark.

    Raises:
        LineError: it is no UTF-8, no JSON, nested too deeply, or has a key twice.
    """
    try:
        # Some editors open a file with a byte order mark.
        return decoded(line.decode("utf-8-sig" if first else "utf-8").strip())
    except UnicodeDecodeError as error:
        raise LineError("not-utf8", f"byte {error.start} of the row is not UTF-8") from error
    except RecursionError as error:
        raise LineError("nested-too-deeply", "JSON nested too deeply") from error
    except ValueError as error:
        listed = line.lstrip().startswith(b"{") and line.rstrip().endswith(b",")
        raise _line_error(error, listed=listed) from error


def line_records(
    lines: Iterable[bytes],
    fault: OnFault,
    broken: Broken = lambda line: None,
    *,
    mark: bool = True,
) -> Iterator[tuple[int, object]]:
    """
    The records of lines behind their numbers from 1; blank lines are none, and what is no JSON goes to `fault`.

    `mark` says whether the first line may begin with a byte order mark.
    """
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            broken(line)
            fault("line-too-long", number, f"more than {LONGEST_LINE} bytes in one line")
            continue
        first = mark and number == 1
        if is_blank(line, first):
            continue
        try:
            record = line_record(line, first=first)
        except LineError as error:
            broken(line)
            fault(error.reason, number, str(error), hint=error.hint)
            continue
        yield number, record


@dataclass
class LineLayout:
    """Where the lines of a part of a file lie, noted while they are read."""

    first: int = 0
    """Byte of the file at which the first of them begins."""
    sizes: array[int] = field(default_factory=lambda: array("I"))
    """Bytes of each without its end, at most `LONGEST_LINE` and one more."""
    blank: array[int] = field(default_factory=lambda: array("I"))
    """Numbers, from 1, of those that are no records."""


def bounded_lines(
    stream: Readable, block: int = 0, sizes: array[int] | None = None
) -> Iterator[bytes]:
    """
    The lines of a stream, read in blocks; of one beyond LONGEST_LINE so many bytes and one more. `sizes` gets the bytes of
    each, a block at a time.
    """
    pieces: list[bytes] = []
    held = 0
    while read := stream.read(block or _BLOCK):
        first, *others = read.split(b"\n")
        if held <= LONGEST_LINE:
            pieces.append(first)
            held += len(first)
        if others:
            last = others.pop()
            if sizes is not None:
                sizes.append(min(held, LONGEST_LINE + 1))
                sizes.extend(map(len, others))
            yield _bounded(pieces, held)
            yield from others
            pieces, held = [last], len(last)
    if held:
        if sizes is not None:
            sizes.append(min(held, LONGEST_LINE + 1))
        yield _bounded(pieces, held)


def _bounded(pieces: list[bytes], held: int) -> bytes:
    line = b"".join(pieces)
    return line if held <= LONGEST_LINE else line[: LONGEST_LINE + 1]


def lines_between(
    stream: BinaryIO, start: int, stop: int, layout: LineLayout | None = None
) -> Iterator[bytes]:
    """
    The lines that begin at the byte `start` or behind it and before the byte `stop`, likewise; `layout` gets where they lie.
    """
    sizes = None if layout is None else layout.sizes
    lines = bounded_lines(_Between(stream, start, stop), sizes=sizes)
    if start:
        next(lines, None)  # the rest of a line that began before
        if layout is not None and layout.sizes:
            layout.first = start + layout.sizes.pop(0)
    yield from lines


class _Between:
    """The bytes in front of `start` by one, up to `stop`, and to the end of a line that begins between them."""

    def __init__(self, stream: BinaryIO, start: int, stop: int) -> None:
        self._stream = stream
        self._at = stream.seek(max(0, start - 1))
        self._stop = stop
        self._begun = not start
        self._open = False

    def read(self, size: int, /) -> bytes:
        if self._at < self._stop:
            block = self._stream.read(min(size, self._stop - self._at))
            self._at += len(block)
            self._begun = self._begun or b"\n" in block
            self._open = self._begun and not block.endswith(b"\n")
            return block
        if not self._open:
            return b""
        block = self._stream.read(_HEAD)
        end = block.find(b"\n") + 1
        self._open = not end and bool(block)
        return block[:end] if end else block


def array_records(
    stream: Readable,
    name: str,
    fault: OnFault,
    broken: Broken = lambda line: None,
    block: int = 0,
) -> Iterator[tuple[int, object]]:
    """
    The elements of a JSON array behind their numbers from 1, held one by one; one with a key twice goes to `fault`.

    Raises:
        DataError: it is no array, not UTF-8, broken or cut off; what comes behind cannot be told apart then.
    """
    text = _ArrayText(stream, name, block or _BLOCK)
    if text.is_empty():
        return
    text.expect("[")
    ended = text.skip("]")
    while not ended:
        try:
            record, end = text.element()
        except LineError as error:
            end = text.end_of_element()
            broken(text.between(end).encode("utf-8", "surrogatepass"))
            fault(error.reason, text.read + 1, str(error), hint=error.hint)
        else:
            yield text.read + 1, record
        text.read += 1
        text.at = end
        if not text.skip(","):
            text.expect("]")
            ended = True
    text.refuse_rest()


class _ArrayText:
    """A window on the text of an array."""

    def __init__(self, stream: Readable, name: str, block: int) -> None:
        self._stream = stream
        self._name = name
        self._block = block
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._ended = False
        self.at = 0
        self.read = 0
        """Elements so far."""

    def skip(self, sign: str) -> bool:
        """Step over white space, and over the sign if it comes next."""
        if self._next() != sign:
            return False
        self.at += 1
        return True

    def is_empty(self) -> bool:
        """Whether nothing but white space comes."""
        return not self._next()

    def expect(self, sign: str) -> None:
        """Step over the sign."""
        if not self.skip(sign):
            what = f"{self._text[self.at]!r}" if self._next() else "the end of the file"
            raise self._refusal(f"{what} where {sign!r} is needed")

    def refuse_rest(self) -> None:
        """Refuse what is not white space."""
        if self._next():
            raise self._refusal("more text behind the array")

    def element(self) -> tuple[object, int]:
        """The next element and where it ends."""
        return self._decoded(decoded_at)

    def end_of_element(self) -> int:
        """Where the next element ends, whatever keys it has."""
        return self._decoded(_LENIENT.raw_decode)[1]

    def between(self, end: int) -> str:
        """The text from here to there."""
        return self._text[self.at : end]

    def _decoded(self, decode: Callable[[str, int], tuple[object, int]]) -> tuple[object, int]:
        self._next()
        while True:
            try:
                value, end = decode(self._text, self.at)
                # A number at the end of the window may go on behind it.
                if end < len(self._text) or self._ended:
                    return value, end
            except RecursionError as error:
                raise self._refusal("JSON nested too deeply") from error
            except (KeyTwiceError, BareWordError) as error:
                raise _line_error(error) from error
            except ValueError as error:
                if self._ended or len(self._text) - self.at > LONGEST_LINE:
                    what = "cut off, or " if self._ended else ""
                    raise self._refusal(f"{what}{_line_error(error)}") from error
            # As much again as there is: an element of any length is looked through only a few times.
            self._more(len(self._text) - self.at)

    def _next(self) -> str:
        while True:
            space = _SPACE.match(self._text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._more()

    def _more(self, wanted: int = 1) -> None:
        """At least so many characters more, if there are any."""
        pieces = [self._text[self.at :]]
        while wanted > 0 and not self._ended:
            block = self._stream.read(self._block)
            self._ended = not block
            try:
                pieces.append(self._decoder.decode(block, final=self._ended))
            except UnicodeDecodeError as error:
                raise self._refusal("text that is not UTF-8") from error
            wanted -= len(pieces[-1])
        self._text, self.at = "".join(pieces), 0

    def _refusal(self, text: str) -> DataError:
        return DataError(
            f"{self._name}, row {self.read + 1}: {text}; no row behind row {self.read} can be read",
            hint="mend the array, or fetch the file again; rows one a line (.jsonl) lose only one",
        )


_LENIENT = json.JSONDecoder()


def is_blank(line: bytes, first: bool) -> bool:
    """Whether a line holds nothing; `first` allows a byte order mark."""
    return not line or line.isspace() or (first and line.strip() == codecs.BOM_UTF8)


def _line_error(error: ValueError, *, listed: bool = False) -> LineError:
    if isinstance(error, KeyTwiceError):
        return LineError("key-twice", str(error))
    if isinstance(error, json.JSONDecodeError):
        text = f"not valid JSON ({error.msg} at column {error.colno})"
        comma = listed and error.msg == "Extra data"
        return LineError("not-json", text, hint=_WITHOUT_COMMAS if comma else "")
    if isinstance(error, BareWordError):
        return LineError("not-json", str(error), hint=_WITHOUT_BARE_WORDS)
    # An integer of more digits than Python turns into a number.
    return LineError("not-json", str(error))


_WITHOUT_COMMAS = (
    "take the comma off the end of each line: sed 's/,[[:space:]]*$//' ROWS.jsonl > MENDED.jsonl"
)
_WITHOUT_BARE_WORDS = "write null in its place: jq -c . ROWS.jsonl > MENDED.jsonl"
