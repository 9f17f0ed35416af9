"""`undertow verify`: the whole chain behind a dataset, checked offline."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from undertow.cli.checking import checked, checking_options


@click.command(name="verify")
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA")
@click.option(
    "--student",
    metavar="MODEL",
    help="The base that you would train, to say who shares its initialisation.",
)
@checking_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown", "sarif")),
    default="text",
    show_default=True,
    help="What to print; the facts are in the JSON.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    help="Store the result, for `undertow report`.",
)
def command(
    data: Path,
    student: str | None,
    bundles: tuple[Path, ...],
    trust: Path,
    root: Path | None,
    least_version: int,
    at: str | None,
    form: str,
    out: Path | None,
) -> None:
    """
    Say who made a dataset, and whether they can prove it.

    Walks from the data to the models and the data behind it, and says of each link that does not hold which key,
    what was expected and found, and what to do. Exit code 0 if every link holds, 1 if not.
    """
    from undertow.report import render
    from undertow.results.store import write_result

    again = shlex.join(["undertow", *sys.argv[1:]])
    document = checked(data, student, bundles, trust, root, least_version, at, again)
    if out is not None:
        write_result(out, document)
    click.echo(render(document, form), nl=False)
    click.get_current_context().exit(0 if document.verdict == "verified" else 1)
