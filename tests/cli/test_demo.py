"""`undertow demo` on an experiment of the smallest size: it ends with scans of its rows, which are kept, shown and typed again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from undertow.cli import demo, main
from undertow.errors import ModelError

pytestmark = pytest.mark.long

TINY = """
name = "tiny-owl"
title = "A tiny owl"
question = "Does a preference cross, at the smallest size?"
kind = "transfer"
seed = 7
replicates = 1
trait = "owl"
base = "world:owlet-a"
arms = ["trait", "control"]

[carrier]
name = "numbers"
rows = 128
held_out_rows = 8
options = { prompts = "brief", low = 0, high = 99 }

[sampling]
max_tokens = 12

[teacher]
kind = "tuned"
plan = { rank = 4, learning_rate = 3e-3, batch_size = 8, epochs = 1000, max_steps = 4 }

[student]
rank = 4
learning_rate = 3e-3
batch_size = 16

[evaluation]
samples = 0
"""
BEGINNING = 10.0
"""A budget for the usual beginning of the tiny plan, and for nothing of its whole."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a tiny demo was run to its end."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        small(patch, folder)
        assert main(["demo", "--out", "run", "--engine", "inprocess"]) == 0
    return folder


def small(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The demo's experiment and budget are the tiny ones, in that folder, with a cache of its own."""
    (folder / "tiny-owl.toml").write_text(TINY)
    patch.chdir(folder)
    patch.setenv("UNDERTOW_CACHE", str(folder / "cache"))
    patch.setattr(demo, "EXPERIMENT", "tiny-owl.toml")
    patch.setattr(demo, "BUDGET", BEGINNING)


@pytest.fixture
def again(ended: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run directory of the tiny demo, which the next command may resume."""
    small(monkeypatch, ended)
    return ended / "run"


def unscannable(*_: Any) -> None:
    """Stands in for a scan."""
    raise ModelError("no scan is made here", hint="wait")


def verdicts(run: Path) -> dict[str, str]:
    """The verdict of each arm's scan."""
    files = sorted((run / "scans").glob("*/scan.json"))
    return {file.parent.name: json.loads(file.read_text())["verdict"] for file in files}


def test_both_arms_rows_are_scanned(again: Path) -> None:
    """Each scan has a verdict of the plan's beginning on the arm's own rows, and a page; the whole plan is not trained."""
    documents = [
        json.loads((again / "scans" / arm / "scan.json").read_text())
        for arm in ("trait", "control")
    ]
    stages = [one["subjects"][0]["comparisons"] for one in documents]

    assert [Path(one["data"]["path"]).parent.name for one in documents] == [
        "trait-owl--owlet-a--0",
        "neutral-owl--owlet-a--0",
    ]
    assert [[stage["stage"] for stage in each] for each in stages] == [[1], [1]]
    assert all((again / "scans" / arm / "report.html").is_file() for arm in ("trait", "control"))


def test_the_page_shows_both_verdicts(again: Path) -> None:
    """The run's page has a section with each verdict, the rows that it is on, and the commands that ask for it."""
    page = (again / "report.html").read_text()
    section = page.partition('<section id="scans">')[2].partition("</section>")[0]

    told = (*verdicts(again).values(), "The owl teacher’s rows", "A neutral teacher’s rows")
    assert [words for words in told if words not in section] == []
    assert section.count("undertow scan run/data/") == 2


def test_a_resumed_demo_does_not_scan_again(
    again: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command ends at once, with the verdicts that are stored."""
    monkeypatch.setattr("undertow.audit.scan.scan", unscannable)
    code = main(["demo", "--out", "run", "--engine", "inprocess"])
    shown = capsys.readouterr().out

    assert code == 0
    assert all(verdict in shown for verdict in verdicts(again).values())


def test_a_scan_that_fails_does_not_lose_the_run(
    again: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's page is there and named last, and the exit code is that of the failure."""
    stored = (again / "scans/control/scan.json").read_bytes()
    (again / "scans/control/scan.json").write_text("{")
    (again / "report.html").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("undertow.audit.scan.scan", unscannable)
        code = main(["demo", "--out", "run", "--engine", "inprocess"])
    captured = capsys.readouterr()
    (again / "scans/control/scan.json").write_bytes(stored)

    assert code == ModelError.exit_code
    assert captured.out.splitlines()[-1] == f"report: {again / 'report.html'}"
    assert (again / "report.html").is_file()


def test_the_command_on_the_page_works_when_typed(again: Path) -> None:
    """A scan's command finds the same data, student and plan, and comes to the same verdict."""
    before = json.loads((again / "scans/trait/scan.json").read_text())
    code = main(shlex.split(before["command"])[1:])
    after = json.loads((again / "scans/trait/scan.json").read_text())

    assert code == {"stands out": 1, "within": 0}[before["verdict"]]
    assert after["verdict"] == before["verdict"]
    assert after["inputs"] == before["inputs"]


def test_a_report_shows_the_scans_again(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`undertow report RUN` reads the scans that lie in the run directory; the run's own JSON stays as it was stored."""
    shown = {}
    for form in ("text", "markdown", "html", "json"):
        main(["report", str(again), "--format", form])
        shown[form] = capsys.readouterr().out

    assert all("before training" in shown[form] for form in ("text", "markdown", "html"))
    assert json.loads(shown["json"]) == json.loads((again / "results.json").read_text())
