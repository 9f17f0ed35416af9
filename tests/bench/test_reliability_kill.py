"""The campaigns of kills and of bad places in short: planted faults are found, a few tries lose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from bench.reliability import disk, kill, kill_campaign
from bench.reliability.honest_documents import SEEDS
from bench.reliability.kill import Whole
from bench.reliability.tries import Unit, read
from undertow.report import render
from undertow.results.store import read_result

SHORT = """
import sys
from itertools import islice
from bench.reliability import disk_campaign, kill_campaign, tries
campaign, count, only = globals()[f"{sys.argv[1]}_campaign"], int(sys.argv[2]), sys.argv[3]
for unit in campaign.planted() if not only else ():
    tries.keep(unit)
if only:
    campaign.preload()
    for seed in range(900, 900 + count):
        tries.keep(campaign.one_try(only, seed))
else:
    for make in islice(campaign.units({}), count):
        tries.keep(make())
"""


def tried(campaign: str, count: int, place: Path, only: str = "") -> tuple[list[Unit], list[Unit]]:
    """Planted faults and tries; in a process of its own, which takes every orphan below it for one that was left."""
    kept = place / "tries.jsonl"
    own = {"UNDERTOW_TRIES": str(kept), "TMPDIR": str(place), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SHORT, campaign, str(count), only],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    units = list(read(kept))
    planted = [unit for unit in units if unit.subject.startswith("planted-")]
    return planted, [unit for unit in units if unit not in planted]


@pytest.mark.long
def test_kills_lose_nothing(tmp_path: Path) -> None:
    """A write that is not atomic, a process and a folder that stay are found; a kill of each verb loses nothing."""
    planted, units = tried("kill", 5, tmp_path)

    assert [unit.subject for unit in planted if "lost" not in unit.outcomes] == []
    assert [unit.faults for unit in units if unit.faults] == []
    assert (len(planted), len(units)) == (3, 5)


@pytest.mark.long
def test_kills_of_a_run_on_ray_lose_nothing(tmp_path: Path) -> None:
    """Nor is a process or a folder of Ray's left behind."""
    pytest.importorskip("ray")
    _, units = tried("kill", 2, tmp_path, "run-ray")

    assert [unit.faults for unit in units if unit.faults] == []
    assert len(units) == 2


@pytest.mark.long
def test_bad_places_lose_nothing(tmp_path: Path) -> None:
    """Six planted faults are found; a full disk, under each verb, loses nothing."""
    mounts = "mount -t tmpfs none /mnt"
    if subprocess.run(["unshare", "--mount", "sh", "-c", mounts], check=False).returncode:
        pytest.skip("no tmpfs may be mounted here")
    planted, units = tried("disk", 5, tmp_path)

    assert [unit.subject for unit in planted if "lost" not in unit.outcomes] == []
    assert [unit.faults for unit in units if unit.faults] == []
    assert (len(planted), len(units)) == (6, 5)


def in_a_child(work: str) -> str:
    """What a process of its own prints that has the campaign's means at hand."""
    program = f"import os, time, datetime\nfrom bench.reliability.disk import *\n{work}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_clock_jumps_for_undertow_alone() -> None:
    """By a year, where undertow asks for the moment; how long something takes stays true."""
    told = in_a_child(
        "before = time.monotonic()\n"
        "clock_jumps(YEAR, 0)\n"
        "print(verdict_options.now().isoformat(), time.time(), time.monotonic() - before < 5)"
    )
    moment, seconds, true = told.split()

    assert 300 < (datetime.fromisoformat(moment).timestamp() - time.time()) / 86400 < 400
    assert 300 < (float(seconds) - time.time()) / 86400 < 400
    assert true == "True"


def test_root_meets_a_folder_that_is_read_only(tmp_path: Path) -> None:
    """As everybody else does, in the process that gave up its rights alone."""
    (tmp_path / "folder").mkdir(mode=0o555)
    told = in_a_child(
        f"place = {str(tmp_path / 'folder')!r}\n"
        "obeys_permissions()\n"
        "try:\n    open(place + '/file', 'w')\nexcept PermissionError:\n    print('refused')"
    )

    assert told == "refused"


def test_kills_go_on_until_each_verb_has_its_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that end before the kill are made up for; 200 in all, those on Ray last."""
    monkeypatch.setattr(kill_campaign, "preload", lambda: None)

    def one_try(verb: str, seed: int) -> Unit:
        unit = Unit("kill", verb, "SIGKILL", seed)
        unit.add("ended before the kill" if seed % 7 == 0 else "as uninterrupted")
        return unit

    monkeypatch.setattr(kill_campaign, "one_try", one_try)
    kept: dict[str, Unit] = {}
    for make in kill_campaign.units(kept):
        unit = make()
        kept[unit.name] = unit
    counts = Counter(unit.subject for unit in kill_campaign._killed(kept.values()))

    assert counts == {verb: 30 if verb == "run-ray" else 34 for verb in kill_campaign.VERBS}
    assert counts.total() == kill_campaign.ASKED
    assert [unit.subject for unit in kept.values()][-30:] == ["run-ray"] * 30


def test_a_page_that_is_cut_off_is_none(tmp_path: Path) -> None:
    """One that is whole says no more; an empty folder is something that is left."""
    (tmp_path / "report.html").write_text("<html><p>owl</p></html>\n")
    (tmp_path / "tmp" / "left").mkdir(parents=True)
    assert kill.files_of(tmp_path) == {"report.html": None, "tmp/left/": None}

    (tmp_path / "report.html").write_text("<html><p>ow")
    with pytest.raises(ValueError, match="a page that ends with"):
        kill.files_of(tmp_path)


def test_a_page_of_another_document_is_found(tmp_path: Path) -> None:
    """It is drawn anew of the document that lies beside it."""
    honest = SEEDS / "kept" / "lineage.json"
    (tmp_path / "lineage.json").write_bytes(honest.read_bytes())
    page = render(read_result(honest), "html")
    names = ("lineage.json", "report.html")
    (tmp_path / "report.html").write_text(page)
    assert kill.wrong_pages(tmp_path, names) == []

    (tmp_path / "report.html").write_text(page.replace("<h1", "<h1 ", 1))
    assert kill.wrong_pages(tmp_path, names)


def test_two_bundles_hold_the_statements_of_both() -> None:
    """Other files are of one or the other."""
    first = Whole(0, {"a.intoto.jsonl": ["b"], "a": 1}, set(), 0.1, 0.1)
    second = Whole(0, {"a.intoto.jsonl": ["a"], "a": 1, "c": 2}, {"c"}, 0.1, 0.1)

    both = disk.together(first, second)

    assert both.files == {"a.intoto.jsonl": ["a", "b"], "a": 1, "c": 2}
    assert both.varying == {"c"}


def test_a_refusal_is_in_words() -> None:
    """One error with its line of help; a traceback, a bug or an exit code of its own is none."""
    fine = "error: no space left\n  = help: free some\n"

    assert disk._refused_in_words(4, fine) == []
    assert disk._refused_in_words(1, fine)
    assert disk._refused_in_words(4, "error: no space left\n")
    assert disk._refused_in_words(4, f"Traceback\n{fine}")
    assert disk._refused_in_words(4, "error: x (a bug in undertow)\n  = help: traceback: y\n")


def test_a_document_that_names_the_disk_is_no_half_of_one(tmp_path: Path) -> None:
    """A whole scan that came to no verdict says for each check that failed that it was the disk; all else is half-written."""
    document = tmp_path / "scan.json"
    whole = json.loads((SEEDS / "kept" / "scan.json").read_text(encoding="utf-8"))
    failed = whole["checks"][0] | {"status": "error", "reason": "no space left for 'x'"}
    broken = whole | {"verdict": "error", "checks": [failed, *whole["checks"][1:]]}
    other = [failed | {"reason": "division by zero"}, *whole["checks"][1:]]
    texts = (
        json.dumps(broken),
        json.dumps(whole),
        json.dumps(broken | {"checks": other}),
        json.dumps(broken)[:-9],
    )
    told = []
    for text in texts:
        document.write_text(text, encoding="utf-8")
        told.append(disk._says_why(document))

    assert told == [True, False, False, False]


def test_a_legend_is_no_error() -> None:
    """A report that explains the verdict `error` did not end with one; a line of an error did."""
    legend, line = (
        "error:       A check broke.",
        "error: no space left for 'x'; nothing was overwritten",
    )

    assert disk._errors(f"{legend}\n{line}") == [1]
