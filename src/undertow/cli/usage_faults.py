"""What click refuses, in undertow's words: what a missing option takes, which numbers are allowed, a verb without its part."""

from __future__ import annotations

import re

import click


def fault_line(error: click.ClickException) -> str:
    """The message on one line; click lists choices on lines of their own, and names a range that it does not say."""
    message = " ".join(error.format_message().split())
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param else None
    if isinstance(kind, click.IntRange | click.FloatRange):
        whole = "whole number" if isinstance(kind, click.IntRange) else "number"
        allowed = f"is no {whole}; allowed: {range_in_words(kind)}"
        message = re.sub(r"is not a valid (float|integer) range\.?$", allowed, message)
    return message


def way_out(error: click.ClickException) -> str:
    """The next command; of an option that is missing, what it takes as well."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    line = f"{context.command_path if context else 'undertow'} --help"
    option = error.param if isinstance(error, click.MissingParameter) else None
    if not isinstance(option, click.Option) or not option.help:
        return line
    metavar = f" {option.metavar}" if option.metavar else ""
    return f"{option.opts[0]}{metavar}: {option.help.rstrip('.')}; all options: {line}"


def whole_help(error: click.ClickException) -> str:
    """The help of a verb that was typed without its part, as bare `undertow` has it; empty for any other fault."""
    # Not a class of every click that is allowed: older ones print the help themselves.
    asked = type(error).__name__ == "NoArgsIsHelpError"
    return error.format_message() if asked else ""


def range_in_words(kind: click.IntRange | click.FloatRange) -> str:
    """
    The numbers of a range.

    >>> range_in_words(click.FloatRange(min=0, min_open=True, max=1))
    'above 0, at most 1'
    """
    least, most = kind.min_open, kind.max_open
    words = [] if kind.min is None else [f"{'above' if least else 'at least'} {kind.min:g}"]
    words += [] if kind.max is None else [f"{'below' if most else 'at most'} {kind.max:g}"]
    return ", ".join(words)
