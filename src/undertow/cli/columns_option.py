"""`--columns prompt=question completion=answer`: which column is what, for rows of no known shape."""

from __future__ import annotations

import os
import shlex
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


def needed(data: str) -> tuple[list[str], str]:
    """
    The words of the option that the first row of data on this machine needs, and what is to be known if they are not it all.

    Neither for data that is not here, or cannot be read: a scan says why.
    """
    from undertow.data.column_names import NAME_THEM, advised
    from undertow.data.record_turns import RecordError
    from undertow.data.records import usable
    from undertow.data.row_shapes import NoShapeError

    record = _first_record(data)
    try:
        if record is not None:
            usable(record, None, wrapped=False)
    except NoShapeError:
        way = advised(record)
        if way.startswith(_OPTION) and ", or " not in way:
            return shlex.split(way), ""
        if way:
            return [], f"no row of '{data}' is read as it is: {way}"
        return [_OPTION, "prompt=COLUMN", "completion=COLUMN"], f"of '{data}': {NAME_THEM}"
    except RecordError:
        # Of this row alone.
        pass
    return [], ""


def _first_record(data: str) -> object:
    from undertow.data.dataset import open_dataset
    from undertow.data.shard_records import shard_records
    from undertow.errors import UndertowError

    if not os.path.exists(data):
        return None
    try:
        shard = open_dataset(data).shards[0]
        return next((one for _, one in shard_records(shard, lambda *_, **__: None)), None)
    except UndertowError:
        return None


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
