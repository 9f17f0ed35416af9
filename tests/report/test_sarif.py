"""A screen as SARIF 2.1.0: the fields that the standard and GitHub require, and one result a subject."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest

from tests.report import former_scan_documents as former
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import (
    HOSTILE,
    clear,
    flagged,
    nothing,
    sources,
    stands_out,
    taught,
    within,
)
from undertow.report import render
from undertow.report.plain_text import visible_throughout
from undertow.report.sarif import location, message, without_gaps
from undertow.results.scan_document import AnyScan


def run_of(document: AnyScan) -> dict[str, Any]:
    """The only run of the log."""
    log = json.loads(render(document, "sarif"))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    found: dict[str, Any] = log["runs"][0]
    return found


@pytest.mark.parametrize("kind", ALL_SCANS)
def test_required_fields_are_there(kind: str) -> None:
    """Driver's name, rules with help, results with message, rule, level and a place with all four fields."""
    run = run_of(ALL_SCANS[kind]())
    rules = run["tool"]["driver"]["rules"]

    assert run["tool"]["driver"]["name"] == "undertow"
    assert all(rule["id"] and rule["help"]["text"] for rule in rules)
    assert all(len(rule["fullDescription"]["text"]) <= 1024 for rule in rules)
    assert isinstance(run["invocations"][0]["executionSuccessful"], bool)
    for result in run["results"]:
        region = result["locations"][0]["physicalLocation"]["region"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}


def test_levels_follow_the_verdicts() -> None:
    """Flagged and standing out are errors, undecided a warning, evidence a note; within and clear are silent."""
    results = run_of(sources())["results"]
    told = [(one["level"], one["message"]["text"].split(": ")[0]) for one in results]

    assert told == [
        ("error", "flagged"),
        ("error", "flagged"),
        ("note", "detectable"),
        ("note", "detectable"),
        ("error", "stands out"),
        ("warning", "undecided"),
    ]
    assert all(run_of(one())["results"] == [] for one in (clear, within, nothing))


def test_a_result_carries_its_numbers() -> None:
    """Transfer, interval, limit, level and advice are properties; the rule is the check that judged."""
    result = run_of(flagged())["results"][0]
    properties = result["properties"]

    assert result["ruleId"] == "whole-plan"
    assert run_of(stands_out())["results"][0]["ruleId"] == "rehearsal"
    assert (properties["transfer"], properties["limit"], properties["trait"]) == (1.8, 0.2, "owl")
    assert properties["detectableBy"] == ["likelihood-ratio", "fingerprint"]
    assert properties["largestSafeSteps"] == 6


def test_stages_and_prices_are_properties() -> None:
    """What the verdict rests on, of the subject and of the whole run; a former screen has its calibration there."""
    run = run_of(stands_out())
    (stage,) = run["results"][0]["properties"]["stages"]
    before = run_of(former.flagged())

    assert (stage["p"], stage["references"], stage["guaranteed"]) == (0.05, 19, 0.146)
    assert (run["properties"]["spentFineTunes"], run["properties"]["budget"]) == (2.25, 2.5)
    assert before["properties"]["falseAlarmHigh"] == 0.113
    assert before["results"][0]["properties"]["smallestDose"] == 0.09


def test_a_message_says_after_how_much_of_the_plan() -> None:
    """An effect at a quarter of the plan must not pass for one of the whole."""
    told = run_of(stands_out())["results"][0]["message"]["text"]

    assert told.startswith(
        "stands out: the whole file: effect +0.62 \\[+0.41, +0.83\\] owl after 32 of 128 steps"
    )


def test_fingerprints_tell_subjects_apart_and_stay() -> None:
    """A new screen with other numbers is the same alert; another source is another."""
    first, again = (run_of(sources().model_copy(update={"seed": n}))["results"] for n in (1, 2))
    prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in first]

    assert len(set(prints)) == len(prints)
    assert [one["partialFingerprints"]["primaryLocationLineHash"] for one in again] == prints


def test_what_failed_is_a_notification() -> None:
    """A check or a subject in error makes the invocation unsuccessful, and says so."""
    invocation = run_of(sources())["invocations"][0]
    told = [one["message"]["text"] for one in invocation["toolExecutionNotifications"]]

    assert invocation["executionSuccessful"] is False
    assert told == ["activations: out of memory", "error: broken. the trial run diverged"]
    assert run_of(clear())["invocations"][0]["executionSuccessful"] is True


def test_hostile_names_make_neither_links_nor_controls() -> None:
    """Brackets and braces are escaped in messages; the place is a valid URI that reads as the path."""
    text = render(sources(), "sarif")
    uri = run_of(sources())["artifacts"][0]["location"]["uri"]

    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]|\\\\u202e|\\\\u001b", text)
    assert r"\[a\](b){{0}}" in run_of(sources())["results"][1]["message"]["text"]
    assert re.fullmatch(r"[A-Za-z0-9/_.~%-]+", uri)
    assert unquote(uri) == f"data/{HOSTILE}.jsonl"


def test_numbers_that_json_cannot_hold_are_left_out() -> None:
    """An open or infinite limit is absent, never the bare word Infinity."""
    (one,) = flagged().subjects
    odd = one.model_copy(update={"high": float("inf"), "low": float("nan")})
    properties = run_of(flagged().model_copy(update={"subjects": (odd,)}))["results"][0]

    assert not {"low", "high"} & set(properties["properties"])


def test_what_rows_say_openly_is_a_property() -> None:
    """A dashboard reads the counts beside the verdict."""
    log = json.loads(render(taught(), "sarif"))
    [meaning] = log["runs"][0]["results"][0]["properties"]["openMeaning"]

    assert (meaning["trait"], meaning["rows"], meaning["asked"]) == ("owl", 212, 3)
    assert meaning["told"].startswith("212 of 4,096 rows say")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a.jsonl", "a.jsonl"),
        ("./a.jsonl", "a.jsonl"),
        ("../a#b?.jsonl", "../a%23b%3F.jsonl"),
        ("c:d.jsonl", "c%3Ad.jsonl"),
        ("/x/a.jsonl", "file:///x/a.jsonl"),
        ("hf://org/rows", "hf://org/rows"),
        ("\ud800", "%3F"),
    ],
)
def test_paths_become_uri_references(path: str, uri: str) -> None:
    """Relative, absolute, remote; nothing in a name acts as part of the address."""
    assert location(path) == uri


def test_messages_escape_what_sarif_gives_a_meaning() -> None:
    """Links, placeholders and the escape itself."""
    assert message("[a](b)\\{0}") == {"text": "\\[a\\](b)\\\\{{0}}"}


def test_absent_values_leave_no_key() -> None:
    """None and numbers that JSON lacks are left out at every depth; falsehood and zero stay."""
    given = {"a": None, "b": [{"c": float("nan"), "d": 0}], "e": False}

    assert without_gaps(given) == {"b": [{"d": 0}], "e": False}


def test_properties_are_visible() -> None:
    """Dashboards print them, controls of a terminal and of directions among them."""
    assert visible_throughout({"a\x1b": ["\u202e", {"b": ("\x9b", 1)}]}) == {
        "a␛": ["‹U+202E›", {"b": ["‹U+009B›", 1]}]
    }
