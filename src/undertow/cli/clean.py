"""`undertow clean`: countermeasures on the rows of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.compute_options import Workers, compute_options, compute_table, engine_options
from undertow.cli.terminal import one_line, tell_notes
from undertow.cli.verdict_options import PathHere, seed_option, signing, signing_options

if TYPE_CHECKING:
    from undertow.mitigate.rows.clean_request import Cleaned, Cleaning, Method
    from undertow.provenance.signed_steps import Signing

METHODS = (
    "drop-sources",
    "deduplicate",
    "delete",
    "dilute",
    "mask-tokens",
    "replace-tokens",
    "rewrite",
    "inoculate",
    "reword",
)

NEXT = {
    "mask-tokens": "next: train on it with TRL's SFTTrainer as it is; its labels leave the masked tokens out",
    "inoculate": "next: train on it, and use the student without the system prompt",
}
"""Where a scan of what was written would not see what was done."""


@click.command(name="clean")
@click.argument("data", metavar="DATA")
@click.option(
    "--scan",
    "scanned",
    required=True,
    type=click.Path(path_type=Path),
    metavar="SCAN.json",
    help="The scan of these very rows.",
)
@click.option("--method", required=True, type=click.Choice(METHODS), help="What to do.")
@click.option(
    "--out",
    required=True,
    type=PathHere(dir_okay=False, path_type=Path),
    metavar="FILE.jsonl",
    help="Where to write the rows that are left; a ledger goes beside it.",
)
@click.option(
    "--with",
    "clean_rows",
    metavar="DATA",
    help="Rows known to be clean, to dilute in.",
)
@click.option(
    "--dose",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="F",
    help="Share of DATA's rows that a dilution or a rewriting leaves; what the scan advises if not given.",
)
@click.option(
    "--scores",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.parquet",
    help="Row scores of the scan, to delete by.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="F",
    help="Of the rows that are deleted (0.1), or of the tokens that are masked or replaced (0.4).",
)
@click.option("--at-random", is_flag=True, help="Take as many by lot: the arm to compare with.")
@click.option(
    "--trait",
    metavar="TRAIT",
    help="Choose the tokens that a prompt for this trait moves most, or inoculate against it.",
)
@click.option(
    "--teacher",
    metavar="MODEL",
    help="Choose the tokens on which this model departs most from the student's base.",
)
@click.option(
    "--model", metavar="MODEL", help="Who writes rows anew; the student's base if not given."
)
@click.option(
    "--instruction",
    metavar="TEXT",
    help="What that model is asked, with {completion} put in; the row's own prompt if not given.",
)
@click.option("--system", metavar="TEXT", help="System prompt to inoculate with.")
@click.option("--undecided", is_flag=True, help="Drop undecided sources too.")
@click.option(
    "--student",
    metavar="MODEL",
    help="The base that will be trained; refused if the scan was for another.",
)
@engine_options(
    None, "working on the rows", " (if not given: reading over processes where that is quicker)"
)
@compute_options()
@seed_option
@signing_options("The producer's key: attests the filter in FILE.intoto.jsonl.")
def command(
    data: str,
    scanned: Path,
    method: Method,
    out: Path,
    clean_rows: str | None,
    dose: float | None,
    scores: Path | None,
    share: float | None,
    at_random: bool,
    trait: str | None,
    teacher: str | None,
    model: str | None,
    instruction: str | None,
    system: str | None,
    undecided: bool,
    student: str | None,
    workers: Workers,
    dtype: str | None,
    device: str | None,
    seed: int,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Apply a countermeasure to the rows of a dataset.

    Every row that goes or changes is in a ledger. Deleting flagged rows hardly helps against covert traits: dilute,
    rewrite, drop the source, anchor the training; and measure again.
    """
    from undertow.mitigate.rows.clean_request import Cleaning
    from undertow.mitigate.rows.cleaning import clean
    from undertow.provenance.ledger import SUFFIX
    from undertow.results.store import read_scan

    if out.suffix != ".jsonl":
        raise click.UsageError(f"--out is '{out}'; allowed: a .jsonl file")
    who = signing(keys, public_key)
    if who is not None and method == "dilute":
        raise click.UsageError(
            "a dilution is a mix of two datasets: sign it with undertow attest mix"
        )
    tell_notes(data, clean_rows)
    cleaning = Cleaning(
        data=data,
        output=out,
        method=method,
        scan=read_scan(scanned),
        clean=clean_rows,
        dose=dose,
        scores=scores,
        share=share,
        at_random=at_random,
        undecided=undecided,
        student=student,
        trait=trait,
        teacher=teacher,
        model=model,
        instruction=instruction,
        system=system,
        seed=seed,
        engine=workers.engine,
        jobs=workers.jobs,
        gpus=workers.gpus,
        memory=workers.memory,
        compute=compute_table(dtype, device),
    )
    done = clean(cleaning)
    done.entries.write(out.with_name(out.name + SUFFIX))
    if who is not None:
        _sign(cleaning, done, who)
    _summarise(cleaning, done)


def _sign(cleaning: Cleaning, done: Cleaned, who: Signing) -> None:
    from undertow.mitigate.rows.clean_request import CHANGING
    from undertow.provenance.bundle import carry
    from undertow.provenance.ledger import SUFFIX
    from undertow.provenance.signed_steps import dataset, filter_statement, sign_beside, sign_edit

    out, source = cleaning.output, dataset(cleaning.data)
    if cleaning.method in CHANGING:
        settings = {"method": cleaning.method, **done.settings}
        bundle = sign_edit(out, source, done.entries, who, params=settings, model=done.model)
    else:
        made = filter_statement(dataset(out), source, done.entries, out.name + SUFFIX, who)
        bundle = sign_beside(out, [made], who)
    carry(bundle, [cleaning.data])
    click.echo(f"attested: {one_line(str(bundle))}")


def _summarise(cleaning: Cleaning, done: Cleaned) -> None:
    from undertow.mitigate.rows.clean_request import CHANGING
    from undertow.provenance.ledger import SUFFIX

    parts = [f"kept {done.kept:,} rows", f"removed: {_counted(done.counts)}"]
    if cleaning.method in CHANGING:
        parts.insert(1, f"changed: {_counted(done.changes)}")
    if done.added:
        parts.append(f"added: {done.added:,} clean rows, dose: {done.dose:.1%}")
    click.echo("; ".join(parts))
    if done.settings:
        click.echo(", ".join(f"{name}: {one_line(text)}" for name, text in done.settings.items()))
    click.echo(f"rows: {one_line(str(cleaning.output))}")
    click.echo(f"ledger: {one_line(cleaning.output.name + SUFFIX)} beside it")
    click.echo(NEXT.get(cleaning.method) or _scan_again(cleaning))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {rule}" for rule, count in counts.items()) or "none"


def _scan_again(cleaning: Cleaning) -> str:
    rows, student = one_line(str(cleaning.output)), one_line(cleaning.scan.student)
    return f"next: undertow scan {rows} --student {student}"
