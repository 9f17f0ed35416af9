"""`main` ends every command with an exit code, and never with a traceback that nobody asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from undertow import __version__
from undertow.cli import main
from undertow.cli.verbs import FIRST, VERBS, undertow

MODULE = [sys.executable, "-m", "undertow"]

# What is written then waits in a buffer, as on most machines, and fails late.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_help_lists_the_verbs_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees every verb in order, and what the exit codes mean."""
    code = main(["--help"])
    shown = capsys.readouterr().out

    assert code == 0
    assert [line.split()[0] for line in shown.splitlines() if line[2:].startswith(VERBS)] == [
        *VERBS
    ]
    assert "undecided or skipped" in shown


def test_no_verb_is_a_fault_in_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """`undertow` alone says on stderr what to type first, and does not succeed: a script forgot something."""
    code = main([])
    captured = capsys.readouterr()

    assert code == 2
    assert captured.out == ""
    assert captured.err.index("undertow demo") < captured.err.index("Commands:")


@pytest.mark.parametrize("line", [line for _, line in FIRST])
def test_what_to_type_first_is_understood(line: str) -> None:
    """Each line names a verb and parses as far as its placeholders go."""
    verb, *rest = line.split()[1:]
    context = undertow.make_context("undertow", [], resilient_parsing=True)
    command = undertow.get_command(context, verb)

    assert command is not None
    command.make_parser(context).parse_args(args=rest)


def test_the_help_of_all_imports_nothing_heavy() -> None:
    """`undertow`, its help and its completion open no library that takes long."""
    script = (
        "import sys; from undertow.cli import main; main([]); main(['--help']); main(['completion', 'bash']);"
        "print([name for name in ('torch', 'numpy', 'pydantic', 'rich') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is answered with the verbs there are and the likely one."""
    code = main(["trait"])
    shown = capsys.readouterr().err

    assert code == 2
    assert "unknown verb 'trait'" in shown
    assert "did you mean 'traits'?" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["run"],
        ["run", "owl", "--jobs", "0"],
        ["run", "owl", "--engine", "steam"],
        ["run", "owl", "--resume", "no/such/directory"],
        ["run", "owl", "--out", "a", "--resume", "."],
        ["report", "results.json", "--format", "pdf"],
        ["worlds", "build", "owlet-a"],
        ["worlds", "paint"],
        ["traits", "owl", "cat"],
        ["traits", "owll"],
        ["worlds", "build", "owlet-z", "--out", "x"],
        ["report", "no-such-results.json"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_two_lines_and_exit_code_2(
    arguments: list[str], lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with the command line: one line says so, one line says what to type."""
    code = main(arguments)
    shown = capsys.readouterr().err.splitlines()

    assert code == 2
    assert shown[0].startswith("error: ")
    assert [line[:9] for line in shown[1:]] == ["  = help:"]


@pytest.mark.parametrize(
    "arguments", [["-vv", "run", "owl"], ["run", "owl", "-vv"], ["run", "-v", "-v", "owl"]]
)
def test_verbosity_is_taken_before_and_after_the_verb(
    arguments: list[str], lab: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """-vv shows the traceback of a bug, wherever it stands."""
    lab.end = lambda: 1 / 0
    code = main(arguments)

    assert code == 4
    assert "Traceback" in capsys.readouterr().err


def test_debugging_is_switched_on_by_the_environment(
    lab: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """UNDERTOW_DEBUG=1, which the line about a bug recommends, shows the traceback."""
    lab.end = lambda: 1 / 0
    monkeypatch.setenv("UNDERTOW_DEBUG", "1")
    main(["run", "owl"])

    assert "ZeroDivisionError" in capsys.readouterr().err.splitlines()[-2]


def test_the_module_is_the_command() -> None:
    """`python -m undertow` does what `undertow` does."""
    done = subprocess.run([*MODULE, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"undertow {__version__}\n"


def _run_into(stdout: object, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*MODULE, *arguments],
        stdout=stdout,  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        env=BUFFERED,
        check=False,
    )


def test_a_reader_that_goes_away_ends_it_silently() -> None:
    """`undertow traits | head -0` exits with 141 and says nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    done = _run_into(writing, "traits")
    os.close(writing)

    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_below_stdout_is_one_line() -> None:
    """Output redirected to where no space is left exits with 4, without a traceback."""
    with open("/dev/full", "wb") as full:
        done = _run_into(full, "traits")

    assert done.returncode == 4
    assert done.stderr.startswith(b"error: no space left on the device\n")
    assert done.stderr.count(b"\n") == 2


def test_output_survives_a_terminal_without_unicode() -> None:
    """A character that stdout cannot encode is spelled out instead of ending the command."""
    script = (
        "import click; from undertow.cli import main; main(['--version']); click.echo('\\u2265')"
    )
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )

    assert done.stdout.splitlines()[-1] == "\\u2265"


def test_every_verb_says_what_it_does() -> None:
    """The list of verbs has a line for each that is not cut off."""
    context = undertow.make_context("undertow", [], resilient_parsing=True)
    lines = [undertow.get_command(context, verb).get_short_help_str(60) for verb in VERBS]  # type: ignore[union-attr]

    assert all(lines)
    assert not [line for line in lines if line.endswith("...")]
