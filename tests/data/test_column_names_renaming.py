"""`--columns` names a column that is there, or the error says which one is not and which was meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from tests.data.packings import json_lines
from undertow.data.column_names import advised, renamed
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.file_sample import screen_file
from undertow.data.records import read_rows
from undertow.data.row_shapes import from_record
from undertow.errors import DataError, NothingLeftError

QUESTIONS = [{"question": f"q {i}", "answer": f"a {i}"} for i in range(3)]
PROMPTS = [{"prompt": f"q {i}", "completion": f"a {i}"} for i in range(3)]


def named(folder: Path, records: list[dict[str, str]], **columns: str) -> RowDataset:
    """A file of records, read with `--columns`."""
    path = folder / "rows.jsonl"
    path.write_bytes(json_lines(records))
    return replace(open_dataset(path), columns=tuple(columns.items()))


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    """Of rows that have no shape without it, in the first row that lacks it; by a screen as by a reader."""
    data = named(tmp_path, QUESTIONS, prompt="quest", completion="answer")

    told = r"has the column 'quest' \(--columns prompt=quest\); found: 'question', 'answer'"
    with pytest.raises(DataError, match=told) as caught:
        screen_file(data, seed=1)
    assert caught.value.hint == "--columns prompt=question completion=answer"
    with pytest.raises(DataError, match="row 1: has no column 'quest'") as caught:
        list(read_rows(data))
    assert caught.value.hint == "--columns prompt=question completion=answer"


def test_a_mistyped_column_never_gives_way_to_one_of_the_right_name(tmp_path: Path) -> None:
    """The rows have a shape of their own, which is not the one that was asked for."""
    data = named(tmp_path, [PROMPTS[0] | {"answer": "b"}], completion="anwser")

    for read in (lambda: screen_file(data, seed=1), lambda: list(read_rows(data))):
        with pytest.raises(
            DataError, match=r"no row of '.*rows.jsonl' has the column 'anwser'"
        ) as caught:
            read()
        assert caught.value.hint == "--columns completion=answer"


def test_a_control_may_have_a_shape_of_its_own(tmp_path: Path) -> None:
    """What the columns of the data are called says nothing of the control's."""
    data = replace(named(tmp_path, PROMPTS, prompt="question"), columns_optional=True)

    assert screen_file(data, seed=1).data.rows == len(PROMPTS)


def test_rows_of_two_shapes_are_read_together(tmp_path: Path) -> None:
    """A column has to be in some row, not in every one."""
    data = named(tmp_path, PROMPTS + QUESTIONS, prompt="question", completion="answer")

    assert screen_file(data, seed=1).data.rows == 6
    assert len(list(read_rows(data))) == 6


def test_a_column_is_missed_in_the_row_that_lacks_it(tmp_path: Path) -> None:
    """Counted with its row, where others have it."""
    data = named(tmp_path, [*QUESTIONS, {"question": "q"}], prompt="question", completion="answer")
    screened = screen_file(data, seed=1).data

    assert screened.rows == len(QUESTIONS)
    [excluded] = screened.excluded
    assert "row 4: has no column 'answer' (--columns completion=answer)" in excluded.places[0]


def test_what_lies_in_a_column_is_reached_by_its_way() -> None:
    """Keys and places of a list; a column of that very name goes first, and a way that ends nowhere names nothing."""
    record = {"log": {"turns": ["a", "b"]}, "log.turns": "c"}

    assert renamed(record, [("text", "log.turns.1")]) == record | {"text": "b"}
    assert renamed(record, [("text", "log.turns")]) == {"log": record["log"], "text": "c"}
    for way in ("log.turns.2", "log.no", "log.turns.-1", "log.turns.1.x", "none"):
        assert renamed(record, [("text", way)]) == record


@pytest.mark.parametrize(
    "record",
    [
        {"question": "a", "answer": "b"},
        {"prompt": "a", "turns": 1, "response": "b"},
        {"body": {"x": 1}, "document": "b"},
        {"request": {"x": 1}, "response": {"y": 2}, "content": "b"},
        {"instruction": "a", "context": "c", "response": "b"},
        {"text": "x", "instruction": "a", "output": "b"},
        {"dialogue": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"it's": "x", "prompt": "a", "Response ": "b"},
    ],
)
def test_every_option_that_is_advised_reads_the_record(record: dict[str, object]) -> None:
    """It was tried: a name alone does not make a number a conversation."""
    import shlex

    options = advised(record).split(", or ")
    for option in options:
        words = shlex.split(option.partition(" for ")[0])
        assert words[0] == "--columns"
        pairs = [word.partition("=") for word in words[1:]]
        from_record(renamed(record, [(name, old) for name, _, old in pairs]))


def test_a_table_is_advised_by_its_first_row(tmp_path: Path) -> None:
    """In Parquet, where the columns of all rows are known before any is read."""
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"turns": [1], "prompt": ["a"], "response": ["b"]}), path)

    with pytest.raises(NothingLeftError) as caught:
        screen_file(path, seed=1)
    assert caught.value.hint == "--columns completion=response"


def test_most_rows_decide_what_is_advised(tmp_path: Path) -> None:
    """Where rows of one reason need different things."""
    records = [{"content": "x"}, *QUESTIONS]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json_lines(records))

    with pytest.raises(NothingLeftError, match="shape 4") as caught:
        screen_file(path, seed=1)
    assert caught.value.hint == "--columns prompt=question completion=answer"


def test_tokens_beside_the_text_are_left_out_by_their_names(tmp_path: Path) -> None:
    """The option that the refusal tells reads the text."""
    record = {"text": "x", "input_ids": [1], "labels": [1]}
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json_lines([record]))
    with pytest.raises(NothingLeftError) as caught:
        screen_file(path, seed=1)
    assert caught.value.hint == "if the text is what is trained: --columns input_ids= labels="

    data = replace(open_dataset(path), columns=(("input_ids", ""), ("labels", "")))
    assert screen_file(data, seed=1).data.rows == 1
