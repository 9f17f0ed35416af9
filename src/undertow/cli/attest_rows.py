"""`undertow attest row | check-row`: one row of a dataset, proved without the rest."""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.printable import one_line
from undertow.cli.signing import now


@click.command(name="row")
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA")
@click.argument("number", type=click.IntRange(min=1), metavar="ROW")
def row(data: Path, number: int) -> None:
    """
    Print the proof that a row is in a dataset.

    Its leaf and the way to the root, as JSON. ROW counts from 1. Whoever has the row, this and the bundle can check it without the rest of the data.
    """
    from undertow.provenance.row_proofs import row_proof

    click.echo(row_proof(data, number).model_dump_json(by_alias=True, indent=1))


@click.command(name="check-row")
@click.argument(
    "row", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="ROW.json"
)
@click.option(
    "--proof",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What `undertow attest row` printed.",
)
@click.option(
    "--attestations",
    "bundles",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The dataset's bundle.",
)
@click.option(
    "--trust",
    envvar="UNDERTOW_TRUST",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Whose keys may say what.",
)
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PEM",
    help="Public key that the trust file is signed with.",
)
def check_row(
    row: Path, proof: Path, bundles: tuple[Path, ...], trust: Path, root: Path | None
) -> None:
    """
    Check that a row is in a signed dataset.

    ROW.json holds the row as one JSON object.
    """
    from undertow.provenance import row_proofs
    from undertow.provenance.strict import table_of
    from undertow.provenance.trust import read_trust

    moment = now()
    record = table_of(row.read_bytes(), f"'{row}'")
    said = row_proofs.read_proof(proof)
    trusted = read_trust(trust, now=moment, root=root)
    found = row_proofs.check_row(record, said, bundles, trusted, moment)
    subject = found.attestation.statement.subject[0].name
    signers = ", ".join(found.signers)
    click.echo(one_line(f"row {said.row} of {said.rows} of '{subject}', signed by {signers}"))


COMMANDS = (row, check_row)
"""Of `undertow attest`."""
