"""A JSON array is read element by element, whatever blocks it comes in, and strictly."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.data import json_records
from undertow.data.file_sample import screen_file
from undertow.data.records import read_objects
from undertow.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Blocks:
    """A stream that gives so many bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self.content, self.size, self.at = content, size, 0

    def read(self, size: int) -> bytes:
        self.at += self.size
        return self.content[self.at - self.size : self.at]


def refuse(reason: str, number: int, text: str, /, rows: int = 1) -> None:
    """Fails."""
    raise AssertionError(text)


@given(st.lists(VALUES, max_size=5), st.integers(1, 40), st.sampled_from([None, 0, 2]))
def test_elements_are_those_of_the_array(
    values: list[object], size: int, indent: int | None
) -> None:
    """Any JSON, spaced in any way, cut anywhere into blocks, also within a letter."""
    content = json.dumps(values, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    stream = Blocks(b" \n" + content + b"\n", size)
    found = list(json_records.array_records(stream, "'x'", refuse))

    assert found == list(enumerate(json.loads(content), start=1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}{"a": 2}', "row 1: not valid JSON"),
        (b"3", r"row 1: '3' where '\[' is needed"),
        (b'[{"text": "a"}', "row 2: the end of the file where ']' is needed"),
        (b'[{"text": "a"},', "row 2: cut off, or not valid JSON"),
        (b'[{"text": "a"}, {"text": "b', "row 2: cut off, or not valid JSON"),
        (b'[{"text": "a"} {"text": "b"}]', "row 2: '{' where ']' is needed"),
        (b'[{"text": "a"}, {"text": b}, 3]', "row 2: .*not valid JSON"),
        (b'[{"text": "a"}] 3', "row 2: more text behind the array"),
        (b'[{"text": "\xff"}]', "row 1: text that is not UTF-8"),
        (b"[" * 100_000, "row 1: JSON nested too deeply"),
        (b'[{"text": "a", "text": "b"}]', "row 1: has the key 'text' twice"),
        (b'[{"text": "a", "n": NaN}]', "row 1: the bare word NaN is not JSON"),
    ],
)
def test_what_is_no_array_is_named_by_its_row(content: bytes, message: str, tmp_path: Path) -> None:
    """What comes behind a broken element cannot be told apart, so that it is never left out in silence."""
    path = tmp_path / "rows.json"
    path.write_bytes(content)

    with pytest.raises(DataError, match=message) as caught:
        list(read_objects(path))
    assert "\n" not in caught.value.message


def test_objects_one_a_line_are_rows_too(tmp_path: Path) -> None:
    """Many a `.json` is JSON Lines."""
    path = tmp_path / "rows.json"
    path.write_bytes(b'\xef\xbb\xbf\n {"text": "a"}\n{"text": "b"}\n')

    assert list(read_objects(path)) == [
        (f"'{path}', row 2", {"text": "a"}),
        (f"'{path}', row 3", {"text": "b"}),
    ]


def test_a_key_twice_costs_its_row_alone(tmp_path: Path) -> None:
    """A screen counts it and goes on."""
    path = tmp_path / "rows.json"
    path.write_bytes(b'[{"text": "a"}, {"text": "b", "m": {"k": 1, "k": 2}}, {"text": "c"}]')
    data = screen_file(path, seed=1).data

    assert data.rows == 2
    assert [(each.reason, each.rows) for each in data.excluded] == [("key-twice", 1)]


def test_memory_does_not_grow_with_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times the elements, the same peak."""
    monkeypatch.setattr(json_records, "_BLOCK", 1 << 13)
    peaks = []
    for count in (2000, 10_000):
        path = tmp_path / f"{count}.json"
        path.write_text(json.dumps([{"text": f"row {i}"} for i in range(count)]))
        tracemalloc.start()
        assert sum(1 for _ in read_objects(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.2 * peaks[0] + 50_000
