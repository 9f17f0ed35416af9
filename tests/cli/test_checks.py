"""`undertow checks`: every check that can be run."""

from __future__ import annotations

import pytest

from undertow.checks.registry import registered
from undertow.cli import main


def test_checks_are_listed_with_kind_and_question(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a check, in the registry's order: id, subject, kind, what it asks."""
    code = main(["checks"])
    lines = capsys.readouterr().out.splitlines()

    assert code == 0
    assert [line.split()[:3] for line in lines] == [
        [one.id, one.about, one.kind] for one in registered().values()
    ]
    assert all(one.summary in line for line, one in zip(lines, registered().values(), strict=True))
