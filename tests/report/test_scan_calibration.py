"""What a scan/1 says of the table that its verdicts came from."""

from __future__ import annotations

import pytest

from tests.report.former_scan_documents import (
    document,
    flagged,
    sources,
    uncalibrated,
)
from undertow.report import scan_calibration as told

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("level", "traits", "said"),
    [
        (0.95, ("owl",), f"one-sided 95{NBSP}% after correction for 1 trait"),
        (0.995, ("owl", "cat"), f"one-sided 99.5{NBSP}% after correction for 2 traits"),
    ],
)
def test_level_sidedness_and_correction_are_told(
    level: float, traits: tuple[str, ...], said: str
) -> None:
    """Flagging is corrected, clearing is an intersection-union test that needs none."""
    rates = told.error_rates(document(level=level, traits=traits))

    assert rates["flagged"].endswith(said)
    assert "intersection-union, no correction" in rates["clear"]


def test_a_calibration_is_told_with_its_limits() -> None:
    """False alarms and power, each with the count and the one-sided limit."""
    text = " ".join(told.calibration(flagged()))

    assert f"1 of 40 benign datasets were flagged (rate at most 11.3{NBSP}%" in text
    assert (
        f"38 of 40 datasets whose student moved by at least 0.20 logits were flagged (power at least 85.2{NBSP}%"
        in text
    )
    assert "24 independently trained teachers" in text


def test_without_a_table_the_way_to_one_is_told() -> None:
    """The note of the document, or else the command."""
    bare = uncalibrated().calibration.model_copy(update={"note": ""})
    without = uncalibrated().model_copy(update={"calibration": bare})

    assert "about 50 minutes" in told.calibration(uncalibrated())[1]
    assert "verdicts stay undecided" in told.calibration(without)[0]
    assert told.calibration(without)[1].endswith("undertow calibrate --student org/base")


def test_the_smallest_dose_is_told_where_it_is_known() -> None:
    """By subject, with its power."""
    assert f"9.0{NBSP}% of the whole file" in told.seen_from(flagged())
    assert told.seen_from(sources()) == ""
