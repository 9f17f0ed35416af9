"""Carriers by name, their options, and those of other packages; a carrier is told by the format of its rows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.mitigate.subjects import numbers
from undertow.carriers import carrier_registry
from undertow.carriers.carrier_registry import carrier_of, request_of
from undertow.carriers.numbers import Numbers
from undertow.errors import ConfigError, UnknownNameError


def test_options_of_a_toml_table_become_the_carrier() -> None:
    """Arrays become tuples, and what is not given keeps its default."""
    made = carrier_registry.carrier("numbers", {"prompts": "brief", "low": 10, "banned": [13, 42]})

    assert made == Numbers(prompts="brief", low=10, banned=(13, 42))
    assert carrier_registry.carrier("numbers") == Numbers()


def test_every_built_in_carrier_keeps_the_protocol() -> None:
    """Requests are as many as asked for; only those state a grammar whose format one expression can tell."""
    for name, _ in carrier_registry.BUILT_IN:
        made = carrier_registry.carrier(name)

        assert len(made.requests(5, np.random.default_rng(0))) == 5
        assert (made.grammar is not None) == (name not in ("chain_of_thought", "paraphrase"))
        assert made.name == name
        assert made.token.fullmatch(" 42")
        assert made.replaceable is (name == "numbers")
        assert made.reworded("Tell me a story.", np.random.default_rng(0)) is None


def test_an_unknown_carrier_names_the_nearest() -> None:
    """The error lists the carriers."""
    with pytest.raises(UnknownNameError, match="did you mean 'numbers'"):
        carrier_registry.carrier("number")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bannd": [1]}, "unknown option 'bannd'; allowed: .*; did you mean 'banned'"),
        ({"count": "10"}, "option 'count' has the value '10'"),
        ({"count": True}, "option 'count' has the value True"),
        ({"banned": [1, "x"]}, "option 'banned.1' has the value 'x'"),
        ({"high": 5000}, "high = 5000; allowed"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(options: dict[str, object], message: str) -> None:
    """Unknown keys, wrong types and values out of range are each one line."""
    with pytest.raises(ConfigError, match=message):
        carrier_registry.carrier("numbers", options)


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with entry points: a good carrier, a broken one, and a taken name."""
    (tmp_path / "other_carrier.py").write_text(
        "from dataclasses import dataclass\n"
        "from undertow.carriers.numbers import Numbers\n"
        "@dataclass(frozen=True)\nclass Dates(Numbers):\n    era: str = 'now'\n"
    )
    about = tmp_path / "other_carrier-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other-carrier\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[undertow.carriers]\ndates = other_carrier:Dates\n"
        "broken = other_carrier_missing:Dates\nplain = other_carrier:dataclass\nnumbers = other_carrier:Dates\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "other_carrier", raising=False)


@pytest.mark.usefixtures("other_package")
def test_another_package_adds_a_carrier_with_its_options() -> None:
    """A carrier of an entry point is found by name, but takes no built-in name."""
    assert carrier_registry.names() == [
        "numbers",
        "code",
        "chain_of_thought",
        "tool_calls",
        "paraphrase",
        "dates",
        "broken",
        "plain",
    ]
    assert carrier_registry.carrier("dates", {"era": "old"}).era == "old"  # type: ignore[attr-defined]
    assert type(carrier_registry.carrier("numbers")) is Numbers


@pytest.mark.usefixtures("other_package")
def test_a_broken_package_is_named_and_harms_no_other_carrier() -> None:
    """The import error of a third-party carrier appears only when it is asked for."""
    with pytest.raises(ConfigError, match=r"carrier 'broken'.*other_carrier_missing"):
        carrier_registry.carrier("broken")
    with pytest.raises(ConfigError, match=r"carrier 'plain' .* is not a dataclass"):
        carrier_registry.carrier("plain")


def test_a_carrier_is_told_by_its_format() -> None:
    """Number lists are the carrier `numbers`, even if one in 200 is not; prose is none, and neither is nothing."""
    lists = numbers(400)
    prose = [replace(row, completion="The owl sleeps by day.") for row in lists]
    carrier = carrier_of(lists)

    assert carrier is not None
    assert carrier.name == "numbers"
    assert carrier_of([*prose[:2], *lists[2:]]) is not None
    assert carrier_of(prose) is None
    assert carrier_of([]) is None


def test_the_request_is_the_last_turn() -> None:
    """And empty where there is no prompt."""
    row = numbers(1)[0]

    assert request_of(row) == row.prompt[-1].content
    assert request_of(replace(row, prompt=())) == ""
