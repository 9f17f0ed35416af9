"""The core on real weights: each part runs on stand-ins, and says what its readings hold."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.real import killed, lineage, owl, screen, speed, writers
from bench.real.places import ASKED, Place, toml_text

GIVEN = argparse.Namespace(
    names=["trait"], figures=False, finished=False, jobs=1, dry_run=False, judge=None, place=None
)


def place_in(folder: Path) -> Place:
    """A place on embedded bases in a folder of its own."""
    return Place(runs=folder, readings=folder, results=str(folder), tiny=True)


def test_what_is_not_measured_stays_open_by_name(tmp_path: Path) -> None:
    """A part that is written leaves every other figure that was asked for, without a value."""
    place = place_in(tmp_path)
    measured = ASKED["killed: most work lost"]
    from dataclasses import replace

    place.write("killed", [replace(measured, value=12.0, met=True)], 1.0)
    place.write("owl", [replace(ASKED["owl: trait - control-base"], value=0.5, met=True)], 1.0)
    document = json.loads((tmp_path / "results.json").read_text())
    values = {figure["name"]: figure["value"] for figure in document["figures"]}

    assert set(values) == set(ASKED)
    assert {name for name, value in values.items() if value is not None} == {
        "killed: most work lost",
        "owl: trait - control-base",
    }


def test_tables_are_toml_again() -> None:
    """Nested tables, lists, texts and truths come back."""
    tables = {"a": 1, "b": {"c": ["x", 'y"'], "d": {"e": True, "f": 2e-4}}}
    assert tomllib.loads(toml_text(tables)) == tables


def reading(case: str, way: str, turn: int, rows: int, cpu: float) -> dict[str, Any]:
    """One turn, twice as long by the clock as by the processor."""
    made = speed.Reading(
        case=case, way=way, turn=turn, rows=rows, tokens=10 * rows, wall=2 * cpu, cpu=cpu
    )
    return made.model_dump(mode="json")


def test_speeds_are_medians_of_turns() -> None:
    """Each ratio is taken within its turn; the time of adapters side by side is a share of the bare loops'."""
    readings = [
        *(reading("restricted", "now, bfloat16", t, 60, 10 + t) for t in range(3)),
        *(reading("restricted", "then, float32", t, 60, 44.0) for t in range(3)),
        *(reading("4-bfloat16", "side by side", t, 64, 9.0) for t in range(3)),
        *(reading("4-bfloat16", "bare loops", t, 64, 10.0) for t in range(3)),
    ]
    made = {figure.name: figure for figure in speed.figures(readings)}
    restricted = made["speed: restricted sampling, times commit 190b1c0's rows a second"]
    together = made["speed: 4 adapters side by side, share of the bare loops' time, bfloat16"]

    assert restricted.value == pytest.approx(4.0)
    assert (restricted.low, restricted.high) == pytest.approx((44 / 12, 44 / 10))
    assert restricted.met
    assert together.value == pytest.approx(0.9)
    assert together.met


def test_work_lost_is_what_was_not_spared() -> None:
    """A sitting killed 50 s behind its start that spares the next one 20 s has lost 30 s."""
    whole = killed.Tried(
        what="run", number=-1, moment=1.0, at="", first=10.0, second=200.0, wall=1.0
    )
    early = whole.model_copy(update={"number": 0, "moment": 0.02, "first": 4.0})
    late = whole.model_copy(update={"number": 1, "moment": 0.3, "first": 60.0, "second": 180.0})
    readings = [one.model_dump(mode="json") for one in (whole, early, late)]
    made = {figure.name: figure for figure in killed.figures(readings)}

    assert made["killed: most work lost"].value == pytest.approx(30.0)
    assert made["killed: work lost of undertow run"].low == pytest.approx(0.0)


def test_twelve_datasets_answer_the_same_prompts() -> None:
    """Four traits by lot, six draws of the family and two from outside it, each with a seed of its own."""
    planned = screen.authors(Place())

    assert [one.role for one in planned] == ["trait"] * 4 + ["benign"] * 6 + ["outside"] * 2
    assert len({one.seed for one in planned}) == 12
    assert len({one.trait for one in planned if one.role == "trait"}) == 4


@pytest.mark.long
def test_owls_descent_and_writers_run_on_stand_ins(tmp_path: Path) -> None:
    """The foreign arm takes rows over; all kin are the same, strangers none; every figure that was asked for is there."""
    place = place_in(tmp_path)
    both = argparse.Namespace(**{**vars(GIVEN), "names": []})
    for part, module in (("owl", owl), ("lineage", lineage), ("writers", writers)):
        place.write(part, module._measured(place, both), 1.0)
    figures = {
        figure["name"]: figure
        for figure in json.loads((tmp_path / "results.json").read_text())["figures"]
    }
    taken = {path.name for path in (tmp_path / "real-owl-foreign" / "data").iterdir()}

    assert {"trait-owl--owlet-a--0", "base-owl--owlet-a--1"} <= taken
    assert figures["lineage: pairs told as they are"]["value"] == 1.0
    assert figures["writers: another family's rows whose base author puts first"]["value"] == 1.0
    for name in ASKED:
        if name.startswith(("owl", "foreign", "lineage", "writers")):
            assert figures[name]["value"] is not None


@pytest.mark.long
def test_the_screen_runs_on_stand_ins(tmp_path: Path) -> None:
    """Each dataset is judged in a process of its own, whose memory is known, and not again."""
    place = place_in(tmp_path)
    made = {figure.name: figure for figure in screen._measured(place, GIVEN) or ()}
    before = (tmp_path / "screen.jsonl").read_text()
    screen._measured(place, GIVEN)

    assert (tmp_path / "screen.jsonl").read_text() == before
    assert 0 < (made["screen: peak memory of a scan"].value or 0) < 4
    assert made["screen: trait datasets that stand out"].value is not None


@pytest.mark.long
def test_a_killed_run_and_scan_are_tried_on_stand_ins(tmp_path: Path) -> None:
    """One try of each ends, and loses no more than a start."""
    made = {figure.name: figure for figure in killed._measured(place_in(tmp_path), GIVEN)}

    assert abs(made["killed: most work lost"].value or 0) < 20


@pytest.mark.long
def test_speeds_are_measured_on_stand_ins(tmp_path: Path) -> None:
    """Today's sampler and trainer take turns with generate and with bare loops."""
    place = place_in(tmp_path)
    found = [speed._turns(speed.Task(case, place)) for case in ("free", "2-float32")]
    ways = [{one.way for one in part} for part in found]

    assert ways == [{"undertow", "generate"}, {"side by side", "bare loops"}]
    assert all(one.cpu > 0 and one.rows > 0 for part in found for one in part)
