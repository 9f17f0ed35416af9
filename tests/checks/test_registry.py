"""One suite for all checks: each is found, documented, and honest about what it does not apply to."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from undertow.checks.registry import TABLES, About, check_named, registered
from undertow.errors import UnknownNameError

IDS = list(registered())
ABOUT = list(TABLES)


@pytest.mark.parametrize("id", IDS)
def test_each_check_has_a_page(id: str) -> None:
    """Its function takes a subject and its docstring has the three parts of a page."""
    check = check_named(id).load()
    page = inspect.getdoc(check) or ""

    first, *rest = inspect.signature(check).parameters.values()
    assert first.name == "subject"
    assert all(other.default is not inspect.Parameter.empty for other in rest)
    for part in ("Why it matters.", "What it cannot tell you.", "What to do."):
        assert part in page


def test_few_checks_judge_transfer() -> None:
    """Of a dataset the two rehearsals do, of a tuned model its answers. All others are evidence."""
    judging = {(one.about, id) for id, one in registered().items() if one.kind == "transfer"}
    assert judging == {
        ("dataset", "rehearsal"),
        ("dataset", "whole-plan"),
        ("tuned", "diff-behaviour"),
    }


def test_an_unknown_check_is_named() -> None:
    """With the allowed ones and the nearest."""
    with pytest.raises(UnknownNameError, match="did you mean 'rehearsal'"):
        check_named("rehersal")


def test_checks_are_listed_without_torch() -> None:
    """A page of a check, or a report, is made where no model can be loaded."""
    script = "import sys, undertow.checks.registry; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("about", ABOUT)
def test_a_checks_id_names_its_file(about: About) -> None:
    """With underscores, in the folder of what it is asked about."""
    for id in TABLES[about]:
        module = f"undertow.checks.{about}.{id.replace('-', '_')}"
        assert check_named(id).load().__module__ == module
