"""
`undertow clean`: countermeasures on the rows of a dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.printable import one_line
from undertow.cli.signing import signing, signing_options

if TYPE_CHECKING:
    from undertow.mitigate.cleaning import Cleaned, Cleaning

METHODS = ("drop-sources", "deduplicate", "dilute", "delete")


@click.command(name="clean")
@click.argument(
    "data", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="DATA"
)
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
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.jsonl",
    help="Where to write the rows that are left; a ledger goes beside it.",
)
@click.option(
    "--with",
    "clean_rows",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="DATA",
    help="Rows known to be clean, to dilute in.",
)
@click.option(
    "--dose",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of DATA's rows in a dilution; what the scan advises if not given.",
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
    default=0.1,
    show_default=True,
    help="Of the rows that are deleted.",
)
@click.option(
    "--at-random", is_flag=True, help="Delete as many rows by lot: the arm to compare with."
)
@click.option("--undecided", is_flag=True, help="Drop undecided sources too.")
@click.option(
    "--student",
    metavar="MODEL",
    help="The base that will be trained; refused if the scan was for another.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@signing_options("The producer's key: attests the filter in FILE.intoto.jsonl.")
def command(
    data: Path,
    scanned: Path,
    method: str,
    out: Path,
    clean_rows: Path | None,
    student: str | None,
    keys: tuple[str, ...],
    public_key: str | None,
    **options: object,
) -> None:
    """
    Apply a countermeasure to the rows of a dataset.

    Every row that goes is in a ledger with the rule that removed it. Deleting flagged rows hardly helps against covert
    traits: dilute, drop the source, or scan again and see.
    """
    from undertow.errors import ConfigError
    from undertow.mitigate.cleaning import Cleaning, clean
    from undertow.models.digest import model_digest
    from undertow.provenance.ledger import SUFFIX, write_leaf_ledger
    from undertow.results.store import read_scan
    from undertow.worlds import locate

    if out.suffix != ".jsonl":
        raise click.UsageError(f"--out is '{out}'; allowed: a .jsonl file")
    who = signing(keys, public_key)
    if who is not None and method == "dilute":
        raise click.UsageError(
            "a dilution is a mix of two datasets: sign it with undertow attest mix"
        )
    scan = read_scan(scanned)
    if student is not None and model_digest(locate(student)) != scan.student_digest:
        raise ConfigError(
            f"the scan is for another student: '{scan.student}', not '{student}'",
            hint=f"undertow scan {data} --student {student}",
        )
    cleaning = Cleaning(
        data=data,
        output=out,
        method=method,  # type: ignore[arg-type]
        scan=scan,
        clean=clean_rows,
        **options,  # type: ignore[arg-type]
    )
    done = clean(cleaning)
    if who is None:
        write_leaf_ledger(out.with_name(out.name + SUFFIX), bytes(done.leaves), done.removed)
    else:
        from undertow.provenance.attesting import dataset
        from undertow.provenance.by_products import sign_filter

        sign_filter(out, dataset(data), done.removed, who)
    _say(cleaning, done)


def _say(cleaning: Cleaning, done: Cleaned) -> None:
    from undertow.provenance.ledger import SUFFIX

    removed = ", ".join(f"{count:,} {rule}" for rule, count in done.counts.items()) or "none"
    click.echo(f"kept {done.kept:,} rows; removed: {removed}; added: {done.added:,} clean rows")
    if done.added:
        click.echo(f"dose: {done.dose:.1%}")
    click.echo(f"rows: {one_line(str(cleaning.output))}")
    click.echo(f"ledger: {one_line(cleaning.output.name + SUFFIX)} beside it")
    click.echo(
        f"next: undertow scan {one_line(str(cleaning.output))} --student {one_line(cleaning.scan.student)}"
    )
