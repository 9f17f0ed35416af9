"""The fuzzing campaign in short: planted faults are found, and a few documents of every kind are read or refused."""

from __future__ import annotations

import pytest

from bench.reliability import fuzz, fuzz_campaign, row_fuzz
from bench.reliability.kinds import KINDS
from bench.reliability.tries import Unit, upper_limit

LIGHT = [name for name, kind in KINDS.items() if not kind.heavy]


@pytest.mark.long
def test_planted_faults_are_found() -> None:
    """Recursion, a hang, a GB too much, a death, an untold refusal and a swallowed row."""
    units = fuzz_campaign.planted()

    assert [unit.subject for unit in units if unit.way not in unit.outcomes] == []
    assert len(units) == 6


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_documents_are_read_or_refused(kind: str) -> None:
    """Of 300, none crashes its reader, hangs, takes a GB, or is refused without a line of help."""
    fuzz.preload([kind])

    assert fuzz.batch(kind, 900, 300).faults == []


@pytest.mark.long
def test_hypothesis_finds_none_either() -> None:
    """Any bytes, any JSON, and honest documents that are cut."""
    assert fuzz_campaign.hypothesis("bundle", 1, 300).faults == []


def test_no_damaged_row_is_lost() -> None:
    """A thousand rows are used, told, or refused with their file."""
    unit = row_fuzz.batch(900, 2)

    assert unit.faults == []
    assert unit.tries == 2 * row_fuzz.ROWS
    assert unit.outcomes["told"] > 100


def test_a_rate_is_bounded_by_the_exact_binomial() -> None:
    """None of 60 leaves 1 - .05^(1/60); one of one says nothing."""
    assert upper_limit(0, 60) == pytest.approx(1 - 0.05 ** (1 / 60))
    assert upper_limit(1, 1) == 1


def test_faults_are_counted_and_the_first_told() -> None:
    """Tries by outcome; faults beyond the first five are counted."""
    unit = Unit("fuzz", "x", "y", 0)
    for _ in range(7):
        unit.add("crash", "it fell")

    assert (unit.tries, unit.fault_count, len(unit.faults)) == (7, 7, 5)
