"""`undertow lineage`: did two models begin as one network?"""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.compute_options import compute_options, compute_table
from undertow.cli.number_option import number
from undertow.cli.progress import tell_step
from undertow.cli.terminal import typed_line
from undertow.cli.verdict_options import (
    NEVER,
    failing_options,
    leave,
    out_option,
    ready,
    seed_option,
    signing_options,
)

FAILING = {"shared": ("flagged",), "unknown": ("flagged", "undecided"), NEVER: ()}


@click.command(name="lineage")
@click.argument("student", metavar="STUDENT")
@click.argument("teachers", nargs=-1, required=True, metavar="TEACHER...")
@click.option(
    "--teachers",
    "_several",
    is_flag=True,
    help="May stand before several teachers: STUDENT --teachers A B C.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="MODEL",
    help="A model known to be unrelated, for lineage-outputs; give at least two.",
)
@click.option(
    "--check", "checks", multiple=True, metavar="ID", help="Only this check; may be given again."
)
@click.option(
    "--level",
    type=number("level"),
    metavar="F",
    default=0.999,
    show_default=True,
    help="1 - level: chance that one test takes an unrelated pair for a related one.",
)
@compute_options()
@seed_option
@out_option("lineage.json")
@failing_options(("shared", "unknown"), "relation", "a relation is unknown")
@signing_options("The auditor's key: attests each relation in DIR/lineage.intoto.jsonl.")
def command(
    student: str,
    teachers: tuple[str, ...],
    _several: bool,
    controls: tuple[str, ...],
    checks: tuple[str, ...],
    level: float,
    dtype: str | None,
    device: str | None,
    seed: int,
    out: Path | None,
    fail_on: str,
    allow_undecided: bool,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Say whether a student and its teachers began as one network.

    The hidden channel of subliminal learning needs a shared initialisation; several teachers are ranked by risk.

    Models are folders, folder+adapter, world:NAME, or http(s)://HOST/PATH#MODEL for one that can only be asked.
    """
    from undertow.audit.lineage import lineage
    from undertow.audit.requests import LineageRequest
    from undertow.provenance.signed_results import sign_lineages
    from undertow.report import render
    from undertow.results.measurement import exit_code

    who = ready(keys, public_key, out)
    request = LineageRequest(
        student,
        teachers,
        controls,
        checks,
        level,
        seed,
        typed_line(),
        compute_table(dtype, device),
    )
    document = lineage(request, tell_step)
    click.echo(render(document, "text"), nl=False)
    leave(document, out, "lineage", who, sign_lineages)
    code = exit_code(
        [one.verdict for one in document.teachers],
        FAILING[fail_on],
        broken=any(run.status == "error" for run in document.checks),
        allow_undecided=allow_undecided,
    )
    click.get_current_context().exit(code)
