"""JSON Lines read strictly: an object a line, and every other line named with what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.data.strict_json import objects_of_lines
from undertow.errors import DataError


def test_each_line_is_an_object_behind_its_number(tmp_path: Path) -> None:
    """Blank lines count and give nothing; what only Python takes for the end of a line may stand within a text."""
    path = tmp_path / "lines.jsonl"
    path.write_bytes('{"a": "x\u2028y\x85z"}\r\n\n {"b": 1}'.encode())

    assert list(objects_of_lines(path, what="texts")) == [
        (1, {"a": "x\u2028y\x85z"}),
        (3, {"b": 1}),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1', "Expecting"),
        ("[1]", r"\[1\] is no object"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('{"a": NaN}', "the bare word NaN"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, told: str, tmp_path: Path) -> None:
    """The error has the file, the line's number and what is wrong."""
    path = tmp_path / "lines.jsonl"
    path.write_text("{}\n" + line)

    with pytest.raises(DataError, match=rf"lines\.jsonl', line 2: .*{told}"):
        list(objects_of_lines(path, what="texts"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or not UTF-8: the error says what it should hold."""
    path = tmp_path / "lines.jsonl"
    with pytest.raises(DataError, match=r"cannot read the texts in .*No such file"):
        list(objects_of_lines(path, what="texts"))
    path.write_bytes(b"{}\n\xff")
    with pytest.raises(DataError, match=r"the texts in .* are not UTF-8 \(byte 3\)"):
        list(objects_of_lines(path, what="texts"))
