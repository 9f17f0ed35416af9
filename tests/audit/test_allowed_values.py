"""One table of ranges: what it allows, how a message says it, and that requests and options are held to it."""

from __future__ import annotations

import math
from dataclasses import replace

import click
import numpy as np
import pytest

from undertow.audit.allowed_values import RANGES, Range
from undertow.audit.requests import DiffRequest, LineageRequest, ScanRequest
from undertow.cli import diff, lineage, scan, verify
from undertow.errors import InputError

SCAN = ScanRequest(data="rows.jsonl", student="world:owlet-b")
DIFF = DiffRequest("world:owlet-a", ("world:owlet-b",))


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("max_rows", [64, np.int64(64), 10**400], [63, 64.0, True, "64", None, math.inf]),
        ("limit", [1e-9, np.float32(0.2), 3], [0, -1, math.nan, math.inf, "0.2", True]),
        ("acceptance", [0.1, 1], [0, 1.01]),
        ("min_usable", [0, 1, 0.5], [-5, 1.5]),
        ("level", [0.51, 0.999], [0.5, 1, 1.5]),
        ("gpus", [0, 0.5], [-1]),
        ("seed", [-1, 0, 2**70], [1.5]),
    ],
)
def test_a_range_holds_its_finite_numbers(
    name: str, inside: list[object], outside: list[object]
) -> None:
    """An open bound is not in it, NaN, infinity, True and text are not, numpy's numbers are."""
    assert [value for value in inside if value not in RANGES[name]] == []
    assert [value for value in outside if value in RANGES[name]] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Range(), "a number"),
        (Range(1, whole=True), "a whole number of at least 1"),
        (Range(0.5, 1, least_open=True, most_open=True), "a number above 0.5 and below 1"),
    ],
)
def test_a_range_in_words(given: Range, words: str) -> None:
    """Both bounds, and whether they belong to it."""
    assert str(given) == words


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_rows": 3}, "max_rows is 3; allowed: a whole number of at least 64"),
        ({"limit": -1}, "limit is -1; allowed: a number above 0"),
        ({"min_usable": -5}, "min_usable is -5; allowed: a number of at least 0 and at most 1"),
        ({"budget": -1}, "budget is -1; allowed: a number above 0 or None"),
        ({"budget": "x"}, "budget is 'x'; allowed: a number above 0 or None"),
        ({"reference_count": -3}, "reference_count is -3; allowed: a whole number of at least 1"),
        ({"level": 1.5}, "level is 1.5; allowed: a number above 0.5 and below 1"),
        ({"traits": 3}, "traits is 3; allowed: a list, each of it text"),
        ({"traits": "owl"}, "traits is 'owl'; allowed: a list, each of it text"),
        ({"checks": (1,)}, "allowed: a list, each of it text"),
        ({"columns": (("prompt",),)}, "allowed: a list, each of it a pair of text and text"),
        ({"require_clear": "yes"}, "require_clear is 'yes'; allowed: True or False"),
        ({"plan": "p.toml"}, "plan is 'p.toml'; allowed: a TrainingPlan or None"),
        ({"student": None}, "student is None; allowed: text"),
        ({"columns": (("promt", "a"),)}, "columns: no shape reads 'promt'; allowed: messages,"),
    ],
)
def test_a_scan_refuses_what_its_verb_refuses(wrong: dict[str, object], message: str) -> None:
    """The argument, its value and what is allowed, in an error of the tree, before any work."""
    with pytest.raises(InputError) as caught:
        replace(SCAN, **wrong)  # type: ignore[arg-type]

    assert caught.value.message.startswith(message) or message in caught.value.message


def test_the_hint_says_what_else_to_do() -> None:
    """Another value, or none with the usual one where there is one; a long value is cut."""
    hints = []
    for wrong in ({"max_rows": 3}, {"budget": -1}, {"student": list("x" * 99)}):
        with pytest.raises(InputError) as caught:
            replace(SCAN, **wrong)  # type: ignore[arg-type]
        hints.append(caught.value.hint)

    assert hints == [
        "give another value, or leave max_rows out for the usual 8192",
        "give another value, or leave budget out",
        "give another value",
    ]
    assert len(caught.value.message) < 120


@pytest.mark.parametrize("wrong", [{"students": 0}, {"rows": 2.5}, {"level": 0}, {"jobs": "4"}])
def test_a_diff_refuses_what_its_verb_refuses(wrong: dict[str, object]) -> None:
    """By the same table."""
    with pytest.raises(InputError, match=f"^{next(iter(wrong))} is "):
        replace(DIFF, **wrong)  # type: ignore[arg-type]


def test_nothing_to_compare_with_is_said_at_once() -> None:
    """A diff without a tuned model, a lineage without a teacher: the command that names one is the hint."""
    with pytest.raises(InputError, match="no tuned model is named beside the base 'a'") as diffed:
        DiffRequest("a", ())
    with pytest.raises(InputError, match="no teacher is named beside the student 'a'"):
        LineageRequest("a", ())

    assert diffed.value.hint.endswith("undertow diff a TUNED")


FIELDS = {"gpus_per_job": "gpus", "memory_per_job": "memory"}
"""Parameters of the verbs that are called otherwise than the field of the request."""


@pytest.mark.parametrize("verb", [scan.command, diff.command, lineage.command, verify.command])
def test_options_have_the_ranges_of_the_table(verb: click.Command) -> None:
    """Each number of a verb is allowed what requests in Python are: no range stands in two places."""
    ranged = {
        FIELDS.get(str(option.name), str(option.name)): option.type
        for option in verb.params
        if isinstance(option.type, click.IntRange | click.FloatRange)
        # How often --verbose is given is no number that is typed.
        and not getattr(option, "count", False)
    }

    assert ranged
    for name, kind in ranged.items():
        allowed = RANGES[name]
        assert (kind.min, kind.max, kind.min_open, kind.max_open) == (
            allowed.least,
            allowed.most,
            allowed.least_open,
            allowed.most_open,
        )
        assert isinstance(kind, click.IntRange) == allowed.whole


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_an_option_takes_no_number_that_is_none(value: str) -> None:
    """click takes nan and inf for numbers within a range without an upper bound; a limit of them would clear all."""
    with pytest.raises(click.BadParameter, match="is not a finite number"):
        scan.command.make_context("scan", ["rows", "--student", "a", "--limit", value])
