"""The tables of a screen."""

from __future__ import annotations

import pytest

from tests.report import former_scan_documents as former
from tests.report.scan_documents import HOSTILE, flagged, sources
from undertow.report import scan_tables as tables
from undertow.report.scan_calibration import calibration_grounds
from undertow.report.scan_references import reference_grounds
from undertow.results.measurement import Measurement


def test_transfer_and_detectable_have_their_own_columns() -> None:
    """One row a subject, the whole file first."""
    table = tables.subjects_table(sources(), reference_grounds(sources()))

    assert table.columns[:5] == ("subject", "verdict", "effect, logits", "judged by", "detectable")
    assert [row[0] for row in table.rows][:2] == ["the whole file", HOSTILE]
    assert {row[1] for row in table.rows} == {
        "flagged",
        "stands out",
        "within",
        "clear",
        "undecided",
        "skipped",
        "not applicable",
        "error",
    }


def test_a_former_screen_keeps_its_columns() -> None:
    """Expected transfer, and the dose that would have been seen."""
    before = former.flagged()
    table = tables.subjects_table(before, calibration_grounds(before))

    assert table.columns[:4] == ("subject", "verdict", "expected transfer, logits", "detectable")
    assert "seen from dose" in table.columns


def test_every_measured_transfer_is_in_the_numbers() -> None:
    """Seven subjects with sixteen traits; both stages of one subject."""
    tabled = [tables.transfers_table(one, reference_grounds(one)) for one in (sources(), flagged())]

    assert [len(table.rows) for table in tabled] == [7 * 16, 2 * 16]
    column = tabled[1].columns.index("stage")
    assert [row[column] for row in tabled[1].rows] == ["2"] * 16 + ["1"] * 16


def test_what_a_verdict_was_judged_by_is_beside_it() -> None:
    """Steps, references, and the p that counts against alpha."""
    judged = [tables.judged_by(one) for one in sources().subjects]

    assert judged[3] == "32 of 128 steps, 19 references: p = 0.040, alpha 0.05"
    assert judged[0] == "all 128 steps, 8 references"
    assert judged[-1] == tables.judged_by(former.flagged().subjects[0]) == "–"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"estimate": 0.5, "unit": "share of rows"}, "50.0\N{NO-BREAK SPACE}%"),
        ({"estimate": 1e300, "unit": "e-value"}, "1×10³⁰⁰"),
        ({"estimate": 0.031, "unit": "total variation"}, "0.031"),
    ],
)
def test_evidence_keeps_its_own_unit(fields: dict[str, object], shown: str) -> None:
    """Shares in percent, all others with three significant digits."""
    one = Measurement.model_validate({"check": "c", "subject": "all", "detected": True} | fields)
    table = tables.evidence_table([one])

    assert table.rows[0][table.columns.index("estimate")] == shown
    assert table.rows[0][table.columns.index("speaks against")] == "yes"


def test_an_open_interval_is_infinite() -> None:
    """An e-value has a lower limit alone."""
    one = Measurement(check="c", subject="all", estimate=3.0, low=2.0, unit="nats")

    assert tables.limits(one) == "[2, ∞]"
    assert tables.limits(one.model_copy(update={"unit": "logits"})) == "[+2.00, ∞]"
    assert tables.limits(one.model_copy(update={"low": None})) == "–"


def test_details_and_places_are_there() -> None:
    """Further numbers by name, rows left out by reason."""
    details = tables.details_table([one for one in flagged().measurements if one.unit != "rank"])
    excluded = tables.excluded_table(sources().data.excluded)

    assert [row[-2:] for row in details.rows] == [
        ("nats a token", "0.0123"),
        ("rows until detection", "96"),
    ]
    assert excluded.rows[0] == ("too-long", "31", "a.jsonl:17 (1,204 tokens)")


def test_sources_checks_and_findings_are_ordered() -> None:
    """Sources by size, findings by p, checks as they were run."""
    moved = (flagged().moved[0].model_copy(update={"p": 0.5, "name": "b"}), *flagged().moved)

    assert tables.sources_table(sources().data).rows[0] == (HOSTILE, "3,900")
    assert [row[-1] for row in tables.moved_table(moved).rows] == ["0.011", "0.500"]
    assert tables.checks_table(sources().checks).rows[0][0] == "rehearsal"
