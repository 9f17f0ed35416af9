"""The command line: one file per verb, and the only place that prints, catches or exits."""

from undertow.cli.verbs import main

__all__ = ["main"]
