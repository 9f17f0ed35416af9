"""Statements made and signed: what is said of a dataset or a model, into the bundle beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from undertow import __version__
from undertow.errors import ProvenanceError
from undertow.provenance.at_hand import Rows
from undertow.provenance.bundle import add_lines, bundle_path, read_line
from undertow.provenance.envelope import Envelope, sealed
from undertow.provenance.generating import Commitment, SystemPrompt
from undertow.provenance.manifest import MANIFEST, manifest_of
from undertow.provenance.row_leaves import CANON, ROW_SET, leaves_of, rows_files
from undertow.provenance.statement import (
    PROVENANCE,
    DigestSet,
    Resource,
    Said,
    Statement,
    Subject,
    payload_of,
    spelled,
)
from undertow.provenance.steps import (
    BUILD_TYPES,
    BUILDER,
    BuildDefinition,
    Builder,
    Metadata,
    Provenance,
    RunDetails,
    Step,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


@dataclass(frozen=True)
class Signing:
    """Who signs, and when."""

    signers: tuple[Signer, ...]
    now: datetime
    verifier: str = "undertow"
    """How an auditor calls itself."""


def dataset(path: str | Path, *, rows: Rows | None = None) -> Subject:
    """
    A dataset on disk as a subject: the digest of its manifest, and its rows' roots.

    Args:
        rows: its rows, if they were read already.

    Raises:
        DataError: it cannot be read, or holds what has no digest.
    """
    target = Path(path)
    digest = manifest_of(target).digest
    if rows is None:
        files = [file for file in rows_files(target) if file.suffix in (".jsonl", ".parquet")]
        rows = Rows(b"".join(leaves_of(file) for file in files)) if files else None
    about = {"manifest": MANIFEST}
    if rows is not None:
        about |= {
            "rows": str(rows.count),
            "rowMerkle": rows.merkle,
            "rowSet": rows.set,
            "rowCanon": CANON,
        }
    return Subject(name=target.name, digest={"sha256": digest}, annotations=about)


def loose_rows(name: str, rows: Rows) -> Subject:
    """Rows that are in no file as a subject: their row set is their digest."""
    about = {
        "manifest": ROW_SET,
        "rows": str(rows.count),
        "rowSet": rows.set,
        "rowCanon": CANON,
    }
    return Subject(name=name, digest={"sha256": rows.set}, annotations=about)


def used(role: str, name: str, digest: str | DigestSet | None = None, **more: str) -> Resource:
    """Something that a step used, as this."""
    known = {"sha256": digest} if isinstance(digest, str) else (digest or {})
    return Resource(name=name, digest=known, annotations={"role": role}, **more)


def step_statement(
    step: str,
    subjects: Sequence[Subject],
    parameters: Step,
    dependencies: Sequence[Resource] = (),
    *,
    finished: datetime,
    started: datetime | None = None,
    builder: str = BUILDER,
    byproducts: Sequence[Resource] = (),
    internal: Mapping[str, str] | None = None,
) -> Statement:
    """The statement that a step made the subjects."""
    build_type = next(uri for uri, name in BUILD_TYPES.items() if name == step)
    predicate = Provenance(
        build_definition=BuildDefinition(
            build_type=build_type,
            external_parameters=_dumped(parameters),
            internal_parameters=dict(internal or {}),
            resolved_dependencies=tuple(dependencies),
        ),
        run_details=RunDetails(
            builder=Builder(id=builder, version={"undertow": __version__}),
            metadata=Metadata(
                started_on=spelled(started) if started else None, finished_on=spelled(finished)
            ),
            byproducts=tuple(byproducts),
        ),
    )
    return statement(PROVENANCE, subjects, predicate)


def statement(kind: str, subjects: Sequence[Subject], predicate: Said) -> Statement:
    """A statement with its predicate."""
    return Statement(subject=tuple(subjects), predicate_type=kind, predicate=_dumped(predicate))


def sign_into(bundle: Path, statements: Sequence[Statement], signing: Signing) -> list[Envelope]:
    """
    Sign the statements and add them to a bundle.

    Raises:
        ProvenanceError: a key service refuses, or the bundle cannot be read.
    """
    made = [signed(each, signing) for each in statements]
    for envelope in made:
        # What is written can be read: a statement that no verifier would take is found here.
        read_line(envelope.line(), f"'{bundle}'")
    add_lines(bundle, made)
    return made


def sign_beside(path: str | Path, statements: Sequence[Statement], signing: Signing) -> Path:
    """The same, into the bundle beside a dataset or a model; returns its path."""
    bundle = bundle_path(path)
    sign_into(bundle, statements, signing)
    return bundle


def prompt_said(text: str, *, salt: bytes | None = None, uri: str | None = None) -> SystemPrompt:
    """
    What is said of a system prompt: its digest; or, with a salt, a commitment that gives nothing away.

    The commitment is SHA-256 over the salt of at least 16 bytes and the text.

    Raises:
        ProvenanceError: the salt is shorter, so that guesses could be tried.
    """
    content = text.encode("utf-8")
    if salt is None:
        return SystemPrompt(disclosed=True, sha256=hashlib.sha256(content).hexdigest(), uri=uri)
    if len(salt) < 16:
        raise ProvenanceError(f"the salt has {len(salt)} bytes; allowed: 16 or more")
    value = hashlib.sha256(salt + content).hexdigest()
    return SystemPrompt(disclosed=False, commitment=Commitment(value=value))


def signed(statement: Statement, signing: Signing) -> Envelope:
    """
    The statement in its envelope.

    Raises:
        ProvenanceError: a key service refuses.
    """
    try:
        return sealed(statement.payload(), signing.signers)
    except (OSError, ValueError, RuntimeError) as error:
        raise ProvenanceError(f"signing failed: {type(error).__name__}: {error}") from error


def _dumped(document: Said) -> dict[str, object]:
    import json

    table: dict[str, object] = json.loads(payload_of(document))
    return table
