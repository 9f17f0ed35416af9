"""A line gives a record, or a permanent id of what is wrong with it."""

from __future__ import annotations

import pytest

from undertow.data.records import LineError, line_record
from undertow.data.row_shapes import from_record


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"broken": ', "not-json"),
        (b"{} {}", "not-json"),
        (b"9" * 5000, "not-json"),
        (b'{"text": "a\x00"}', "not-json"),
        (b'{"text": "\xff"}', "not-utf8"),
        (b'{"text": "\xed\xa0\x80"}', "not-utf8"),
        (b"[" * 100_000, "nested-too-deeply"),
        (b'{"a":' * 100_000, "nested-too-deeply"),
        (b"3", "shape"),
        (b"null", "shape"),
        (b'{"question": "a"}', "shape"),
        (b'{"text": 3}', "shape"),
        (b'{"messages": [3]}', "shape"),
        (b'{"text": " \\n"}', "empty-completion"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "a", "source": "\\udc00"}', "surrogate"),
    ],
)
def test_each_fault_has_its_reason(line: bytes, reason: str) -> None:
    """Text, JSON and shape are told apart."""
    with pytest.raises(LineError) as caught:
        line_record(line, from_record, first=False)

    assert caught.value.reason == reason


def test_a_blank_line_is_nothing() -> None:
    """A byte order mark alone is blank too, at the beginning of a file."""
    assert line_record(b" \r\n", from_record, first=False) is None
    assert line_record(b"\xef\xbb\xbf\n", from_record, first=True) is None
