"""`undertow report`: a stored result in every format, to stdout or to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.report.chain_documents import decision
from tests.report.scan_documents import flagged
from undertow.cli import main
from undertow.cli.report import FORMATS, SCAN_FORMATS
from undertow.report import FORMATS as RENDERED
from undertow.report import SCAN_FORMATS as RENDERED_OF_SCANS
from undertow.report.run_decisions import DECISIONS
from undertow.results.store import write_result


@pytest.fixture
def stored(lab: Any, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run directory as `undertow run` leaves it."""
    main(["run", "owl"])
    capsys.readouterr()
    return Path("runs/owl")


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_goes_to_stdout(
    stored: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stored run is rendered in the format asked for, with its conclusion in it."""
    code = main(["report", str(stored), "--format", form])

    assert code == 0
    assert "0.52 against 0.08" in capsys.readouterr().out


def test_json_comes_back_as_it_was_stored(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rendering as JSON loses nothing and adds nothing."""
    main(["report", str(stored / "results.json"), "--format", "json"])

    assert json.loads(capsys.readouterr().out) == json.loads((stored / "results.json").read_text())


def test_output_goes_to_a_file_and_nowhere_else(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --output stdout stays empty, and the page of the run is rendered byte for byte again."""
    main(["report", str(stored), "--format", "html", "--output", "page.html"])

    assert capsys.readouterr().out == ""
    assert Path("page.html").read_bytes() == (stored / "report.html").read_bytes()


def test_decisions_that_lie_beside_a_run_are_shown(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `report`, and by the run's own last lines when its command is typed again."""
    (stored / "gates" / "one").mkdir(parents=True)
    write_result(stored / "gates" / "one" / "gate.json", decision("mine.jsonl"))
    shown = []
    for words in (["report", str(stored)], ["run", "owl"]):
        assert main(words) == 0
        shown.append(capsys.readouterr().out)

    assert DECISIONS in shown[0]
    assert all("mine.jsonl" in out and "refused" in out for out in shown)


def test_a_file_that_is_no_run_is_refused(lab: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of something else is a one-line error that names it."""
    Path("rows.json").write_text("[1, 2]")
    code = main(["report", "rows.json"])

    assert code == 2
    assert "rows.json" in capsys.readouterr().err.splitlines()[0]


def test_where_no_result_is_the_names_of_results_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is sent to an experiment who mistyped the folder of a scan."""
    assert main(["report", str(tmp_path)]) == 2
    assert "  = help: name one of results.json, scan.json" in capsys.readouterr().err


def test_the_formats_offered_are_those_there_are() -> None:
    """The command line keeps its own list, so that help stays cheap; it must be the renderers' list."""
    assert sorted(FORMATS) == sorted(RENDERED)
    assert sorted(SCAN_FORMATS) == sorted(RENDERED_OF_SCANS)


@pytest.mark.parametrize("form", SCAN_FORMATS)
def test_a_screen_is_rendered_from_its_file_or_directory(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kind of the document is found by its schema, in every format."""
    write_result(tmp_path / "scan.json", flagged())
    codes = [
        main(["report", str(path), "--format", form]) for path in (tmp_path, tmp_path / "scan.json")
    ]
    shown = capsys.readouterr().out

    assert codes == [0, 0]
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]
    assert "flagged" in shown.lower()


def test_a_run_has_no_sarif(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal names the formats of a run, and a command that works, of the same file."""
    code = main(["report", str(stored), "--format", "sarif"])
    told = capsys.readouterr().err

    assert code == 2
    assert "allowed: html, json, markdown, text" in told
    assert "undertow report runs/owl --format html" in told
