"""`undertow diff`: a tuned model against its base."""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.compute_options import (
    Workers,
    compute_options,
    compute_table,
    engine_options,
    exit_as,
    joined,
    spread_options,
)
from undertow.cli.number_option import number
from undertow.cli.progress import tell_step
from undertow.cli.terminal import typed_line
from undertow.cli.verdict_options import (
    NEVER,
    PathHere,
    failing_options,
    format_option,
    leave,
    level_option,
    out_option,
    plan_option,
    planned,
    ready,
    seed_option,
    signing_options,
)

FAILING = {"flagged": ("flagged",), "undecided": ("flagged", "undecided"), NEVER: ()}


@click.command(name="diff")
@click.argument("base", metavar="BASE")
@click.argument("tuned", nargs=-1, required=True, metavar="TUNED...")
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="MODEL|DATA|FILE.safetensors|shipped",
    help="A benign fine-tune of the base; clean rows, on which control students are trained; kept readings of such; or "
    "those that ship for a base of the embedded world.",
)
@click.option(
    "--keep-controls",
    type=PathHere(dir_okay=False, path_type=Path),
    metavar="FILE.safetensors",
    help="Keep the controls' readings for another diff.",
)
@click.option(
    "--teacher",
    metavar="MODEL",
    help="A model that may have written the data: do activations move its way?",
)
@click.option(
    "--students",
    type=number("students"),
    metavar="N",
    help="Control students that are trained on disjoint parts of clean rows; 8 of one file, one of each of several, if not "
    "given.",
)
@click.option(
    "--rows",
    type=number("rows"),
    metavar="N",
    help="Rows that the model was tuned on, of which each control student gets as many; those that the plan's max_steps see, "
    "if not given.",
)
@click.option(
    "--own-rows",
    is_flag=True,
    help="Several tuned models learned from rows of their own each, not from the same.",
)
@plan_option("plan_file", "The control students' training plan, the one that you tuned with.")
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
@format_option
@click.option(
    "--limit",
    type=number("limit"),
    metavar="F",
    help="Change that is too much; 0.2 logits, or 0.05 of a log's score, if not given.",
)
@level_option
@engine_options(default=None, what="reading models and training control students")
@compute_options()
@spread_options
@seed_option
@out_option("diff.json")
@failing_options(("flagged", "undecided"), "verdict", "a verdict is undecided")
@signing_options("The auditor's key: attests the verdict in DIR/diff.intoto.jsonl.")
def command(
    base: str,
    tuned: tuple[str, ...],
    controls: tuple[str, ...],
    keep_controls: Path | None,
    teacher: str | None,
    students: int | None,
    rows: int | None,
    own_rows: bool,
    plan_file: Path | None,
    traits: tuple[str, ...],
    intended: tuple[str, ...],
    checks: tuple[str, ...],
    system_prompt: str | None,
    format: str | None,
    limit: float | None,
    level: float,
    workers: Workers,
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
    Say what a fine-tune changed that nobody asked for.

    Several tuned models are taken for runs of one training on the same rows. Tuned minus base is change; only tuned minus control is
    transfer: the result says which it is, and what its intervals are about.

    BASE and TUNED may also be two logs of Inspect AI (.eval or .json) of one task: they are paired by question.
    """
    from undertow.audit.diff import diff
    from undertow.audit.eval_logs import diff_logs, is_log
    from undertow.audit.requests import DiffRequest, by_plan
    from undertow.models.placement import refuse_no_gpu
    from undertow.provenance.signed_results import sign_diff
    from undertow.report import render
    from undertow.results.measurement import exit_code

    loaded = planned(plan_file)
    compute = compute_table(dtype, device)
    if not (logs := all(map(is_log, (base, *tuned)))):
        refuse_no_gpu(compute)
    out = joined(out)
    who = ready(keys, public_key, out)
    request = DiffRequest(
        base,
        tuned,
        controls=controls,
        keep_controls=keep_controls,
        teacher=teacher,
        students=students,
        rows=rows,
        compute=compute,
        own_rows=own_rows,
        traits=traits,
        intended=intended,
        checks=checks,
        system_prompt=system_prompt,
        format=format,
        limit=limit or (0.05 if logs else 0.2),
        level=level,
        engine=workers.engine,
        jobs=workers.jobs,
        gpus=workers.gpus,
        memory=workers.memory,
        seed=seed,
        command=typed_line(),
        **by_plan(loaded),
    )
    document = diff_logs(request) if logs else diff(request, tell_step)
    click.echo(render(document, "text"), nl=False)
    leave(document, out, "diff", who, sign_diff)
    code = exit_code(
        [document.verdict],
        FAILING[fail_on],
        broken=any(run.status == "error" for run in document.checks),
        allow_undecided=allow_undecided,
    )
    exit_as(code)
