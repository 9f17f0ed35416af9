"""The exit codes of every verb and what they mean; README's table is tested against this one."""

from __future__ import annotations

EXIT_CODES = {
    0: "all clear",
    1: "flagged at `--fail-on` or above",
    2: "usage or invalid input",
    3: "nothing audited: no row left, or no check could be made",
    4: "could not finish",
    5: "undecided or skipped",
    130: "interrupted (Ctrl-C)",
    141: "the reader of the output went away",
}
"""Meaning by code; where several apply, the precedence is 2 > 3 > 1 > 4 > 5."""

USAGE = 2
UNFINISHED = 4
INTERRUPTED = 130
BROKEN_PIPE = 141
