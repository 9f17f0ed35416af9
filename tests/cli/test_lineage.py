"""`undertow lineage`: exit codes, both ways to name several teachers, and every format of its result."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.verbs import Verbs
from undertow.report import SCAN_FORMATS, page_of, render
from undertow.results.store import read_result

A, B, NEOX = "world:owlet-a", "world:owlet-b", "world:owlet-neox"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and stdout."""
    result = CliRunner().invoke(Verbs("undertow"), ["lineage", *arguments])
    return result.exit_code, result.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((B, A), 0),
        ((B, B), 1),
        ((B, B, "--fail-on", "never"), 0),
        ((B, NEOX), 5),
        ((B, NEOX, "--allow-undecided"), 0),
        ((B, NEOX, "--fail-on", "unknown"), 1),
    ],
)
def test_the_exit_code_says_what_was_found(arguments: tuple[str, ...], code: int) -> None:
    """0 no evidence, 1 a shared start, 5 not known."""
    assert run(*arguments)[0] == code


def test_several_teachers_are_given_with_or_without_the_flag() -> None:
    """`STUDENT --teachers A B` and `STUDENT A B` are the same."""
    one, other = run(B, "--teachers", A, NEOX)[1], run(B, A, NEOX)[1]

    assert one.split("again")[0] == other.split("again")[0]
    assert "Teachers, the riskiest first" in one


def test_the_result_is_rendered_again_in_every_format(tmp_path: Path) -> None:
    """The stored document is read back, and each renderer names the teacher; the page has a dot a layer."""
    run(B, B, A, "--out", str(tmp_path))
    document = read_result(tmp_path)
    rendered = {form: render(document, form) for form in SCAN_FORMATS}

    assert document == read_result(tmp_path / "lineage.json")
    assert all("owlet-a" in text for form, text in rendered.items() if form != "sarif")
    assert rendered["html"].count("<circle") == 4
    assert json.loads(rendered["sarif"])["runs"][0]["results"][0]["level"] == "warning"


@pytest.mark.parametrize(
    ("teachers", "verdict", "command"),
    [
        ((B,), f"{B} and {B} began as one network.", f"--student {B} --teacher {B}"),
        ((B, A), f"1 of 2 teachers began as one network with {B}.", f"--student {B}"),
        ((A,), f"Nothing shows that {A} and {B} began as one network.", f"--student {B}"),
        (
            (NEOX,),
            f"Whether {NEOX} and {B} began as one network is not known.",
            f"--teacher {NEOX}",
        ),
    ],
)
def test_the_point_is_one_sentence_and_the_next_command(
    teachers: tuple[str, ...], verdict: str, command: str, tmp_path: Path
) -> None:
    """By what was found of the riskiest teacher; rows of an unrelated one are scanned without naming it."""
    run(B, *teachers, "--out", str(tmp_path))
    point = page_of(read_result(tmp_path)).point

    assert point is not None
    assert point.verdict == verdict
    assert point.command.startswith("undertow scan DATA")
    assert point.command.endswith(command)
    assert "undertow scan" not in point.todo


def test_hostile_names_are_shown_harmless(tmp_path: Path) -> None:
    """Markup and control characters in a reference reach no format as such."""
    run(B, B, "--out", str(tmp_path))
    document = read_result(tmp_path)
    hostile = "<script>alert(1)</script>\x1b[31m"
    teacher = document.teachers[0].model_copy(update={"teacher": hostile, "reason": hostile})
    document = document.model_copy(update={"teachers": (teacher,), "conclusion": hostile})

    for form in ("html", "text", "markdown", "sarif"):
        text = render(document, form)
        assert "\x1b" not in text
        # Between backticks Markdown shows everything as it is.
        shown = re.sub(r"`[^`]*`", "", text) if form == "markdown" else text
        assert form == "text" or form == "sarif" or "<script>alert" not in shown
