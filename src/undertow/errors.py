"""
Every error that undertow raises on purpose, in one tree.

    UndertowError                 4  could not finish
    ├── InputError                2  usage, configuration or data that cannot be used
    │   ├── UnknownNameError      2  a name that is not in a closed list (says which names are)
    │   ├── ConfigError           2  a key or value of a TOML file
    │   ├── DataError             2  a file of rows
    │   ├── ModelError            2  a model, adapter or tokenizer that cannot be used
    │   ├── ProvenanceError       2  an attestation, key, trust file or policy that cannot be used
    │   └── RunDirectoryError     2  a run directory that belongs to another experiment or process
    ├── NothingLeftError          3  every row was removed, or nothing could be audited
    └── MissingExtraError         2  an optional dependency is not installed

A message says what is wrong, where, the value and the allowed ones; `hint` is the next command to type.
Only `undertow.cli` catches these, prints them and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UndertowError(Exception):
    """Something went wrong that the user can act on."""

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def say_more(self, words: str) -> None:
        """Add to the message what is known only further up, such as where it happened."""
        self.message += words
        self.args = (self.message,)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries in `engines`; keyword arguments are lost otherwise.
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[UndertowError], message: str, hint: str) -> UndertowError:
    error = kind.__new__(kind)
    UndertowError.__init__(error, message, hint=hint)
    return error


class InputError(UndertowError):
    """The command line, a configuration or a file cannot be used as it is."""

    exit_code = 2


class ConfigError(InputError):
    """A key or value in an experiment, trait or plan file is wrong."""


class DataError(InputError):
    """A file of rows cannot be read; names the file and the row."""


class ModelError(InputError):
    """A model, adapter or tokenizer is missing, malformed or lacks what is needed."""


class FormatNotKeptError(ModelError):
    """A model answers too few prompts in the format that is asked for."""


class ProvenanceError(InputError):
    """An attestation, a key, a trust file or a policy cannot be used; never that something is not proved."""


class RunDirectoryError(InputError):
    """A run directory belongs to another experiment, or another process is using it."""


class NothingLeftError(UndertowError):
    """No row is left after the filter, or no check could be made."""

    exit_code = 3


class MissingExtraError(InputError):
    """The work needs an optional dependency that is not installed."""

    def __init__(self, package: str, extra: str, *, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed",
            hint=f"pip install 'undertow[{extra}]'",
        )


class UnknownNameError(InputError):
    """A name is not one of a closed list; the message lists the allowed ones and the nearest."""

    def __init__(
        self, kind: str, value: str, allowed: Iterable[str], *, where: str = "", hint: str = ""
    ) -> None:
        names = sorted(allowed)
        place = f" in {where}" if where else ""
        super().__init__(
            f"unknown {kind} '{value}'{place}; allowed: {', '.join(names)}{nearest(value, names)}",
            hint=hint,
        )


def nearest(value: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'X'?` for the allowed name nearest to the value, or nothing."""
    close = difflib.get_close_matches(value, list(allowed), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def first_line(error: BaseException) -> str:
    """The sentence of an error that says most: torch puts a heading above it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[1] if lines[0].startswith("Error(s) in loading") and len(lines) > 1 else lines[0]
