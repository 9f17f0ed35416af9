"""`undertow doctor` says what is here and what is missing for what; only what makes undertow unusable is a failure."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from undertow.cli import doctor, main
from undertow.cli.terminal import EXTRAS

ROOT = Path(__file__).parents[2]


def told(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    """The facts as JSON."""
    assert main(["doctor", "--json", *options]) == code
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_every_extra_is_known() -> None:
    """The table of extras is pyproject's, with what each is for; so none is missing without a word."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert {*EXTRAS, "dev", "docs"} == set(project["optional-dependencies"])
    assert all(extra.modules and extra.purpose for extra in EXTRAS.values())


def test_what_is_missing_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a package that is not there: what needs it, and what to type."""
    there = doctor.find_spec
    monkeypatch.setattr(
        doctor, "find_spec", lambda name: None if name == "cel_expr_python" else there(name)
    )
    assert main(["doctor", "--fast"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("cel "))

    assert "rules of a policy in CEL" in line
    assert "pip install 'undertow[cel]'" in line


def test_without_models_it_says_what_to_install_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare installation is no failure, is not timed, and leads to the demo."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert main(["doctor"]) == 0

    assert capsys.readouterr().out.splitlines()[-1] == (
        "no model can be opened yet: pip install 'undertow[lab]', then undertow demo"
    )


def test_a_cache_that_cannot_be_written_to_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that takes long would be kept, so the exit code says so, and one line says what to set."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNDERTOW_CACHE", "/proc/self/fdinfo/undertow")
    facts = told(capsys, "--fast", code=4)

    assert not facts["places"]["cache"]["writable"]
    assert "UNDERTOW_CACHE" in facts["problems"][0]


def test_damaged_scans_are_passed_over(tmp_path: Path) -> None:
    """A file that is no scan in the place of one tells nothing and ends nothing."""
    (tmp_path / "scans" / "rows").mkdir(parents=True)
    (tmp_path / "scans" / "rows" / "scan.json").write_text('{"schema": "undertow.scan/1"}')

    assert doctor.kept_scans(tmp_path) == []


def test_it_is_quick_without_torch() -> None:
    """`--fast` imports no torch, whatever is installed."""
    script = (
        "import sys; from undertow.cli import main; main(['doctor', '--fast']);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.long
def test_devices_and_prices_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Each device has its memory and its dtype, each check of a scan its seconds."""
    facts = told(capsys)

    assert facts["compute"]["devices"]["cpu"]["memory"] > 0
    assert isinstance(facts["compute"]["devices"]["cpu"]["bfloat16"], bool)
    assert facts["scan"]["seconds"]["rehearsal: references"] > 0
