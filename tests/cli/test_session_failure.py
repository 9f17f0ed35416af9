"""Every way to fail has its exit code, one line, and the next command."""

from __future__ import annotations

import errno
import os

import click
import pytest

from undertow import errors
from undertow.cli.terminal import Session, describe

COMMAND = "undertow run owl"


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (errors.UndertowError("stopped"), 4),
        (errors.ConfigError("owl.toml: unknown key 'sead'"), 2),
        (errors.UnknownNameError("trait", "owll", ["owl"]), 2),
        (errors.NothingLeftError("no row is left"), 3),
        (errors.MissingExtraError("ray", "ray", purpose="the engine 'ray'"), 2),
        (click.UsageError("No such option: --sead"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(), 141),
        (OSError(errno.ENOSPC, "No space left on device", "x.jsonl"), 4),
        (PermissionError(errno.EACCES, "Permission denied", "/runs"), 4),
        (ZeroDivisionError("division by zero"), 4),
        (ModuleNotFoundError("No module named 'peft'", name="peft"), 2),
        (ModuleNotFoundError("No module named 'pfet'", name="pfet"), 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_failure_has_its_exit_code(error: BaseException, exit_code: int) -> None:
    """The exit code says whose turn it is: the user's input, the work, or nobody's."""
    assert describe(_raised(error), Session(), COMMAND).exit_code == exit_code


def test_an_error_says_what_and_the_next_command() -> None:
    """Two lines: what is wrong, and the hint."""
    error = errors.InputError("no trait 'owll'", hint="undertow traits")

    assert describe(error, Session(), COMMAND).text() == (
        "error: no trait 'owll'\n  = help: undertow traits"
    )


def test_a_message_cannot_steer_the_terminal_or_fake_a_line() -> None:
    """Control characters and line breaks in names that end up in messages are escaped."""
    error = errors.DataError("bad row '\x1b[2J\nerror: all clear'", hint="rm '\x07'")

    assert describe(error, Session(), COMMAND).text() == (
        "error: bad row '\\x1b[2J\\nerror: all clear'\n  = help: rm '\\x07'"
    )


def test_an_interruption_names_the_command_that_goes_on() -> None:
    """Once a run has begun, Ctrl-C ends with the command that resumes it; before, there is nothing to resume."""
    begun = describe(KeyboardInterrupt(), Session(resumable=True), COMMAND)
    before = describe(KeyboardInterrupt(), Session(), COMMAND)

    assert begun.hint == f"to go on: {COMMAND}"
    assert before.text() == "error: interrupted"


def test_a_reader_that_went_away_is_told_nothing() -> None:
    """A broken pipe is no failure to talk about."""
    assert describe(BrokenPipeError(), Session(), COMMAND).text() == ""


def test_a_full_disk_is_seen_behind_another_error() -> None:
    """A library's own error that a full disk caused is told as what it is."""
    full = OSError(errno.ENOSPC, "No space left on device", "model.safetensors")
    failure = describe(_raised(RuntimeError("write failed"), full), Session(), COMMAND)

    assert failure.message == "no space left on the device, writing 'model.safetensors'"
    assert COMMAND in failure.hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no space left for 'x/report.html'; nothing was overwritten"),
        (errno.EDQUOT, "cannot write 'x/scan.json': Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_told_with_the_file_that_was_written(code: int, message: str) -> None:
    """The system does not say where a write failed: our error does, and its words stand; those of another matter do not."""
    full = OSError(code, os.strerror(code))
    ours, other = errors.UndertowError(message), errors.UndertowError("the check broke")

    assert describe(_raised(ours, full), Session(), COMMAND).message == message
    assert describe(_raised(other, full), Session(), COMMAND).message == (
        "no space left on the device"
    )


def test_what_may_not_be_written_is_no_bug() -> None:
    """A read-only place is named with what to do and the same command; another refusal of the system with its traceback."""
    read_only = OSError(errno.EROFS, "Read-only file system", "/tmp/x")
    failure = describe(_raised(read_only), Session(), COMMAND)
    other = describe(_raised(OSError(errno.EIO, "I/O error", "/tmp/x")), Session(), COMMAND)

    assert failure.message == "Read-only file system: '/tmp/x'"
    assert failure.hint.endswith(f"(for temporary files: TMPDIR), then: {COMMAND}")
    assert other.hint.startswith("traceback: ")


def test_a_bug_is_one_line_that_says_how_to_see_more() -> None:
    """An unexpected exception shows its type and message, no traceback, and the way to it."""
    text = describe(_raised(ZeroDivisionError("by zero")), Session(verbosity=1), COMMAND).text()

    assert (
        text.splitlines()[0] == "error: unexpected ZeroDivisionError: by zero (a bug in undertow)"
    )
    assert "UNDERTOW_DEBUG=1 undertow run owl" in text
    assert "Traceback" not in text


def test_a_bug_has_its_traceback_where_it_is_asked_for() -> None:
    """With -vv the traceback comes first and the one line last, next to the prompt."""
    text = describe(_raised(ZeroDivisionError("by zero")), Session(verbosity=2), COMMAND).text()

    assert text.startswith("Traceback")
    assert text.splitlines()[-1].startswith("error: unexpected ZeroDivisionError")


def test_a_fault_in_usage_points_at_the_help_of_its_verb() -> None:
    """The hint is the help of the verb that was typed wrongly."""
    context = click.Context(click.Command("run"), info_name="undertow run")
    failure = describe(click.UsageError("No such option", ctx=context), Session(), COMMAND)

    assert failure.hint == "undertow run --help"


def test_a_missing_library_names_its_extra() -> None:
    """An import that fails for want of an optional dependency says what to install."""
    error = ModuleNotFoundError("No module named 'peft'", name="peft")

    assert describe(error, Session(), COMMAND).hint == "pip install 'undertow[lab]'"


def test_a_refusal_without_a_hint_names_the_command_to_type_again() -> None:
    """Every refusal has its line of help."""
    error = errors.InputError("'plan.toml': the key 'rank' is missing")

    assert (
        describe(error, Session(), COMMAND).hint == f"mend what is named, and type again: {COMMAND}"
    )


def test_choices_stand_on_the_same_line() -> None:
    """click lists what may stand there on lines of their own, which would be shown as escapes."""
    choice = click.Argument(["shell"], type=click.Choice(("bash", "zsh")))
    error = click.MissingParameter(param=choice)

    assert "\\" not in describe(error, Session(), COMMAND).text()
    assert "bash, zsh" in describe(error, Session(), COMMAND).text()
