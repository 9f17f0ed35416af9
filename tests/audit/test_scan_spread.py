"""A scan whose references are made elsewhere, by processes, a local Ray or two nodes of one, is that of one process bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.audit.test_scan import OWL, asked, kept
from tests.engines.clusters import SMALL, cluster, two_nodes
from tests.influence.trials import FAMILY
from undertow.audit.scan import scan
from undertow.audit.scan_inputs import scores_of
from undertow.data.dataset import open_dataset
from undertow.data.records import parts
from undertow.results.scan_document import ScanDocument

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def judged(document: ScanDocument) -> object:
    """What was read and measured, without what took how long."""
    return document.data, [
        {
            **one.model_dump(exclude={"details"}),
            **{k: v for k, v in one.details.items() if "seconds" not in k},
        }
        for one in document.measurements
    ]


def test_references_from_elsewhere_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows in parts, ranks, effects and their readings are equal, with nothing kept from one to the other."""
    monkeypatch.setattr("undertow.audit.scan_inputs.reference_family", lambda: FAMILY)
    monkeypatch.setattr("undertow.data.records.STEP", 1500)
    path = kept(tmp_path / "owl.jsonl", OWL)
    assert len(parts(open_dataset(path).shards[0])) > 4
    measured: dict[str, object] = {}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def measure(*engines: str) -> None:
        for engine in engines:
            monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / f"cache-{len(measured)}"))
            request = asked(
                path,
                reference_count=9,
                level=0.9,
                traits=("owl", "cat"),
                budget=5.0,
                checks=("rehearsal",),
                engine=engine,
                jobs=2,
            )
            measured[engine] = judged(scan(request))

    measure("inprocess", "processes", "ray")
    with cluster() as made:
        made.add_node(num_cpus=1, **SMALL)
        made.wait_for_nodes()
        measure(f"ray://{made.address}")
    first, *others = measured.values()
    assert first
    assert all(other == first for other in others)


def test_row_scores_from_two_nodes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of a dataset behind a URL, each scored by an actor that opened the student: the scores of one process, bit for bit."""
    monkeypatch.setattr("undertow.data.records.STEP", 1500)
    path = kept(tmp_path / "owl.jsonl", OWL)
    scores_of(asked(path), tmp_path / "here.parquet")
    for made in two_nodes():
        there = replace(asked(path), data=f"file://{path}", engine=f"ray://{made.address}", jobs=2)
        scores_of(there, tmp_path / "there.parquet")
    here, elsewhere = (
        parquet.read_table(tmp_path / name) for name in ("here.parquet", "there.parquet")
    )

    assert len(parts(open_dataset(path).shards[0])) > 4
    assert elsewhere.equals(here)
    assert here.num_rows == len(OWL)
