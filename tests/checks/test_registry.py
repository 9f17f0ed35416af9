"""
One suite for all checks: each is found, documented, and honest about what it does not apply to.
"""

from __future__ import annotations

import inspect

import pytest

from undertow.checks.registry import check_named, registered
from undertow.errors import UnknownNameError

IDS = list(registered())


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


def test_one_check_of_each_subject_judges_transfer() -> None:
    """
    Of a dataset it is the only one; of a tuned model its answers are. All others are evidence.
    """
    judging = {one.about: id for id, one in registered().items() if one.kind == "transfer"}
    assert judging == {"dataset": "rehearsal", "tuned": "diff-behaviour"}


def test_an_unknown_check_is_named() -> None:
    """With the allowed ones and the nearest."""
    with pytest.raises(UnknownNameError, match="did you mean 'rehearsal'"):
        check_named("rehersal")
