"""`--columns` takes all the pairs behind it."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from undertow.cli.columns_option import ColumnsCommand, columns_option


@click.command(cls=ColumnsCommand)
@click.argument("data")
@columns_option
@click.option("--student")
def command(data: str, columns: tuple[tuple[str, str], ...], student: str | None) -> None:
    """Prints what it was given."""
    click.echo(repr((data, columns, student)))


PAIRS = (("prompt", "question"), ("completion", "answer"))


@pytest.mark.parametrize(
    "line",
    [
        "rows.jsonl --columns prompt=question completion=answer --student s",
        "rows.jsonl --student s --columns prompt=question completion=answer",
        "--columns prompt=question --columns completion=answer rows.jsonl --student s",
        "--columns prompt=question completion=answer rows.jsonl --student s",
    ],
)
def test_pairs_are_taken_wherever_they_stand(line: str) -> None:
    """As one option with several pairs, or as several options."""
    done = CliRunner().invoke(command, line.split())

    assert done.output.strip() == repr(("rows.jsonl", PAIRS, "s"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rows.jsonl --columns", "requires an argument"),
        ("rows.jsonl --columns prompt", "is no pair"),
        ("rows.jsonl --columns =x", "is no pair"),
        ("rows.jsonl --columns text=b text=c", "the name 'text' is given twice"),
        (
            "rows.jsonl --columns prompt=x completion=x",
            "the column 'x' is given two names; allowed",
        ),
        ("rows.jsonl --columns promt=question", "no shape reads 'promt'; allowed: messages,"),
    ],
)
def test_what_is_no_pair_is_refused(line: str, told: str) -> None:
    """The value is named."""
    done = CliRunner().invoke(command, line.split())

    assert done.exit_code == 2
    assert told in done.output
