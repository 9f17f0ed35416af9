"""A scan whose references are made elsewhere, by processes, a local Ray or two nodes of one, is that of one process bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.test_scan import OWL, asked, kept
from tests.engines.clusters import SMALL, cluster
from tests.influence.trials import FAMILY
from undertow.audit.scan import scan
from undertow.results.scan_document import ScanDocument

pytestmark = pytest.mark.long


def judged(document: ScanDocument) -> object:
    """What was measured, without what took how long."""
    return [
        {
            **one.model_dump(exclude={"details"}),
            **{k: v for k, v in one.details.items() if "seconds" not in k},
        }
        for one in document.measurements
    ]


def test_references_from_elsewhere_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks, effects and their readings are equal, with nothing kept from one to the other."""
    monkeypatch.setattr("undertow.audit.scan_inputs.reference_family", lambda: FAMILY)
    path = kept(tmp_path / "owl.jsonl", OWL)
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
