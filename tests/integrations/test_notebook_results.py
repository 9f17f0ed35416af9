"""The verbs in Python: frozen results, one line, a few lines of HTML, and a door that costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import datetime
from pathlib import Path

import pytest

import undertow
from tests.report import scan_documents as scans
from tests.report.chain_documents import HOSTILE, decision
from tests.report.test_html import Page
from undertow.audit.requests import DiffRequest, ScanRequest
from undertow.errors import InputError, UnknownNameError
from undertow.integrations import notebook_results
from undertow.integrations.notebook_results import GateResult, ScanResult
from undertow.results.model_documents import DiffDocument
from undertow.results.scan_document import ScanDocument
from undertow.results.store import read_scan


def test_the_door_is_light() -> None:
    """`import undertow` takes under 200 ms and loads neither torch nor pydantic; the names stand in its directory."""
    code = (
        "import sys, time; start = time.perf_counter(); import undertow; took = time.perf_counter() - start;"
        "print(took < 0.2, sorted({'torch', 'pydantic'} & set(sys.modules)), {'scan', 'diff', 'gate'} <= set(dir(undertow)))"
    )
    runs = [subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(3)]

    assert "True [] True\n" in runs


def test_the_names_are_the_callables_of_the_results() -> None:
    """And another name is an error of the module."""
    assert undertow.scan is notebook_results.scan
    assert set(undertow.__all__) == {
        "scan",
        "diff",
        "gate",
        "ScanResult",
        "DiffResult",
        "GateResult",
    }
    with pytest.raises(AttributeError, match="no attribute 'scam'"):
        undertow.scam  # type: ignore[attr-defined]  # noqa: B018


def test_a_result_is_frozen_typed_and_one_line() -> None:
    """Verdict and effects are the document's; nothing is set."""
    result = ScanResult(scans.flagged())

    assert repr(result) == "ScanResult('flagged', data='data/train.jsonl', student='world:owlet-a')"
    assert (result.verdict, result.effects[0].trait) == ("flagged", "owl")
    assert result.todo.endswith("--method dilute --with CLEAN.jsonl --out MIXED.jsonl")
    with pytest.raises(FrozenInstanceError):
        result.document = scans.clear()  # type: ignore[misc]


@pytest.mark.parametrize("made", [scans.sources, scans.stands_out, scans.nothing])
def test_the_display_is_escaped_and_asks_for_nothing(made: object) -> None:
    """Well-formed, without script, address, handler or style sheet, whatever a source is called."""
    html = ScanResult(made())._repr_html_()  # type: ignore[operator]
    page = Page(html)

    assert page.unbalanced == []
    assert not re.search(r"https?:|url\(|<script|<link|<style|src=|@import|\u202e|\x1b", html)
    assert not [name for _, found in page.elements for name in found if name.startswith("on")]


def test_a_decision_is_true_where_it_allows() -> None:
    """And its display shows hostile names as text."""
    refused = GateResult(decision(HOSTILE))

    assert not refused
    assert refused.verdict == "refused"
    assert "<script" not in refused._repr_html_()


def test_a_result_is_stored_as_the_verb_stores_it(tmp_path: Path) -> None:
    """Document and page; the document is read back."""
    page = ScanResult(scans.within()).save(tmp_path / "made")

    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert read_scan(page.with_name("scan.json")) == scans.within()
    assert GateResult(decision()).save(tmp_path / "decided").name == "gate.html"


def test_refusals_are_those_of_the_verbs(tmp_path: Path) -> None:
    """No data, no policy: the errors of the command line, before any work."""
    with pytest.raises(InputError):
        undertow.scan(tmp_path / "no-rows.jsonl", student="world:owlet-a")
    with pytest.raises(UnknownNameError):
        undertow.gate("rows.jsonl", student="world:owlet-a", policy="none", trust="trust.toml")


def test_the_command_says_all_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields of the request are the verb's options, under its names."""
    asked: list[str] = []

    def screened(request: ScanRequest, tell: object) -> ScanDocument:
        asked.append(request.command)
        return scans.clear()

    monkeypatch.setattr(notebook_results, "screened", screened)
    undertow.scan(
        "my rows",
        student="a",
        traits=["owl"],
        reference_count=4,
        require_clear=True,
        checks=("author",),
    )

    assert asked == [
        "undertow scan 'my rows' --student a --traits owl --references 4 --require clear --check author"
    ]


def test_a_trainers_file_says_which_beta(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the verb takes it; what is asked for by hand goes before, and a file without one leaves the default."""
    asked: list[ScanRequest] = []

    def screened(request: ScanRequest, tell: object) -> ScanDocument:
        asked.append(request)
        return scans.clear()

    monkeypatch.setattr(notebook_results, "screened", screened)
    dpo, own = tmp_path / "dpo.yaml", tmp_path / "plan.toml"
    dpo.write_text("stage: dpo\npref_beta: 0.3\nfinetuning_type: lora\nmodel_name_or_path: a\n")
    own.write_text("rank = 4\n")
    undertow.scan("rows", student="a", plan=dpo)
    undertow.scan("rows", student="a", plan=dpo, beta=0.5)
    undertow.scan("rows", student="a", plan=own)

    assert [(one.beta, one.settled) for one in asked] == [(0.3, True), (0.5, True), (0.1, False)]


def test_one_name_is_one_name_and_a_table_is_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """`traits="owl"` asks for the owl, and not for o, w and l; the command says which column is what."""
    asked: list[ScanRequest] = []

    def screened(request: ScanRequest, tell: object) -> ScanDocument:
        asked.append(request)
        return scans.clear()

    monkeypatch.setattr(notebook_results, "screened", screened)
    undertow.scan("r.csv", student="a", traits="owl", columns={"prompt": "q", "completion": "a b"})

    assert (asked[0].traits, asked[0].columns) == (
        ("owl",),
        (("prompt", "q"), ("completion", "a b")),
    )
    assert asked[0].command == (
        "undertow scan r.csv --student a --traits owl --columns prompt=q 'completion=a b'"
    )


@pytest.mark.parametrize("verb", [undertow.scan, undertow.diff])
def test_a_mistyped_argument_is_named_with_the_nearest(verb: Callable[..., object]) -> None:
    """As a mistyped option of the verb is."""
    base = {"student": "a"} if verb is undertow.scan else {}
    with pytest.raises(UnknownNameError, match="did you mean 'limit'"):
        verb("a", **base, limt=0.3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_rows": 3}, "max_rows is 3; allowed: a whole number of at least 64"),
        ({"traits": 3}, "traits is 3; allowed: a list, each of it text"),
        ({"budget": "x"}, "budget is 'x'; allowed: a number above 0 or None"),
        ({"student": 3}, "student is 3; allowed: text"),
        ({"plan": 3}, "plan is 3; allowed: text or a path or None"),
        ({"tell": True}, "tell is True; allowed: something to call"),
        ({"plan_notes": ("x",)}, "unknown argument 'plan_notes'"),
    ],
)
def test_a_scan_is_refused_what_its_verb_is(wrong: dict[str, object], message: str) -> None:
    """A value out of its range or of another type: an error that names it, before the data is looked for."""
    with pytest.raises(InputError) as caught:
        undertow.scan("no-rows.jsonl", **{"student": "world:owlet-b", **wrong})

    assert caught.value.message.startswith(message)


def test_a_diff_is_refused_what_its_verb_is() -> None:
    """No tuned model, one that is no name, a level that is none: at once."""
    with pytest.raises(InputError, match="no tuned model is named beside the base"):
        undertow.diff("world:owlet-b")
    with pytest.raises(InputError, match="tuned is \\(3,\\); allowed"):
        undertow.diff("world:owlet-b", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="level is 2; allowed"):
        undertow.diff("world:owlet-b", "world:owlet-b", level=2)
    with pytest.raises(UnknownNameError, match="unknown argument 'tuned'"):
        undertow.diff("world:owlet-b", tuned=("world:owlet-b",))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"policy": 3}, "policy is 3; allowed: text or a path"),
        ({"attestations": 3}, "attestations is 3; allowed: a list"),
        ({"least_version": 0}, "least_version is 0; allowed: a whole number of at least 1"),
        ({"at": "2026-11-25"}, "at is '2026-11-25'; allowed: a datetime or None"),
        ({"at": datetime(2026, 11, 25)}, "at is 2026-11-25T00:00:00, in no time zone"),  # noqa: DTZ001
    ],
)
def test_a_gate_is_refused_what_its_verb_is(wrong: dict[str, object], message: str) -> None:
    """By the same words, before the policy is read."""
    asked = {"student": "a", "policy": "default", "trust": "trust.toml", **wrong}
    with pytest.raises(InputError) as caught:
        undertow.gate("rows.jsonl", **asked)  # type: ignore[arg-type]

    assert caught.value.message.startswith(message)


def test_a_path_is_as_good_as_its_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Models, files of traits and controls may be paths; the file of kept controls may be text."""
    asked: list[DiffRequest] = []

    def compared(request: DiffRequest, tell: object) -> DiffDocument:
        asked.append(request)
        return DiffDocument.model_construct()

    monkeypatch.setattr(notebook_results, "compared", compared)
    undertow.diff(tmp_path, tmp_path, traits=Path("t.toml"), keep_controls="k.safetensors")

    assert (asked[0].base, asked[0].tuned) == (str(tmp_path), (str(tmp_path),))
    assert (asked[0].traits, asked[0].keep_controls) == (("t.toml",), Path("k.safetensors"))
