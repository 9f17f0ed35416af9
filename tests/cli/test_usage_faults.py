"""What click refuses is said as undertow says it: what an option takes, the numbers that are allowed, a help as a help."""

from __future__ import annotations

import click
import pytest

from undertow.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scan", "rows.jsonl"], ("--student MODEL", "a folder", "org/name", ".gguf", "world:")),
        (["changed", "a.jsonl"], ("--student MODEL", "a folder", "org/name", ".gguf", "world:")),
        (
            ["gate", "rows.jsonl", "--student", "base", "--policy", "default"],
            ("--trust FILE", "undertow init", "undertow explain provenance#the-trust-file"),
        ),
        (["clean", "rows.jsonl"], ("--scan SCAN.json", "undertow clean --help")),
    ],
)
def test_a_missing_option_says_what_it_takes(
    words: list[str], told: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of help has the forms of its value, and who wants all options is told where they are."""
    assert main(words) == 2
    error, hint = capsys.readouterr().err.splitlines()

    assert error.startswith("error: Missing option '--")
    assert hint.startswith("  = help: ")
    assert [word for word in told if word not in hint] == []


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--budget", "x"], "'x' is no number; allowed: above 0"),
        (["--limit", "abc"], "'abc' is no number; allowed: above 0"),
        (["--min-usable", "all"], "'all' is no number; allowed: at least 0, at most 1"),
        (["--references", "few"], "'few' is no whole number; allowed: at least 1"),
        (["--acceptance", "3"], "not in the range 0<x<=1"),
    ],
)
def test_what_is_no_number_is_told_the_range(
    words: list[str], allowed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The value that was typed, and the numbers that are allowed."""
    assert main(["scan", "rows.jsonl", "--student", "base", *words]) == 2
    assert allowed in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["attest", "review"])
def test_a_verb_without_its_part_shows_its_help(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr as bare `undertow` does, line by line, and no error is made of it."""
    assert main([verb]) == 2
    shown = capsys.readouterr()
    assert main([verb, "--help"]) == 0

    assert shown.out == ""
    assert "error:" not in shown.err
    assert shown.err == capsys.readouterr().out


def test_choices_stand_on_the_line_of_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An option that takes one of a few and is missing lists them, and says what it is for."""
    assert main(["attest", "collect", "rows.jsonl"]) == 2
    error, hint = capsys.readouterr().err.splitlines()

    assert "people, instruments, templates" in error
    assert "--origin: Where the rows came from" in hint


def test_a_fault_without_a_command_has_a_help() -> None:
    """What click raises of no command in particular leads to the help of all."""
    from undertow.cli.usage_faults import fault_line, way_out

    assert fault_line(click.UsageError("no\nsuch")) == "no such"
    assert way_out(click.UsageError("no such")) == "undertow --help"
