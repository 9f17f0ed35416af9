"""
`undertow diff`: a tuned model against its base.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

import click

from undertow.cli.printable import one_line
from undertow.cli.signing import signing, signing_options

RESULT, PAGE, BUNDLE = "diff.json", "report.html", "diff.intoto.jsonl"
NEVER = "never"


@click.command(name="diff")
@click.argument("base", metavar="BASE")
@click.argument("tuned", nargs=-1, required=True, metavar="TUNED...")
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="MODEL|DATA",
    help="A benign fine-tune of the base; or clean rows, on which control students are trained.",
)
@click.option(
    "--students",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="Control students that are trained on clean rows.",
)
@click.option(
    "--plan",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The control students' training plan (TOML): the one that you tuned with.",
)
@click.option(
    "--traits",
    multiple=True,
    metavar="NAME|FILE",
    help="A trait, a category or a file of traits to judge; all that can be asked if not given.",
)
@click.option(
    "--intended",
    multiple=True,
    metavar="NAME|FILE",
    help="A trait, a category or a file of traits whose change was asked for.",
)
@click.option(
    "--check", "checks", multiple=True, metavar="ID", help="Only this check; may be given again."
)
@click.option("--system-prompt", metavar="TEXT", help="Chat context of the questions.")
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    help="Change that is too much; 0.2 logits, or 0.05 of a log's score, if not given.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write diff.json and report.html; nothing is written if not given.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("flagged", "undecided", NEVER)),
    default="flagged",
    show_default=True,
    help="The verdict from which the exit code is 1.",
)
@click.option("--allow-undecided", is_flag=True, help="Exit with 0 where a verdict is undecided.")
@signing_options("The auditor's key: attests the verdict in DIR/diff.intoto.jsonl.")
def command(
    base: str,
    tuned: tuple[str, ...],
    plan: Path | None,
    limit: float | None,
    out: Path | None,
    fail_on: str,
    allow_undecided: bool,
    keys: tuple[str, ...],
    public_key: str | None,
    **options: object,
) -> None:
    """
    Say what a fine-tune changed that nobody asked for.

    Several tuned models are taken for runs of one training. Tuned minus base is change; only tuned minus control is
    transfer: the result says which it is, and what its intervals are about.

    BASE and TUNED may also be two logs of Inspect AI (.eval or .json) of one task: they are paired by question.
    """
    from undertow.audit.diff import diff
    from undertow.audit.diff_document import DiffRequest
    from undertow.audit.eval_logs import diff_logs, is_log
    from undertow.audit.plans import load_plan
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
    logs = all(map(is_log, (base, *tuned)))
    request = DiffRequest(
        base,
        tuned,
        limit=limit or (0.05 if logs else 0.2),
        plan=load_plan(plan) if plan else None,
        command=shlex.join(["undertow", *sys.argv[1:]]),
        **options,  # type: ignore[arg-type]
    )
    if logs:
        document = diff_logs(request)
    else:
        document = diff(request, lambda doing: click.echo(f"… {one_line(doing)}", err=True))
    click.echo(render(document, "text"), nl=False)
    if out is not None:
        write_result(out / RESULT, document)
        atomic_write(out / PAGE, render(document, "html"))
        if who is not None:
            from undertow.provenance.model_audits import sign_diff

            evidence = hashlib.sha256((out / RESULT).read_bytes()).hexdigest()
            sign_diff(document, evidence, out / BUNDLE, who)
            click.echo(f"\nsigned: {one_line(str(out / BUNDLE))}")
        click.echo(f"\nreport: {one_line(str(out / PAGE))}")
    broken = any(run.status == "error" for run in document.checks)
    click.get_current_context().exit(_code(document.verdict, fail_on, allow_undecided, broken))


def _code(verdict: str, fail_on: str, allow_undecided: bool, broken: bool) -> int:
    failing = {"flagged": ("flagged",), "undecided": ("flagged", "undecided"), NEVER: ()}
    if verdict in failing[fail_on]:
        return 1
    if broken:
        return 4
    return 5 if verdict in ("undecided", "skipped") and not allow_undecided else 0
