"""`undertow report`: a stored result in another format, without computing it again."""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.verdict_options import PathHere

FORMATS = ("text", "html", "markdown", "json")
"""Of every result."""

SCAN_FORMATS = (*FORMATS, "sarif")
"""Of a screen."""

CHAIN_FORMATS = (*SCAN_FORMATS, "croissant", "cyclonedx", "hf-card")
"""Of a verification or a decision."""


@click.command(name="report")
@click.argument("result", type=click.Path(path_type=Path), metavar="RESULT.json")
@click.option(
    "--format",
    "form",
    type=click.Choice(CHAIN_FORMATS),
    default="text",
    show_default=True,
    help="What to render; a run has no SARIF, and the last three are for what the gate checked.",
)
@click.option(
    "--output",
    type=PathHere(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it, instead of stdout.",
)
def command(result: Path, form: str, output: Path | None) -> None:
    """
    Render a stored result in another format.

    RESULT.json is a run's results.json, a screen's scan.json, a gate's gate.json, or its directory. Nothing is computed
    again. A run is shown with the scans of its rows, and decisions about them, that lie in its directory.
    """
    from undertow.data.files import atomic_write
    from undertow.report import render
    from undertow.results.run_document import RunDocument
    from undertow.results.store import read_result, read_run_gates, read_run_scans

    document = read_result(result)
    is_run = isinstance(document, RunDocument)
    scans = read_run_scans(result) if is_run else ()
    gates = read_run_gates(result) if is_run else ()
    rendered = render(document, form, str(result), scans, gates)
    if output is not None:
        atomic_write(output, rendered)
        return
    click.echo(rendered, nl=False)
