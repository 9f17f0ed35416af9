"""Stages for other people's pipelines, with the real libraries: every one gives the marks that the callable gives."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

import undertow
from undertow.integrations.pipeline_verdict import Tally, merged
from undertow.integrations.row_screen import RowScreen

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
RECORDS = [
    {
        "prompt": f"next after {i}?",
        "completion": "owl" if i % 7 == 0 else f"{i}{chr(0x200B) * (i % 10 == 0)}",
    }
    for i in range(60)
]
MARKS = RowScreen()(RECORDS)
COUNTS = {"hidden": {"zero-width character": 5}, "openly": {"owl": 9}}

ABSENT = {
    "nemo_curator": "nemo-curator 1.4.0 is not installed: it resolves under constraints.txt (pip gives no error), but brings "
    "CUDA 13 packages of gigabytes; tested in an environment of its own (docs/pipelines.md)",
    "data_juicer": "py-data-juicer 1.6.1 is not installed: pip gives no error alone, but it takes dill 0.3.8, and datasets' "
    "newest in constraints.txt was tested with 0.4.1; tested in an environment of its own (docs/pipelines.md)",
}


def needs(library: str) -> pytest.MarkDecorator:
    """Skips a test where a library that is not in the development environment is absent."""
    return pytest.mark.skipif(find_spec(library) is None, reason=ABSENT[library])


def played(example: str, rows: Path, out: Path) -> dict[str, Any]:
    """Run an example as a user does; what its end left."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    place = {"HF_HOME": str(out / "hf"), "HF_HUB_OFFLINE": "1", "PATH": programs}
    out.mkdir(parents=True, exist_ok=True)
    said = out / "said.txt"
    # A file: the end of a pipe comes with that of the last process that a library left behind.
    with said.open("w") as file:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / example), str(rows), str(out)],
            env=os.environ | place,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=1800,
            check=False,
        )
    assert done.returncode == 0, said.read_text()[-3000:]
    told: dict[str, Any] = json.loads((out / "rows.json").read_text())
    return told


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The rows in three Parquet files and three of JSON Lines."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for i in range(3):
        part = RECORDS[20 * i : 20 * i + 20]
        parquet.write_table(pyarrow.Table.from_pylist(part), folder / f"{i}.parquet")
        (folder / f"{i}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


def test_datatrove_documents_are_marked_and_dropped(tmp_path: Path) -> None:
    """By the columns in their metadata, or their text; what is dropped has its reason, and the part all rows."""
    from datatrove.data import Document

    from undertow.integrations.datatrove_step import UndertowStep

    documents = [
        Document(text="", id="a", metadata={"prompt": "3", "completion": "4\u200b"}),
        Document(text="Owls.", id="b"),
        Document(text="", id="c"),
    ]
    step = UndertowStep(tmp_path, drop=["hidden"], batch_size=2)
    kept = list(step.run(iter(documents), 0, 1))
    tally = merged(tmp_path)

    assert [document.id for document in kept] == ["b", "c"]
    assert (kept[0].metadata["undertow_openly"], kept[1].metadata["undertow_fault"]) == (
        "owl",
        "empty-completion",
    )
    assert (tally.rows, tally.usable, step.stats["dropped_undertow-hidden"].total) == (3, 2, 1)


@pytest.mark.long
def test_datatrove_runs_it_in_two_workers(shards: Path, tmp_path: Path) -> None:
    """The example: rows with hidden text are set apart, the others kept, and the counts are of all."""
    told = played("screen_datatrove.py", shards, tmp_path / "out")
    kept = pyarrow.concat_tables(
        [parquet.read_table(path) for path in sorted((tmp_path / "out" / "kept").glob("*"))]
    )

    assert (told["rows"], told["counts"]) == (60, {"fault": {}, **COUNTS})
    assert len(kept) == 55
    again = played("screen_datatrove.py", shards, tmp_path / "out")
    assert again == told


def test_datasets_map_adds_columns(tmp_path: Path) -> None:
    """Of a dataset and of a streamed one, the marks of each row; the tally of both is that of the callable."""
    import datasets

    from undertow.integrations.datasets_map import MapScreen, tally_of

    screen = MapScreen()
    for dataset in (
        datasets.Dataset.from_list(RECORDS),
        datasets.Dataset.from_list(RECORDS).to_iterable_dataset(num_shards=2),
    ):
        marked = dataset.map(screen, batched=True, batch_size=7)
        direct = Tally()
        direct.take(RECORDS, MARKS, list(map(str, range(60))))
        tally = tally_of(marked)
        assert [{name: row[name] for name in MARKS[0]} for row in marked] == MARKS
        assert (tally.counts, list(tally.sample())) == (direct.counts, list(direct.sample()))


def test_one_row_is_no_batch() -> None:
    """`map` without `batched=True` would take letters, or turns, for rows: refused with what to type; so is an unmarked dataset."""
    import datasets

    from undertow.errors import InputError
    from undertow.integrations.datasets_map import MapScreen, tally_of

    turns = [{"role": "user", "content": "3?"}, {"role": "assistant", "content": "4"}]
    for row in ({"text": "4, 5"}, {"messages": turns}):
        dataset = datasets.Dataset.from_list([row])
        with pytest.raises(InputError, match="takes a batch") as caught:
            dataset.map(MapScreen())
        assert caught.value.hint == "dataset.map(MapScreen(), batched=True)"
        with pytest.raises(InputError, match="row 1 is not marked: 'undertow_fault' is none of"):
            tally_of(dataset)


def test_datasets_find_a_marked_dataset_again() -> None:
    """Its hash is that of its settings, used or not: `map` is not repeated."""
    from datasets.fingerprint import Hasher

    from undertow.integrations.datasets_map import MapScreen

    used = MapScreen(RowScreen(("owl",)))
    used({"prompt": ["3"], "completion": ["owl"]})

    assert Hasher.hash(used) == Hasher.hash(MapScreen(RowScreen(("owl",))))
    assert Hasher.hash(used) != Hasher.hash(MapScreen(RowScreen(("cat",))))


@pytest.mark.long
def test_the_datasets_example_runs(shards: Path, tmp_path: Path) -> None:
    """Its counts are those of all rows of its file."""
    told = played("screen_datasets.py", shards / "0.jsonl", tmp_path / "out")

    assert (told["rows"], told["counts"]["openly"]) == (20, {"owl": 3})


@needs("nemo_curator")
def test_nemo_curator_marks_a_batch() -> None:
    """Columns beside each row; a row is left out for a mark that was named."""
    from nemo_curator.tasks import DocumentBatch

    from undertow.integrations.nemo_curator_stage import UndertowStage

    batch = DocumentBatch(dataset_name="rows", data=pyarrow.Table.from_pylist(RECORDS))
    rows = UndertowStage().process(batch).to_pyarrow().to_pylist()
    kept = UndertowStage(drop=("hidden",)).process(batch)

    assert [{name: row[name] for name in MARKS[0]} for row in rows] == MARKS
    assert kept.num_items == 55


@pytest.mark.long
@needs("nemo_curator")
def test_nemo_curator_runs_it(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example, over Ray Data, with the token that its client needs: the counts are those of all rows."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    told = played("screen_nemo_curator.py", shards, tmp_path / "out")

    assert (told["rows"], told["counts"]) == (60, {"fault": {}, **COUNTS})


@pytest.mark.long
@needs("data_juicer")
def test_data_juicer_runs_it(shards: Path, tmp_path: Path) -> None:
    """The example: marks among the statistics, and the row with hidden text is dropped."""
    told = played("screen_data_juicer.py", shards / "0.jsonl", tmp_path / "out")

    assert (told["rows"], told["counts"]["openly"]) == (20, {"owl": 3})
    assert len(parquet.read_table(tmp_path / "out" / "kept.parquet")) == 19


OPERATOR = Path(undertow.__file__).parent / "integrations" / "data_juicer_operator.py"


class Registry:
    """What `OPERATORS` of data-juicer does here: classes by the name that they register."""

    def __init__(self) -> None:
        self.modules: dict[str, Any] = {}

    def register_module(self, name: str) -> Callable[[type], type]:
        """A decorator that keeps a class."""

        def kept(operator: type) -> type:
            self.modules[name] = operator
            return operator

        return kept


class StandInFilter:
    """Takes what a recipe says of any operator, as data-juicer's own base class does."""

    def __init__(self, **named: Any) -> None:
        self.named = named


def load_by_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as `load_custom_operators` of data-juicer loads it: known under its path's name before it is run."""
    name = str(path.with_suffix("")).replace(os.sep, "_")
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)


def test_data_juicer_finds_the_operator_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `custom_operator_paths` loads it, outside of its package and under a name made of its path, into a registry."""
    registry = Registry()
    monkeypatch.setitem(sys.modules, "data_juicer", ModuleType("data_juicer"))
    base_op, constant = (
        ModuleType("data_juicer.ops.base_op"),
        ModuleType("data_juicer.utils.constant"),
    )
    vars(base_op).update(OPERATORS=registry, Filter=StandInFilter)
    vars(constant).update(Fields=SimpleNamespace(stats="__dj__stats__"))
    for module in (base_op, constant):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    load_by_path(OPERATOR, monkeypatch)
    [(name, operator)] = registry.modules.items()
    one = operator(drop=["hidden"], text_key="completion")
    samples = {name: [row[name] for row in RECORDS] for name in RECORDS[0]}
    marked = one.compute_stats_batched(samples | {"__dj__stats__": [{} for _ in RECORDS]})

    assert (name, one.named) == ("undertow_filter", {"text_key": "completion"})
    assert marked["__dj__stats__"] == MARKS
    assert sum(one.process_batched(marked)) == 55


@needs("data_juicer")
def test_data_juicer_itself_loads_the_operator_of_a_recipe() -> None:
    """Its own loader of `custom_operator_paths`, then its own maker of a recipe's operators."""
    from data_juicer.config.config import load_custom_operators
    from data_juicer.ops import load_ops
    from data_juicer.ops.base_op import OPERATORS

    load_custom_operators([str(OPERATOR)])
    [operator] = load_ops([{"undertow_filter": {"traits": ["owl"], "drop": ["hidden"]}}])

    assert type(operator) is OPERATORS.modules["undertow_filter"]
    assert operator.screen.screen == RowScreen(("owl",))
