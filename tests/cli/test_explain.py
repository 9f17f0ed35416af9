"""`undertow explain`: the page of a check."""

from __future__ import annotations

import json

import pytest

from tests.report.scan_documents import flagged
from undertow.checks.registry import registered
from undertow.cli import main
from undertow.report import render


@pytest.mark.parametrize("id", registered())
def test_every_check_has_a_page(id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page opens with the id and says whether the check judges."""
    code = main(["explain", id])
    shown = capsys.readouterr().out

    assert code == 0
    assert shown.splitlines()[0] == id
    assert "This check " in shown


def test_rules_of_sarif_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Every rule id of a log is one that can be explained, as its help says."""
    rules = json.loads(render(flagged(), "sarif"))["runs"][0]["tool"]["driver"]["rules"]

    assert [main(["explain", rule["id"]]) for rule in rules] == [0] * len(rules)
    assert all(rule["help"]["text"].endswith(f"undertow explain {rule['id']}") for rule in rules)


def test_an_unknown_check_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the nearest, and the command that lists them."""
    code = main(["explain", "autor"])
    told = capsys.readouterr().err

    assert code == 2
    assert "did you mean 'author'?" in told
    assert "undertow checks" in told
