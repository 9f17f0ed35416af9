"""The fuzzing campaign in short: planted faults are found, and a few documents of every kind are read or refused."""

from __future__ import annotations

from itertools import islice
from multiprocessing import Process
from pathlib import Path

import pytest

from bench.reliability import fuzz, fuzz_campaign, row_fuzz, tries
from bench.reliability.kinds import KINDS
from bench.reliability.tries import FIRST_SEED, Unit, keep, read, tried, upper_limit

LIGHT = [name for name, kind in KINDS.items() if not kind.heavy]


@pytest.mark.long
def test_planted_faults_are_found() -> None:
    """
    Recursion, a hang and one in C, a GB too much and one in secret, a reader that reads nothing, a death, an untold
    refusal and a swallowed row.
    """
    units = fuzz_campaign.planted()

    assert [unit.subject for unit in units if unit.way not in unit.outcomes] == []
    assert len(units) == 9


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_documents_are_read_or_refused(kind: str) -> None:
    """Of 300, none crashes its reader, hangs, takes a GB, or is refused without a line of help."""
    if names := fuzz.missing([kind]):
        pytest.skip(f"{names} is not installed")
    fuzz.preload([kind])

    assert fuzz.batch(kind, 900, 300).faults == []


@pytest.mark.long
def test_hypothesis_finds_none_either() -> None:
    """Any bytes, any JSON, and honest documents that are cut."""
    assert fuzz_campaign.hypothesis("bundle", 1, 300).faults == []
    assert fuzz_campaign.hypothesis("adapter", 1, 20).faults == []


def test_no_damaged_row_is_lost() -> None:
    """A thousand rows are used, told, or refused with their file."""
    unit = row_fuzz.batch(900, 2)

    assert unit.faults == []
    assert unit.tries == 2 * row_fuzz.ROWS
    assert unit.outcomes["told"] > 100


def test_each_part_ends_where_enough_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows at a million, documents at a hundred thousand and at their share of every kind; other seeds count nothing."""
    monkeypatch.setattr(fuzz, "preload", lambda kinds: None)
    monkeypatch.setattr(fuzz, "missing", lambda kinds: "")
    monkeypatch.setattr(
        row_fuzz, "batch", lambda seed: Unit("fuzz", "rows", "by lot", seed, 90_000)
    )
    monkeypatch.setattr(fuzz, "batch", lambda kind, seed: Unit("fuzz", kind, "by lot", seed, 2000))
    monkeypatch.setattr(
        fuzz_campaign, "hypothesis", lambda kind, seed: Unit("fuzz", kind, "hypothesis", seed, 900)
    )
    kept = {"fuzz/rows/by lot/7": Unit("fuzz", "rows", "by lot", 7, 10**9)}
    for make in fuzz_campaign.units(kept):
        unit = make()
        kept[unit.name] = unit

    assert tried("fuzz", kept, "rows") == 12 * 90_000
    assert min(tried("fuzz", kept, kind) for kind in KINDS) >= fuzz_campaign.FEWEST
    assert 100_000 <= sum(tried("fuzz", kept, kind) for kind in KINDS) < 200_000


def test_one_part_is_made_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that two processes side by side do different ones."""
    monkeypatch.setattr(
        row_fuzz, "batch", lambda seed: Unit("fuzz", "rows", "by lot", seed, 90_000)
    )

    assert {make().subject for make in islice(fuzz_campaign.units({}, ["rows"]), 30)} == {"rows"}


def test_lines_of_two_processes_tear_each_other_never(tmp_path: Path) -> None:
    """Nor does a line that was cut off take the next one with it."""
    kept = tmp_path / "tries.jsonl"
    kept.write_bytes(b'{"campaign": "fu')
    workers = [Process(target=_many, args=(kept, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(list(read(kept))) == 2 * 50
    assert len(kept.read_bytes().splitlines()) == 1 + 2 * 50


def _many(path: Path, name: str) -> None:
    for seed in range(50):
        keep(Unit("fuzz", name, "x" * 3000, seed), path)


def test_tries_before_the_first_seed_are_told_and_not_counted() -> None:
    """With their faults, and with why."""
    early, late = Unit("fuzz", "plan", "by lot", 1), Unit("fuzz", "plan", "by lot", FIRST_SEED)
    early.add("crash", "it fell")
    late.add("read")
    documents = {one.name: one for one in fuzz_campaign.figures([early, late])}
    figure = documents["fuzz: documents of other kinds"]

    assert figure.value == 0
    assert "left out: 1 units, 1 tries with 1 faults, of earlier seeds" in figure.note


def test_tries_of_a_reader_that_was_mended_count_from_a_later_seed() -> None:
    """What was found stays told; what counts was tried behind the mend."""
    found, since = (Unit("fuzz", "result", "by lot", seed) for seed in (FIRST_SEED, 4000))
    found.add("crash", "it fell")
    since.add("read")

    assert tried("fuzz", {unit.name: unit for unit in (found, since)}, "result") == 1
    told = fuzz_campaign.figures([found, since])
    assert [one.value for one in told if one.name == "fuzz: result"] == [0]


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


def test_a_document_that_a_reader_failed_on_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first bytes are told, and its file; of one that was read, and of faults beyond those told, nothing is kept."""
    monkeypatch.setattr(tries, "DOCUMENTS", tmp_path / "faults")
    unit, content = Unit("fuzz", "plan", "by lot", 1), b"[" * 1000
    unit.add_document("read", "", b"{}")
    unit.add_document("crash", "it fell", content)
    [file] = (tmp_path / "faults").iterdir()
    for k in range(20):
        unit.add_document("crash", "it fell", bytes([k]))
    told = unit.faults[0]

    assert unit.fault_count == 21
    assert len(list((tmp_path / "faults").iterdir())) == tries.FAULTS_TOLD
    assert told.startswith("it fell: b'[[[")
    assert told.endswith(f"(all of it: faults/{file.name})")
    assert file.read_bytes() == content
