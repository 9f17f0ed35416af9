"""
Statements that a step was made, signed into the bundle beside a dataset or a model.

What removes or changes rows adds the ledger that proves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from undertow import __version__
from undertow.data.dataset import place_of
from undertow.errors import ProvenanceError
from undertow.provenance.bundle import add_lines, bundle_path, read_line
from undertow.provenance.data_steps import Commitment, SystemPrompt
from undertow.provenance.derived_steps import Edit, Filter, RowChange, Rule
from undertow.provenance.envelope import Envelope, sealed
from undertow.provenance.identity import (
    CANON,
    MANIFEST,
    ROW_SET,
    Rows,
    manifest_of,
    rows_of,
)
from undertow.provenance.ledger import MEDIA_TYPE, ROLE, SUFFIX, Ledger
from undertow.provenance.predicates import STEPS
from undertow.provenance.statement import (
    PROVENANCE,
    BuildDefinition,
    Builder,
    DigestSet,
    Metadata,
    Provenance,
    Resource,
    RunDetails,
    Signable,
    Statement,
    StatementSubject,
    payload_of,
    time_text,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


BUILDER = "urn:undertow:builder/v1"
"""Who carried out a step that undertow carried out itself."""

DECLARED = "urn:undertow:builder:declared/v1"
"""Who carried out a step that somebody describes with `undertow attest`: it is known by hearsay."""


@dataclass(frozen=True)
class Signing:
    """Who signs, and when."""

    signers: tuple[Signer, ...]
    now: datetime
    verifier: str = "undertow"
    """How an auditor calls itself."""


def dataset(path: str | Path, *, rows: Rows | None = None) -> StatementSubject:
    """
    A dataset on disk as a subject: the digest of its manifest, and its rows' roots.

    Args:
        rows: its rows, if they were read already.

    Raises:
        DataError: it cannot be read, or holds what has no digest.
    """
    digest = manifest_of(path).digest
    if rows is None:
        rows = rows_of(path)
    about = {"manifest": MANIFEST}
    if rows is not None:
        about |= {
            "rows": str(rows.count),
            "rowMerkle": rows.merkle,
            "rowSet": rows.set,
            "rowCanon": CANON,
        }
    return StatementSubject(name=place_of(path).name, digest={"sha256": digest}, annotations=about)


def loose_rows(name: str, rows: Rows) -> StatementSubject:
    """Rows that are in no file as a subject: their row set is their digest."""
    about = {
        "manifest": ROW_SET,
        "rows": str(rows.count),
        "rowSet": rows.set,
        "rowCanon": CANON,
    }
    return StatementSubject(name=name, digest={"sha256": rows.set}, annotations=about)


def used(role: str, name: str, digest: str | DigestSet | None = None, **more: str) -> Resource:
    """Something that a step used, as this."""
    known = {"sha256": digest} if isinstance(digest, str) else (digest or {})
    return Resource(name=name, digest=known, annotations={"role": role}, **more)


def step_statement(
    step: str,
    subjects: Sequence[StatementSubject],
    parameters: Signable,
    dependencies: Sequence[Resource] = (),
    *,
    finished: datetime,
    builder: str = BUILDER,
    byproducts: Sequence[Resource] = (),
) -> Statement:
    """The statement that a step made the subjects."""
    build_type = next(uri for uri, kind in STEPS.items() if kind.name == step)
    predicate = Provenance(
        build_definition=BuildDefinition(
            build_type=build_type,
            external_parameters=_dumped(parameters),
            resolved_dependencies=tuple(dependencies),
        ),
        run_details=RunDetails(
            builder=Builder(id=builder, version={"undertow": __version__}),
            metadata=Metadata(finished_on=time_text(finished)),
            byproducts=tuple(byproducts),
        ),
    )
    return statement(PROVENANCE, subjects, predicate)


def statement(kind: str, subjects: Sequence[StatementSubject], predicate: Signable) -> Statement:
    """A statement with its predicate."""
    return Statement(subject=tuple(subjects), predicate_type=kind, predicate=_dumped(predicate))


def sign_into(bundle: Path, statements: Sequence[Statement], signing: Signing) -> list[Envelope]:
    """
    Sign the statements and add them to a bundle, in the place of those that the same keys signed there in the same words.

    Raises:
        ProvenanceError: a key service refuses, or the bundle cannot be read.
    """
    made = [signed(each, signing) for each in statements]
    for envelope in made:
        # What is written can be read: a statement that no verifier would take is found here.
        read_line(envelope.line(), f"'{bundle}'")
    add_lines(bundle, made, again=True)
    return made


def sign_beside(path: str | Path, statements: Sequence[Statement], signing: Signing) -> Path:
    """The same, into the bundle beside a dataset or a model; returns its path."""
    bundle = bundle_path(path)
    sign_into(bundle, statements, signing)
    return bundle


def prompt_said(text: str, *, salt: bytes | None = None) -> SystemPrompt:
    """
    What is said of a system prompt: its digest; or, with a salt, a commitment that gives nothing away.

    The commitment is SHA-256 over the salt of at least 16 bytes and the text.

    Raises:
        ProvenanceError: the salt is shorter, so that guesses could be tried.
    """
    content = text.encode("utf-8")
    if salt is None:
        return SystemPrompt(disclosed=True, sha256=hashlib.sha256(content).hexdigest())
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


def _dumped(document: Signable) -> dict[str, object]:
    import json

    table: dict[str, object] = json.loads(payload_of(document))
    return table


def sign_filter(
    output: str | Path,
    source: StatementSubject,
    ledger: Ledger,
    signing: Signing,
    *,
    versions: dict[str, str] | None = None,
    judges: dict[str, Resource] | None = None,
    further: Sequence[Statement] = (),
) -> Path:
    """
    Attest that rows were removed, with the ledger that proves it; returns the bundle's path.

    Args:
        output: the file of rows that were kept.
        source: the filter's input.
        ledger: of the output's rows and those that were removed; it is written beside the output.
        versions: of rules, by their id.
        judges: model that a rule asked, by the rule's id.
        further: statements about the input, which the bundle then carries too.
    """
    subject = dataset(output, rows=Rows(ledger.kept))
    place = place_of(output)
    ledger.write(place.with_name(place.name + SUFFIX))
    made = filter_statement(subject, source, ledger, place.name + SUFFIX, signing, versions, judges)
    return sign_beside(output, [*further, made], signing)


def filter_statement(
    subject: StatementSubject,
    source: StatementSubject,
    ledger: Ledger,
    ledger_name: str,
    signing: Signing,
    versions: dict[str, str] | None = None,
    judges: dict[str, Resource] | None = None,
) -> Statement:
    """The statement that a filter made the subject of its source."""
    judges, versions = judges or {}, versions or {}
    # A filter that removed nothing is still a step, and says so.
    counts = ledger.counts or {"nothing-removed": 0}
    parameters = Filter(
        rules=tuple(
            Rule(
                id=rule,
                version=versions.get(rule),
                removed=str(count),
                model_based=judges[rule].name if rule in judges else None,
            )
            for rule, count in counts.items()
        ),
        rows_in=str(ledger.rows_in),
        rows_out=str(ledger.rows_out),
        subset_proof=ledger.input_set,
    )
    models = dict.fromkeys((each.name, tuple(each.digest.items())) for each in judges.values())
    return step_statement(
        "filter",
        [subject],
        parameters,
        [
            used("input-data", source.name, source.digest["sha256"]),
            *(used("filter-model", name, dict(digest)) for name, digest in models),
        ],
        finished=signing.now,
        byproducts=[_ledger_resource(ledger_name, ledger)],
    )


def sign_edit(
    output: Path,
    source: StatementSubject,
    ledger: Ledger,
    signing: Signing,
    *,
    params: Mapping[str, str],
    model: tuple[str, str] | None = None,
) -> Path:
    """
    Attest that rows were changed, with the ledger that proves which; returns the bundle's path.

    Args:
        output: the file of rows as they are now; its ledger lies beside it.
        source: what was edited.
        params: how, the same for all changes.
        model: name and digest of the model that chose or wrote what is new.
    """
    parameters = Edit(
        changes=tuple(
            RowChange(
                id=what,
                rows=str(count),
                params=dict(params),
                model_based=model[0] if model else None,
            )
            for what, count in (ledger.changes or {"nothing-changed": 0}).items()
        ),
        rules=tuple(Rule(id=rule, removed=str(n)) for rule, n in ledger.counts.items()),
        rows_in=str(ledger.rows_in),
        rows_out=str(ledger.rows_out),
        input_set=ledger.input_set,
    )
    made = step_statement(
        "edit",
        [dataset(output)],
        parameters,
        [
            used("input-data", source.name, source.digest["sha256"]),
            *([used("edit-model", *model)] if model else []),
        ],
        finished=signing.now,
        byproducts=[_ledger_resource(output.name + SUFFIX, ledger)],
    )
    return sign_beside(output, [made], signing)


def _ledger_resource(name: str, ledger: Ledger) -> Resource:
    return Resource(
        name=name,
        digest={"sha256": ledger.digest},
        media_type=MEDIA_TYPE,
        annotations={"role": ROLE},
    )
