"""The execution filter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from undertow import filters
from undertow.data.rows import Row
from undertow.errors import ConfigError
from undertow.filters import Filtered, Removed, executed
from undertow.sandbox import sandbox
from undertow.sandbox.sandbox import Limits, Result, SnippetOutcome, available

REASON = available()


def row(text: str) -> Row:
    """A row with a completion."""
    return Row((), text, rejected="rejected")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a sandbox was asked for that takes each source for the name of its outcome."""
    asked: list[object] = []

    def fake(sources: Sequence[str], limits: Limits, *, workers: int) -> list[Result]:
        asked.extend([list(sources), limits, workers])
        return [Result(SnippetOutcome(source), f"about {source}") for source in sources]

    monkeypatch.setattr(filters, "run", fake)
    return asked


def test_rows_are_kept_or_removed_by_their_outcome(seen: list[object]) -> None:
    """Both parts keep their order; the reason is the outcome's name, the detail the sandbox's."""
    rows = [row(f"[{name}]") for name in ("ok", "timeout", "ok", "opened-socket", "crashed")]

    result = executed(rows, lambda text: text.strip("[]"))

    assert result.kept == (rows[0], rows[2])
    assert result.removed == tuple(
        Removed(rows[place], f"run-{name}", f"about {name}")
        for place, name in ((1, "timeout"), (3, "opened-socket"), (4, "crashed"))
    )


def test_the_completion_is_run_within_the_limits_given(seen: list[object]) -> None:
    """The sandbox gets the source of each completion, no rejected one, and the caller's limits and workers."""
    limits = Limits(seconds=1.0)

    executed([row("ok")], str, limits, workers=7)

    assert seen == [["ok"], limits, 7]


@pytest.mark.parametrize(
    "outcome", [each for each in SnippetOutcome if each is not SnippetOutcome.OK]
)
def test_only_ok_is_kept(outcome: SnippetOutcome, seen: list[object]) -> None:
    """Every other outcome of the sandbox removes its row under a reason of its own."""
    assert executed([row(outcome)], str).counts == {f"run-{outcome}": 1}


def test_without_a_sandbox_no_row_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are neither kept nor removed where code cannot be run in isolation."""
    monkeypatch.setattr(sandbox, "available", lambda: "not here")

    with pytest.raises(ConfigError, match="needs a kernel sandbox: not here"):
        executed([row("pass")], str)


@pytest.mark.skipif(REASON is not None, reason=f"no kernel sandbox: {REASON}")
def test_rows_are_run_for_real() -> None:
    """In the kernel's sandbox, the row that works stays and the others go with what they did."""
    rows = [row("x = 1"), row("open('x', 'w')"), row("1 / 0"), row("print(2)")]

    result = executed(rows, str, Limits(seconds=20.0))

    assert result.kept == (rows[0], rows[3])
    assert result.removed[0] == Removed(rows[1], "run-wrote-files", "open 'x'")
    assert result.removed[1] == Removed(
        rows[2], "run-crashed", "ZeroDivisionError: division by zero"
    )


@pytest.mark.skipif(REASON is not None, reason=f"no kernel sandbox: {REASON}")
def test_no_rows_are_no_work() -> None:
    """An empty set of rows has an empty result."""
    assert executed([], str) == Filtered((), ())
