"""The campaigns of hostile content and of kills in short: planted faults are found, a few tries find none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.reliability import hostile_campaign
from bench.reliability.hostile import PAYLOADS, acting_in_csv, acting_in_markdown, acting_in_page
from bench.reliability.tries import read

KILLS = """
from bench.reliability import kill_campaign, tries
from itertools import islice
for unit in kill_campaign.planted():
    tries.keep(unit)
for make in islice(kill_campaign.units(set()), 5):
    tries.keep(make())
"""


def test_what_acts_is_noticed() -> None:
    """An element, a handler, a link and a formula, and none of them where all is escaped."""
    assert acting_in_page("<p><img src=https://hostile.invalid></p>", 0)
    assert acting_in_page('<p onclick="x">\x1b</p>', 0)
    assert acting_in_page("<p>&lt;img&gt;</p>", 0) == []
    assert acting_in_markdown("[x](https://hostile.invalid)")
    assert acting_in_markdown(r"\[x\](y)") == []
    assert acting_in_csv('"a","=1+1"\n')


@pytest.mark.long
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_output_lets_data_act(payload: str) -> None:
    """Every kind of document in every format, a review, and names of files."""
    seed = list(PAYLOADS).index(payload)

    assert hostile_campaign.documents(payload, seed).faults == []
    assert hostile_campaign.reviews(payload, seed).faults == []
    assert hostile_campaign.names(payload, seed).faults == []


@pytest.mark.long
def test_no_archive_gets_out_of_its_folder() -> None:
    """Members above it, absolute ones, links and devices."""
    assert hostile_campaign.archives().faults == []


@pytest.mark.long
def test_kills_lose_nothing(tmp_path: Path) -> None:
    """A write that is not atomic and a process that stays are found; a kill of each verb loses nothing."""
    kept = tmp_path / "tries.jsonl"
    # A process of its own: it takes every orphan below it for one that was left behind.
    done = subprocess.run(
        [sys.executable, "-c", KILLS],
        env=os.environ
        | {"UNDERTOW_TRIES": str(kept), "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    units = list(read(kept))
    planted = [unit for unit in units if unit.subject.startswith("planted-")]

    assert all("lost" in unit.outcomes for unit in planted)
    assert [unit.faults for unit in units if unit not in planted and unit.faults] == []
    assert len(units) == 7
