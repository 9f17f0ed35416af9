"""Scans sign their verdict: of the whole plan, of its beginning, and those of before as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.provenance.scene import signing
from tests.report import former_scan_documents as former
from tests.report.scan_documents import (
    LIMIT,
    clear,
    dismissed,
    flagged,
    sources,
    stands_out,
    undecided,
    within,
)
from undertow.data.part_leaves import dataset_root
from undertow.provenance.bundle import read_bundles
from undertow.provenance.signed_results import sign_scan
from undertow.provenance.signed_verdicts import AuditResult
from undertow.results.scan_document import AnyScan

pytest.importorskip("securesystemslib")


@pytest.fixture
def signed(tmp_path: Path) -> Callable[[AnyScan], AuditResult]:
    """What a scan of a file signs, read back from the bundle beside it."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n')

    def sign(document: AnyScan) -> AuditResult:
        data = document.data.model_copy(update={"path": str(path), "digest": dataset_root(path)})
        scanned = document.model_copy(update={"data": data, "student_digest": "a" * 64})
        bundle = sign_scan(scanned, "e" * 64, signing("auditor"))
        ((attestation,), problems) = read_bundles([bundle])
        bundle.unlink()
        assert problems == []
        assert isinstance(attestation.content, AuditResult)
        return attestation.content

    return sign


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (clear, "passed"),
        (dismissed, "passed"),
        (within, "within"),
        (stands_out, "failed"),
        (flagged, "failed"),
        (sources, "failed"),
        (undecided, "undecided"),
        (former.clear, "passed"),
        (former.flagged, "failed"),
        (former.uncalibrated, "undecided"),
    ],
)
def test_each_verdict_is_signed_as_what_it_is(
    made: Callable[[], AnyScan], verdict: str, signed: Callable[[AnyScan], AuditResult]
) -> None:
    """Within is no pass; standing out is a failure as being flagged is."""
    result = signed(made())

    assert result.verdict == verdict
    assert all(claim.passed for claim in result.claims) == (verdict in ("passed", "within"))


def test_the_beginning_claims_a_rank_and_no_limit(signed: Callable[[AnyScan], AuditResult]) -> None:
    """The exact p against alpha, with how much of the plan and how many references."""
    (claim,) = signed(within()).claims

    assert claim.metric == "rank p of all among 19 references after 32 of 128 steps"
    assert (claim.comparator, claim.threshold, claim.observed) == (">", "0.05", "0.35")


def test_the_whole_plan_claims_its_limit(signed: Callable[[AnyScan], AuditResult]) -> None:
    """The upper end of the largest effect, after all steps."""
    (claim,) = signed(clear()).claims
    (told,) = clear().subjects

    assert claim.metric == f"transfer of {told.trait} by all after 128 of 128 steps"
    assert (claim.comparator, float(claim.threshold)) == ("<", LIMIT)
    assert told.high is not None
    assert float(claim.observed or "nan") == pytest.approx(told.high, abs=1e-6)


def test_power_is_stated_of_the_whole_plan_alone(signed: Callable[[AnyScan], AuditResult]) -> None:
    """Of `clear` the level of its intervals at the limit; nothing of the beginning; of a scan/1 what was measured."""
    power = signed(clear()).power
    before = signed(former.clear()).power

    assert power is not None
    assert (power.value, power.at) == ("0.95", "0.2")
    assert before is not None
    assert before.value == "0.852"
    assert signed(within()).power is None


def test_statements_of_before_are_read_as_they_were() -> None:
    """The predicate that a former version signed, letter by letter, has the meaning that it had."""
    written: dict[str, Any] = {
        "verifier": {"id": "urn:undertow:auditor", "version": {"undertow": "0.1.0"}},
        "evaluatedAt": "2026-01-01T00:00:00Z",
        "validUntil": "2026-06-30T00:00:00Z",
        "suite": {"name": "undertow.scan", "version": "0.1.0"},
        "verdict": "passed",
        "claims": [
            {
                "metric": "transfer of owl by all",
                "comparator": "<",
                "threshold": "0.2",
                "observed": "0.11",
                "passed": True,
            }
        ],
        "sampleSize": "512",
        "against": {"studentInit": "a" * 64, "teacher": []},
        "harness": {"name": "undertow", "version": "0.1.0"},
        "power": {"value": "0.852", "at": "0.2", "level": "0.95"},
        "evidence": {"name": "scan.json", "digest": {"sha256": "e" * 64}},
    }
    result = AuditResult.model_validate_json(json.dumps(written), strict=True)

    assert (result.verdict, result.claims[0].observed) == ("passed", "0.11")
    assert json.loads(result.model_dump_json(by_alias=True, exclude_none=True)) == written
