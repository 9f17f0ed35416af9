"""
Proofs that one row is in a dataset, checked against the signed root without the rest of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from undertow.errors import DataError, ProvenanceError
from undertow.provenance.bundle import read_bundles
from undertow.provenance.merkle import SIZE, proof, proves, root
from undertow.provenance.row_leaves import RowError, leaf, leaves_of, rows_files
from undertow.provenance.signers import Accepted, accepted
from undertow.provenance.statement import Digest, Said, as_said
from undertow.provenance.strict import parsed
from undertow.provenance.trust import Trust


class RowProof(Said):
    """The way from one row to the root over all of them."""

    schema_: Literal["undertow.row-proof/1"] = Field(default="undertow.row-proof/1", alias="schema")
    row_canon: Literal["json-sorted/v1"] = "json-sorted/v1"
    row: Annotated[int, Field(ge=1)]
    """Its number, from 1."""
    rows: Annotated[int, Field(ge=1)]
    leaf: Digest
    path: Annotated[tuple[Digest, ...], Field(max_length=64)]
    row_merkle: Digest


def row_proof(data: Path, number: int) -> RowProof:
    """
    The proof for a row of a dataset.

    Raises:
        DataError: there is no such row, or the rows cannot be read.
    """
    leaves = b"".join(leaves_of(file) for file in rows_files(data))
    count = len(leaves) // SIZE
    if not 1 <= number <= count:
        raise DataError(f"'{data}' has {count} rows; there is no row {number}")
    return RowProof(
        row=number,
        rows=count,
        leaf=leaves[(number - 1) * SIZE : number * SIZE].hex(),
        path=tuple(each.hex() for each in proof(leaves, number - 1)),
        row_merkle=root(leaves).hex(),
    )


def read_proof(path: Path) -> RowProof:
    """
    The proof in a file.

    Raises:
        ProvenanceError: it is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProvenanceError(f"cannot read '{path}': {error.strerror}") from error
    return as_said(RowProof, parsed(content, f"'{path}'"), f"'{path}'")


def check_row(
    record: object, said: RowProof, bundles: Sequence[Path], trust: Trust, now: datetime
) -> Accepted:
    """
    The trusted statement about the dataset that the row is proved to be in.

    Raises:
        ProvenanceError: the proof is of another row, leads elsewhere, or no trusted statement has its root.
    """
    try:
        found = leaf(record).hex()
    except RowError as error:
        raise ProvenanceError(f"the row has {error}") from error
    if found != said.leaf:
        raise ProvenanceError(
            f"the proof is of another row: expected the leaf {said.leaf}, found {found}"
        )
    path = [bytes.fromhex(each) for each in said.path]
    if not proves(
        bytes.fromhex(found), said.row - 1, said.rows, path, bytes.fromhex(said.row_merkle)
    ):
        raise ProvenanceError(
            f"the proof does not lead from row {said.row} of {said.rows} to its root"
        )
    attestations, _ = read_bundles(bundles)
    for one in attestations:
        verdict = accepted(one, trust, now)
        about = [subject.annotations for subject in one.statement.subject]
        named = any(
            each.get("rowMerkle") == said.row_merkle and each.get("rows") == str(said.rows)
            for each in about
        )
        if named and isinstance(verdict, Accepted):
            return verdict
    raise ProvenanceError(
        f"no statement by a trusted key has the root {said.row_merkle} over {said.rows} rows",
        hint="name the bundle of the dataset",
    )
