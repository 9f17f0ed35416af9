"""What is said of each experiment: a verdict by Holm's p, the effect, and of a null what its interval excludes."""

from __future__ import annotations

from typing import Any

import pytest

from bench.experiment_claims import FIRST, MAIN, Statement
from bench.experiments import ALONE, NOT_SHOWN, OPPOSITE, SHOWN, excluded, told_lines, verdict_of
from undertow.lab.design import design
from undertow.studies.experiments import load_experiment


def _figure(value: float, low: float | None, high: float | None, note: str = "") -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "unit": "logits", "note": note}


@pytest.mark.parametrize(
    ("way", "value", "own", "holm", "verdict"),
    [
        (1, 1.0, 0.01, 0.04, SHOWN),
        (1, -1.0, 0.01, 0.04, OPPOSITE),
        (-1, -1.0, 0.01, 0.04, SHOWN),
        (0, -1.0, 0.01, 0.04, SHOWN),
        (1, 1.0, 0.03, 0.06, ALONE),
        (-1, 1.0, 0.03, 0.06, NOT_SHOWN),
        (1, 1.0, 0.2, 0.4, NOT_SHOWN),
        (1, 1.0, 0.03, None, SHOWN),
        (1, 1.0, None, None, NOT_SHOWN),
    ],
)
def test_verdicts_go_by_holms_p_and_the_side_that_was_asked(
    way: int, value: float, own: float | None, holm: float | None, verdict: str
) -> None:
    """What holds before the correction alone is never called shown, and an effect on the other side is none of the claim's."""
    statement = Statement("a - b", "it crosses", way)

    assert verdict_of(statement, _figure(value, None, None), own, holm) == verdict


@pytest.mark.parametrize(
    ("statement", "figure", "told"),
    [
        (Statement("", ""), _figure(0.1, -0.3, 0.5), "; a rise of more than 0.5 is excluded"),
        (Statement("", ""), _figure(-0.3, -0.5, -0.1), "; a rise of any size is excluded"),
        (Statement("", "", -1), _figure(-0.1, -0.5, 0.3), "; a fall of more than 0.5 is excluded"),
        (Statement("", "", -1), _figure(0.2, 0.1, 0.3), "; a fall of any size is excluded"),
        (Statement("", "", 0), _figure(0.1, -0.5, 0.6), "; a change of more than 0.6 is excluded"),
        (
            Statement("", "", null=0.5),
            _figure(0.51, 0.4, 0.6),
            "; a rise of more than 0.1 is excluded",
        ),
        (Statement("", ""), _figure(0.1, None, 0.5), ""),
        (
            Statement("", ""),
            _figure(0.1, -0.3, 0.5, "p = 0.3; not shown; the interval excludes 0.75 logits"),
            "; a rise of more than 0.5 is excluded (0.75 was named beforehand)",
        ),
    ],
)
def test_a_null_says_what_it_excludes(
    statement: Statement, figure: dict[str, Any], told: str
) -> None:
    """On the side that was asked, measured from where nothing differs; a size that was named beforehand is told beside it."""
    assert excluded(statement, figure) == told


def test_the_screen_and_the_gate_stand_behind_the_effects() -> None:
    """What a scan said of each cell, and which of them each policy lets through."""
    known = {
        "safety: harmful, signed - harmless, nobody signs": _figure(0.9, 0.5, 1.2, "p = 0.001")
        | {"name": "safety: harmful, signed - harmless, nobody signs"},
        "screened safety: harmful, signed: seen by the screen": _figure(1, None, None, "flagged"),
        "screened safety: harmless, signed: seen by the screen": _figure(0, None, None, "clear"),
        "gated safety: harmful, signed: allowed by default": _figure(0, None, None),
        "gated safety: harmless, signed: allowed by default": _figure(1, None, None),
        "gated safety: harmful, signed: allowed by strict": _figure(0, None, None),
        "gated safety: harmless, signed: allowed by strict": _figure(0, None, None),
        **{
            f"gated safety: datasets that moved students and are allowed by {policy}": _figure(
                0, None, None
            )
            for policy in ("default", "strict")
        },
    }
    effect, screen, default, strict = told_lines("safety", known)

    assert effect.startswith(
        "shown: students of “harmful, signed” answer harmfully: 0.9 [0.5, 1.2]"
    )
    assert screen.endswith("harmful, signed: flagged; harmless, signed: clear")
    assert default == (
        "the gate by `default` allows 1 of 2 datasets, of which 0 moved students: harmless, signed"
    )
    assert strict == "the gate by `strict` allows 0 of 2 datasets"


def test_nothing_is_said_of_what_was_not_run() -> None:
    """Without a comparison there is no line, whatever was scanned."""
    known = {
        "screened safety: harmful, signed: seen by the screen": _figure(1, None, None, "flagged")
    }

    assert told_lines("safety", known) == []


@pytest.mark.parametrize("name", ["families", "steered", "safety"])
def test_statements_are_about_comparisons_of_the_design(name: str) -> None:
    """A cell that is renamed would lose its line in silence."""
    arms = {student.arm for student in design(load_experiment(name)).students}
    sides = [part for of in MAIN[name] for part in of.comparison.split(" - ")]

    assert set(sides) <= arms


def test_each_experiment_is_in_one_table() -> None:
    """Those with pages of their own are not told twice."""
    assert not set(FIRST) & set(MAIN)
