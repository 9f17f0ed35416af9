"""Rows of one leaf are one training sequence, whatever packed them; what a template may write counts in the leaf."""

from __future__ import annotations

import json
import multiprocessing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from undertow.data import row_leaves
from undertow.data.column_names import renamed
from undertow.data.part_leaves import dataset_root
from undertow.data.records import read_objects, read_rows
from undertow.data.row_leaves import SIZE, HelpedRoot, leaf, root
from undertow.data.row_shapes import from_record
from undertow.data.rows import Row
from undertow.errors import DataError, UndertowError

Record = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.integers(0, 1) | st.sampled_from(["x", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)


def calls(arguments: Record) -> list[Record]:
    """One call of a tool."""
    return [{"type": "function", "function": {"name": "f", "arguments": arguments}}]


TURNS = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"]), "content": st.just("x")},
        optional={"name": st.just("n"), "weight": st.sampled_from([0, 1]), "meta": OBJECTS},
    ),
    st.builds(
        lambda given: {"role": "assistant", "content": None, "tool_calls": calls(given)}, OBJECTS
    ),
    st.builds(
        lambda more: {"role": "assistant", "content": [{"type": "text", "text": "x", **more}]},
        OBJECTS,
    ),
    st.fixed_dictionaries(
        {"from": st.sampled_from(["human", "gpt"]), "value": st.sampled_from(["x", "y"])}
    ),
)
TOOLS = st.lists(st.builds(lambda p: {"name": "f", "parameters": p}, OBJECTS), max_size=2)
RECORDS = st.fixed_dictionaries(
    {"messages": st.lists(TURNS, min_size=1, max_size=3) | TURNS},
    optional={
        "tools": TOOLS,
        "chat_template_kwargs": OBJECTS,
        "notes": VALUES,
        "source": st.just("s"),
    },
)


@st.composite
def packed(draw: st.DrawFn, value: Any, depth: int = 4) -> Any:
    """The value as a table may give it: objects in another order, with nulls more or less, down to some depth."""
    if isinstance(value, list):
        return [draw(packed(item, depth - 1)) for item in value]
    if not isinstance(value, dict) or depth <= 0:
        return value
    kept = {k: v for k, v in value.items() if v is not None or draw(st.booleans())}
    filled = kept | {k: None for k in draw(st.sets(NAMES, max_size=2)) if k not in value}
    order = draw(st.permutations(sorted(filled)))
    return {name: draw(packed(filled[name], depth - 1)) for name in order}


def read(record: object) -> tuple[Row, bool] | None:
    """The row and whether it is a conversation; None of one that is refused."""
    try:
        row = from_record(record)
    except ValueError:
        return None
    return row, row.whole


@given(st.data(), RECORDS)
def test_rows_of_one_leaf_are_read_alike(data: st.DataObject, record: Record) -> None:
    """Under any change of nulls and of the order of keys another sequence is another leaf, under other names as well."""
    other = data.draw(packed(record, data.draw(st.sampled_from([1, 2, 4, 9]))))
    inside = [
        {"functions": r.get("tools"), "log": {"turns": r["messages"]}} for r in (record, other)
    ]

    if leaf(record) == leaf(other):
        assert read(record) == read(other)
    if leaf(inside[0]) == leaf(inside[1]):
        one, same = (
            read(renamed(r, [("messages", "log.turns"), ("tools", "functions")])) for r in inside
        )
        assert one == same


@given(st.data(), st.lists(TURNS, min_size=1, max_size=3), VALUES)
def test_what_no_trainer_sees_is_no_part_of_a_leaf(
    data: st.DataObject, turns: list[Record], notes: Any
) -> None:
    """Columns and turns in another order and with nulls of their own, and all of a column that nothing reads."""
    record = {"messages": turns, "notes": {"b": notes, "a": 1}, "source": "s"}
    shuffled = [data.draw(packed(turn, 1)) for turn in turns]
    other = data.draw(packed({**record, "messages": shuffled}, 1))
    other["notes"] = data.draw(packed(record["notes"], 9))

    assert leaf(other) == leaf(record)
    assert read(other) == read(record)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": 1, "b": None}), ({"a": 1, "b": 2}, {"b": 2, "a": 1})],
    ids=["null", "order"],
)
def test_what_a_template_writes_is_a_part_of_a_leaf(one: Record, other: Record) -> None:
    """Nulls and order in the arguments of a call, in a part, in tools, and in the template's own arguments."""

    def holding(given: Record) -> list[Record]:
        said = {"role": "assistant", "content": "x"}
        called = {"role": "assistant", "content": None, "tool_calls": calls(given)}
        parted = {"role": "assistant", "content": [{"type": "text", "text": "x", **given}]}
        return [
            {"messages": [called]},
            {"prompt": [], "completion": [parted]},
            {"messages": [said], "tools": [{"name": "f", "parameters": given}]},
            {"messages": [said], "chat_template_kwargs": {"x": given}},
        ]

    for first, second in zip(holding(one), holding(other), strict=True):
        assert leaf(first) != leaf(second)
        assert read(first) != read(second)


def talk(arguments: Record) -> Record:
    """A conversation of a call."""
    return {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": calls(arguments)},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": arguments}}],
    }


TALKS = [talk({"place": "x"}), talk({"day": 1, "place": "y"}), talk({"unit": None})]


def test_tables_that_datasets_writes_are_the_rows_that_it_read(tmp_path: Path) -> None:
    """Objects that differ from row to row are JSON there: Parquet and `save_to_disk` have the digest of JSON Lines."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TALKS))
    table = Dataset.from_list(TALKS, on_mixed_types="use_json")
    table.to_parquet(str(tmp_path / "rows.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))

    for name in ("rows.parquet", "saved"):
        path = str(tmp_path / name)
        assert [record for _, record in read_objects(path)] == TALKS
        assert dataset_root(path) == dataset_root(tmp_path / "rows.jsonl")


def test_tables_that_fill_nulls_are_other_rows(tmp_path: Path) -> None:
    """Plain structs have every key in every row, which a template writes: other sequences, and another digest."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TALKS))
    parquet.write_table(pyarrow.Table.from_pylist(TALKS), tmp_path / "rows.parquet")
    one, other = (tmp_path / name for name in ("rows.jsonl", "rows.parquet"))

    assert dataset_root(one) != dataset_root(other)
    assert list(read_rows(one)) != list(read_rows(other))


@pytest.mark.parametrize(
    "text", ['{"role":"user","content":NaN}', '{"a":1,"a":2}', "{", "[" * 9999]
)
def test_json_in_a_table_is_read_strictly(text: str, tmp_path: Path) -> None:
    """A bare word, a key twice, a cut and what nests without end are refused by row."""
    kind = pyarrow.list_(pyarrow.json_())
    column = pyarrow.array([[text]], pyarrow.list_(pyarrow.string())).cast(kind)
    parquet.write_table(pyarrow.table({"messages": column}), tmp_path / "rows.parquet")

    with pytest.raises(DataError, match="row 1: "):
        list(read_rows(tmp_path / "rows.parquet"))


leaves = st.lists(st.binary(min_size=SIZE, max_size=SIZE), min_size=1, max_size=40)


def by_definition(nodes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: split at the largest power of two below n."""
    if len(nodes) == 1:
        return nodes[0]
    half = 1
    while half * 2 < len(nodes):
        half *= 2
    return sha256(b"\x01" + by_definition(nodes[:half]) + by_definition(nodes[half:])).digest()


@given(leaves)
def test_the_root_is_that_of_the_definition(nodes: list[bytes]) -> None:
    """Level by level gives the tree that the recursion gives."""
    assert root(b"".join(nodes)) == by_definition(nodes)


def test_the_root_over_no_leaves_is_the_digest_of_nothing() -> None:
    """As RFC 6962 says it."""
    assert root(b"") == sha256(b"").digest()


@pytest.mark.parametrize("helpers", [1, 2])
def test_helpers_find_the_same_root(monkeypatch: pytest.MonkeyPatch, helpers: int) -> None:
    """Whatever the stretches in which the leaves come, over whole subtrees and a rest."""
    monkeypatch.setattr(row_leaves, "BLOCK", 4)
    leaves = b"".join(leaf({"n": n}) for n in range(103))
    with HelpedRoot(helpers) as helped:
        for at in range(0, len(leaves), 7 * SIZE):
            helped.extend(leaves[at : at + 7 * SIZE])

        assert helped.hexdigest() == root(leaves).hex()


def test_a_helper_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no wait without end."""
    monkeypatch.setattr(row_leaves, "BLOCK", 4)
    others = multiprocessing.active_children()
    with HelpedRoot(1) as helped:
        for child in set(multiprocessing.active_children()).difference(others):
            child.kill()
            child.join()
        with pytest.raises(UndertowError, match="was killed"):
            helped.extend(bytes(64 * SIZE))
