"""
`undertow lineage`: did two models begin as one network?
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

import click

from undertow.cli.printable import one_line
from undertow.cli.signing import signing, signing_options

RESULT, PAGE, BUNDLE = "lineage.json", "report.html", "lineage.intoto.jsonl"
NEVER = "never"


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
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    default=0.999,
    show_default=True,
    help="1 - level: chance that one test takes an unrelated pair for a related one.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write lineage.json and report.html; nothing is written if not given.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("shared", "unknown", NEVER)),
    default="shared",
    show_default=True,
    help="The relation from which the exit code is 1.",
)
@click.option("--allow-undecided", is_flag=True, help="Exit with 0 where a relation is unknown.")
@signing_options("The auditor's key: attests each relation in DIR/lineage.intoto.jsonl.")
def command(
    student: str,
    teachers: tuple[str, ...],
    _several: bool,
    controls: tuple[str, ...],
    checks: tuple[str, ...],
    level: float,
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
    from undertow.audit.lineage import LineageRequest, lineage
    from undertow.cli.scan import made_folder
    from undertow.data.writing import atomic_write
    from undertow.report import render
    from undertow.results.store import write_result

    # Opened before the work, which should not end at a passphrase.
    who = signing(keys, public_key)
    if who is not None and out is None:
        raise click.UsageError("--sign needs --out: what is signed rests on the stored result")
    if out is not None:
        made_folder(out)
    request = LineageRequest(
        student,
        teachers,
        controls,
        checks,
        level,
        seed,
        shlex.join(["undertow", *sys.argv[1:]]),
    )
    document = lineage(request, lambda doing: click.echo(f"… {one_line(doing)}", err=True))
    click.echo(render(document, "text"), nl=False)
    if out is not None:
        write_result(out / RESULT, document)
        atomic_write(out / PAGE, render(document, "html"))
        if who is not None:
            from undertow.provenance.model_audits import sign_lineages

            evidence = hashlib.sha256((out / RESULT).read_bytes()).hexdigest()
            sign_lineages(document, evidence, out / BUNDLE, who)
            click.echo(f"\nsigned: {one_line(str(out / BUNDLE))}")
        click.echo(f"\nreport: {one_line(str(out / PAGE))}")
    verdicts: set[str] = {one.verdict for one in document.teachers}
    broken = any(run.status == "error" for run in document.checks)
    click.get_current_context().exit(_code(verdicts, fail_on, allow_undecided, broken))


def _code(verdicts: set[str], fail_on: str, allow_undecided: bool, broken: bool) -> int:
    failing = {"shared": {"flagged"}, "unknown": {"flagged", "undecided"}, NEVER: set[str]()}
    if verdicts & failing[fail_on]:
        return 1
    if broken:
        return 4
    return 5 if "undecided" in verdicts and not allow_undecided else 0
