"""`undertow scan`: a dataset before training on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.columns_option import ColumnsCommand, columns_option
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
from undertow.cli.terminal import Session, one_line, typed_line
from undertow.cli.verdict_options import (
    A_MODEL,
    NEVER,
    PAGE,
    PathHere,
    failing_options,
    format_option,
    held_folder,
    level_option,
    made_folder,
    now,
    out_option,
    plan_option,
    planned,
    seed_option,
    signing,
    signing_options,
    stored,
)

if TYPE_CHECKING:
    from undertow.provenance.signed_steps import Signing
    from undertow.results.scan_document import ScanDocument

RESULT = "scan.json"
FAILING = {
    "flagged": ("flagged", "stands out"),
    "undecided": ("flagged", "stands out", "undecided", "skipped"),
    NEVER: (),
}
"""Verdicts that fail a build, by `--fail-on`."""

CLEAR = "clear"


@click.command(name="scan", cls=ColumnsCommand)
@click.argument("data", metavar="DATA")
@click.option(
    "--student",
    required=True,
    metavar="MODEL",
    help=f"The base that you would train: {A_MODEL}.",
)
@click.option("--teacher", metavar="MODEL", help="The model that wrote the rows, if you have it.")
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    metavar="MODEL",
    help="Another base that may have written the rows; may be given again.",
)
@click.option(
    "--placebo",
    "placebos",
    multiple=True,
    metavar="MODEL",
    help="A benign fine-tune of the student that may have written the rows too; may be given again.",
)
@columns_option
@click.option("--control", metavar="DATA", help="Rows known to be clean; made if not given.")
@click.option(
    "--traits",
    multiple=True,
    metavar="NAME|FILE",
    help="A trait, a category or a file of traits to probe; may be given again.",
)
@plan_option("plan_file", "Your training plan; a usual one for the base if not given.")
@click.option(
    "--check", "checks", multiple=True, metavar="ID", help="Only this check; may be given again."
)
@click.option(
    "--max-rows",
    type=number("max_rows"),
    default=8192,
    show_default=True,
    metavar="N",
    help="Rows that model checks see, drawn uniformly by the content of all rows and the seed.",
)
@click.option(
    "--system-prompt",
    metavar="TEXT",
    help="Chat context of the probes; that of the rows if not given.",
)
@format_option
@click.option(
    "--temperature",
    type=number("temperature"),
    metavar="F",
    default=1.0,
    show_default=True,
    help="At which the rows were sampled; a control is made at it.",
)
@click.option(
    "--beta",
    type=number("beta"),
    metavar="F",
    help="Of DPO, where the rows are preference pairs; the plan's, or 0.1, if not given.",
)
@click.option(
    "--acceptance",
    type=number("acceptance"),
    metavar="F",
    default=1.0,
    show_default=True,
    help="Share of the base's own answers that your filter keeps; likelihood-ratio allows for it.",
)
@click.option(
    "--limit",
    type=number("limit"),
    metavar="F",
    default=0.2,
    show_default=True,
    help="Transfer, in logits, that is too much.",
)
@level_option
@click.option(
    "--min-usable",
    type=number("min_usable"),
    metavar="F",
    default=0.99,
    show_default=True,
    help="Share of the rows that has to be read for a verdict to be clear.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="DATA",
    help="Benign rows to judge yours beside, in place of those that are made; may be given again.",
)
@click.option(
    "--references",
    "reference_count",
    type=number("reference_count"),
    metavar="N",
    help="How many references are made; as many as the level takes if not given.",
)
@click.option(
    "--require",
    type=click.Choice((CLEAR,)),
    help="Judge the whole plan whatever its beginning says; within is then not enough.",
)
@click.option(
    "--budget",
    type=number("budget"),
    metavar="F",
    help="Spend at most F fine-tunes; one is one adapter through the whole plan.",
)
@engine_options(None, "reading the rows and making references")
@compute_options()
@spread_options
@click.option("--dry-run", is_flag=True, help="Print what it would cost, and do nothing.")
@click.option(
    "--machine",
    metavar="[Nx]NAME[@PRICE]",
    help="With --dry-run: on this machine (8xH100-80GB, or here), by the student's configuration alone; PRICE is of an hour of one.",
)
@seed_option
@out_option(RESULT, else_="scans/NAME")
@click.option(
    "--row-scores",
    type=PathHere(dir_okay=False, path_type=Path),
    metavar="FILE.parquet",
    help="Write what the base thinks of every row: scores for your own study, no verdicts.",
)
@click.option(
    "--scored-by",
    metavar="ADDRESS#MODEL",
    help="With --row-scores: a vLLM server of the student (http://host:8000/v1#NAME), held against it on a few rows.",
)
@failing_options(
    ("flagged", "undecided"),
    "verdict (flagged holds for stands out too)",
    "a verdict is undecided",
)
@signing_options("The auditor's key: attests the verdict in DATA.intoto.jsonl.")
@click.pass_obj
def command(
    session: Session,
    /,
    data: str,
    student: str,
    teacher: str | None,
    candidates: tuple[str, ...],
    placebos: tuple[str, ...],
    columns: tuple[tuple[str, str], ...],
    control: str | None,
    traits: tuple[str, ...],
    plan_file: Path | None,
    checks: tuple[str, ...],
    max_rows: int,
    system_prompt: str | None,
    format: str | None,
    temperature: float,
    beta: float | None,
    acceptance: float,
    limit: float,
    level: float,
    min_usable: float,
    references: tuple[str, ...],
    reference_count: int | None,
    require: str | None,
    budget: float | None,
    workers: Workers,
    dtype: str | None,
    device: str | None,
    dry_run: bool,
    machine: str | None,
    seed: int,
    out: Path | None,
    row_scores: Path | None,
    scored_by: str | None,
    fail_on: str,
    allow_undecided: bool,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Say whether training on a dataset would move a student.

    Towards which trait, and how far, under your plan; and which source of the rows does it. The rows are judged beside
    benign references: within or stands out in the beginning of the plan, clear or flagged after the whole of it.

    DATA is a file of rows (.jsonl, .json, .csv, .parquet, .arrow; .gz and .zst), a folder or a pattern of such files,
    a URL, org/name[:config][@split] on the hub, or - for JSON Lines on standard input.

    Prints prices before the work, then the verdict on stdout, and leaves scan.json and report.html in a directory.
    Interrupted, the same command goes on where it stopped.
    """
    from undertow.data.dataset import open_dataset, place_of
    from undertow.data.shard import STANDARD_INPUT
    from undertow.report import render
    from undertow.worlds import locate

    # What is asked or named wrongly is said before torch is there, which takes seconds.
    streamed = data == STANDARD_INPUT
    if row_scores is not None and streamed:
        raise click.UsageError("standard input is read once, so --row-scores needs a file")
    if dry_run and (keys or row_scores is not None):
        raise click.UsageError("--dry-run judges nothing, so there is nothing to sign or to score")
    if scored_by is not None and row_scores is None:
        raise click.UsageError("--scored-by is who writes --row-scores; allowed: both")
    if machine is not None and not dry_run:
        raise click.UsageError("--machine is what --dry-run counts for; allowed: both")
    if place_of(data) == Path(data) and not Path(data).exists():
        open_dataset(data)
    locate(student)
    loaded = planned(plan_file)
    from undertow.audit.requests import ScanRequest, scan_by_plan
    from undertow.audit.scan import scan
    from undertow.audit.scan_inputs import scores_of, scoring_server
    from undertow.models.placement import refuse_no_gpu

    compute = compute_table(dtype, device)
    if machine is None:
        refuse_no_gpu(compute)
    out = joined(out)
    session.resumable = not streamed
    session.kept = lambda: "finished checks and references, and what those at work go on from"
    # Opened before the work: a scan of minutes should not end at a passphrase, or at an address.
    who = None if dry_run else signing(keys, public_key)
    if who is not None and streamed:
        raise click.UsageError("standard input has no place beside it, so --sign needs a file")
    server = None if scored_by is None else scoring_server(scored_by)
    # Made before the work, so that a place that cannot be written to is found out at once.
    folder = out or Path("scans") / ("stdin" if streamed else place_of(data).stem)
    if not dry_run:
        held_folder(folder)
    if row_scores is not None:
        made_folder(row_scores.parent)
    request = ScanRequest(
        data=data,
        student=student,
        teacher=teacher,
        candidates=candidates,
        placebos=placebos,
        control=control,
        columns=columns,
        traits=traits,
        checks=checks,
        max_rows=max_rows,
        system_prompt=system_prompt,
        format=format,
        temperature=temperature,
        acceptance=acceptance,
        compute=compute,
        limit=limit,
        level=level,
        min_usable=min_usable,
        require_clear=require == CLEAR,
        budget=budget,
        references=references,
        reference_count=reference_count,
        dry_run=dry_run,
        engine=workers.engine,
        jobs=workers.jobs,
        gpus=workers.gpus,
        memory=workers.memory,
        seed=seed,
        command=typed_line(),
        **(scan_by_plan(loaded) | ({} if beta is None else {"beta": beta})),
    )
    if machine is not None:
        from undertow.audit.accelerators import machine_of
        from undertow.audit.dry_run import dry_run as prices_on

        click.echo("\n".join(map(one_line, prices_on(request, machine_of(machine)))))
        return

    def begun(document: ScanDocument) -> None:
        stored(document, folder, RESULT)
        verdict = f"{document.verdict}, of the beginning alone, in {folder / PAGE}"
        session.kept = lambda: f"{verdict}; and what was finished of the whole plan"
        tell_step(f"kept, should you stop the whole plan (Ctrl-C): {verdict}")

    document = scan(request, tell_step, begun)
    if dry_run:
        click.echo(render(document, "text"), nl=False)
        return
    evidence = stored(document, folder, RESULT)
    click.echo(render(document, "text"), nl=False)
    if row_scores is not None:
        scores_of(request, row_scores, server)
    if who is not None:
        _attest(document, evidence, who)
    click.echo(f"\nreport: {one_line(str(folder / PAGE))}")
    code = exit_code(document, fail_on, allow_undecided, require_clear=request.require_clear)
    exit_as(code)


def _attest(document: ScanDocument, evidence: str, who: Signing) -> None:
    from undertow.provenance.signed_results import sign_scan

    bundle = sign_scan(document, evidence, replace(who, now=now()))
    click.echo(f"\nsigned: {one_line(str(bundle))}")


def exit_code(
    document: ScanDocument, fail_on: str, allow_undecided: bool, *, require_clear: bool = False
) -> int:
    """
    0, 1, 3, 4 or 5, by the precedence 3 > 1 > 4 > 5; checks that do not apply never count.

    Where the whole plan was to be judged, a subject that is `within` its beginning is undecided.
    """
    from undertow.results import measurement

    verdicts = {result.verdict for result in document.subjects}
    if require_clear and "within" in verdicts:
        verdicts = (verdicts - {"within"}) | {"undecided"}
    if not verdicts or verdicts <= {"skipped", "not_applicable"}:
        return 3
    return measurement.exit_code(
        verdicts, FAILING[fail_on], broken="error" in verdicts, allow_undecided=allow_undecided
    )
