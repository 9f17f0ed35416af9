"""`undertow run` and `undertow demo`: what is run, where, and what is shown in the end."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from undertow.cli import main


def test_a_run_ends_with_its_conclusion_and_its_page(
    lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """stdout holds what was found and, on the last line, the path of the page, which exists."""
    code = main(["run", "owl"])
    shown = capsys.readouterr().out.splitlines()

    assert code == 0
    assert "It does: 0.52 against 0.08." in shown
    assert Path(shown[-1].removeprefix("report: ")).read_text().startswith("<!doctype html>")


def test_what_was_found_fits_on_a_screen(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary has a row a comparison and the doctor's warnings, not his remarks."""
    main(["run", "owl"])
    shown = capsys.readouterr().out.splitlines()

    assert shown[2].split() == ["comparison", "estimate", "interval", "runs", "p"]
    assert shown[3].startswith("trait - control")
    assert shown[5:7] == ["warning: few\\x07 seeds", ""]


def test_progress_stays_off_stdout(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Stages are told on stderr, so that a result can be piped."""
    main(["run", "owl"])
    captured = capsys.readouterr()

    assert "training students (2)" in captured.err
    assert "training students" not in captured.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"directory": None, "engine": "processes", "jobs": None}),
        (["--out", "mine"], {"directory": Path("mine"), "engine": "processes", "jobs": None}),
        (["--resume", "."], {"directory": Path(), "engine": "processes", "jobs": None}),
        (
            ["--engine", "inprocess", "--jobs", "3"],
            {"directory": None, "engine": "inprocess", "jobs": 3},
        ),
    ],
)
def test_options_reach_the_lab(lab: Any, arguments: list[str], expected: dict[str, object]) -> None:
    """The run directory, the engine and the number of workers are those that were asked for."""
    main(["run", "owl", *arguments])

    assert lab.calls == [expected]


def test_an_interruption_tells_how_to_go_on(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C exits with 130 and shows the command that goes on with this very run, quoted."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    lab.end = interrupt
    code = main(["run", "owl", "--out", "my runs/1", "--engine", "inprocess"])

    assert code == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "  = help: to go on: undertow run owl --out 'my runs/1' --engine inprocess"
    )


def test_a_full_disk_keeps_what_is_finished(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that meets a full disk ends with one line and the command that goes on."""

    def fill() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/owl/student.safetensors")

    lab.end = fill
    code = main(["run", "owl"])
    shown = capsys.readouterr().err.splitlines()

    assert code == 4
    assert shown[-2].startswith("error: no space left on the device, writing 'runs/owl/student")
    assert "undertow run owl (finished work is kept)" in shown[-1]


def test_the_demo_explains_itself_first(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A newcomer reads what will happen and how long it takes; the page's path is the last line."""
    main(["demo"])
    captured = capsys.readouterr()

    assert "10 minutes" in captured.err
    assert captured.out.splitlines()[-1] == "report: runs/owl/report.html"


def test_the_demo_goes_on_where_it_stopped(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted demo is resumed by the same words."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    lab.end = interrupt
    main(["demo"])

    assert capsys.readouterr().err.splitlines()[-1] == "  = help: to go on: undertow demo"


def test_dtype_and_device_stand_in_the_place_of_the_experiments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is not given stays as the file has it, and the command that reproduces the run has what is."""
    from undertow.lab import experiment_run

    asked: list[tuple[Any, str]] = []

    def run(experiment: Any, directory: Any, *, command: str, **_: Any) -> Path:
        asked.append((experiment.compute, command))
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment_run, "run_experiment", run)
    main(["run", "owl", "--dtype", "float32"])

    [(table, command)] = asked
    assert (table.dtype, table.device) == ("float32", "auto")
    assert command == "undertow run owl --dtype float32"
