"""`--columns prompt=question completion=answer`: which column is what, for rows of no known shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

_OPTION = "--columns"


class ColumnsCommand(click.Command):
    """A command whose `--columns` takes all the pairs that follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the option before every further pair, since click's options take one value."""
        return super().parse_args(ctx, list(_spread(args)))


def columns_option(function: Any) -> Any:
    """`--columns`, as pairs of a shape's name and the column's own."""
    return click.option(
        _OPTION,
        multiple=True,
        callback=lambda ctx, option, values: _pairs(values),
        metavar="NAME=COLUMN …",
        help="Which column is what, in rows of no known shape: prompt=question completion=answer; NAME= leaves one out.",
    )(function)


def _spread(args: Sequence[str]) -> list[str]:
    made: list[str] = []
    behind_pair = False
    for arg in args:
        if behind_pair and "=" in arg and not arg.startswith("-"):
            made.append(_OPTION)
        else:
            behind_pair = made[-1:] == [_OPTION]
        made.append(arg)
    return made


def _pairs(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [value.partition("=") for value in values]
    for value, (name, sign, _) in zip(values, pairs, strict=True):
        if not name or not sign:
            raise click.BadParameter(f"'{value}' is no pair; allowed: NAME=COLUMN")
    columns = tuple((name, column) for name, _, column in pairs)
    if fault := _fault(columns):
        raise click.BadParameter(fault)
    return columns


def _fault(columns: tuple[tuple[str, str], ...]) -> str:
    # What shapes there are is not imported for the help.
    from undertow.data.column_names import columns_fault

    return columns_fault(columns)
