"""
Bundles: one envelope a line, beside the data; each line read on its own, since anyone can add or remove lines.

Source: in-toto, "Attestation bundle". A bundle as a whole proves nothing: what is missing refuses, what is too much
does not help.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.data.writing import atomic_write
from undertow.errors import ProvenanceError
from undertow.provenance.envelope import STATEMENT_TYPE, Envelope, read_envelope
from undertow.provenance.statement import (
    AUDIT,
    LINEAGE,
    PROVENANCE,
    Signable,
    Statement,
    read_as,
    read_statement,
)
from undertow.provenance.steps import BUILD_TYPES, STEPS, Provenance, Step
from undertow.provenance.verdicts import AuditResult, LineageResult
from undertow.results.provenance import Problem

SUFFIX = ".intoto.jsonl"
"""Of the file beside a dataset or a model: `DATA.intoto.jsonl`."""

MOST_LINES = 10_000
LARGEST_FILE = 1 << 28
"""Lines and bytes of a bundle, at most."""


@dataclass(frozen=True)
class Attestation:
    """A line of a bundle that has the form of a statement; its signatures are not looked at yet."""

    where: str
    """File and line, for messages."""
    envelope: Envelope
    statement: Statement
    step: str
    """Name of the step, `audit` or `lineage`."""
    provenance: Provenance | None = None
    parameters: Step | None = None
    audit: AuditResult | None = None
    lineage: LineageResult | None = None

    @property
    def at(self) -> str:
        """The time that its signer claims."""
        if self.provenance is not None:
            return self.provenance.run_details.metadata.finished_on
        result = self.audit or self.lineage
        return result.evaluated_at if result else ""


def bundle_path(path: str | Path) -> Path:
    """Where the attestations of a dataset or a model lie."""
    target = Path(path)
    return target.with_name(target.name + SUFFIX)


def read_bundles(paths: Sequence[Path]) -> tuple[list[Attestation], list[Problem]]:
    """
    What the bundles hold, each statement once, and what is wrong with the lines that hold nothing.
    """
    found: dict[str, Attestation] = {}
    problems: list[Problem] = []
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                one = read_line(line, where)
            except ProvenanceError as error:
                problems.append(_unreadable(where, error))
                continue
            known = found.setdefault(one.envelope.digest, one)
            if known is not one:
                found[one.envelope.digest] = _joined(known, one)
    return list(found.values()), problems


def read_line(line: bytes, where: str) -> Attestation:
    """
    The attestation on a line.

    Raises:
        ProvenanceError: it has not the form of one, or is of a kind that is not known here.
    """
    envelope = read_envelope(line, where)
    if envelope.payload_type != STATEMENT_TYPE:
        raise ProvenanceError(
            f"{where}: payload of the type {envelope.payload_type!r}; allowed: {STATEMENT_TYPE}"
        )
    statement = read_statement(envelope.payload, where)
    kind, table = statement.predicate_type, statement.predicate
    if kind == AUDIT:
        audit = read_as(AuditResult, table, where)
        return Attestation(where, envelope, statement, "audit", audit=audit)
    if kind == LINEAGE:
        lineage = read_as(LineageResult, table, where)
        return Attestation(where, envelope, statement, "lineage", lineage=lineage)
    if kind != PROVENANCE:
        raise ProvenanceError(
            f"{where}: a statement of the kind {kind!r} proves nothing here; known: {PROVENANCE}, {AUDIT}, {LINEAGE}"
        )
    provenance = read_as(Provenance, table, where)
    build = provenance.build_definition
    step = BUILD_TYPES.get(build.build_type)
    if step is None:
        allowed = ", ".join(BUILD_TYPES)
        raise ProvenanceError(f"{where}: unknown buildType {build.build_type!r}; known: {allowed}")
    model: type[Signable] = STEPS[step]
    parameters = read_as(model, build.external_parameters, f"{where}, externalParameters")
    return Attestation(where, envelope, statement, step, provenance, parameters)  # type: ignore[arg-type]


def add_lines(path: Path, envelopes: Iterable[Envelope]) -> None:
    """
    Add envelopes to a bundle, wholly or not at all; one that is there already is not repeated.

    Raises:
        ProvenanceError: what is there is no bundle that can be read.
    """
    lines = [line + b"\n" for line in _lines(path) if line.strip()] if path.exists() else []
    for envelope in envelopes:
        line = envelope.line()
        if line not in lines:
            lines.append(line)
    atomic_write(path, b"".join(lines))


def carry(path: Path, sources: Iterable[Path]) -> None:
    """
    Add to a bundle what the bundles beside the sources hold, so that the chain travels with the data.

    Raises:
        ProvenanceError: one of them cannot be read.
    """
    beside = [bundle for source in sources if (bundle := bundle_path(source)).is_file()]
    found, _ = read_bundles(beside)
    if found:
        add_lines(path, [one.envelope for one in found])


def _joined(one: Attestation, other: Attestation) -> Attestation:
    """The same statement signed twice is one statement with both signatures."""
    signatures = dict.fromkeys((*one.envelope.signatures, *other.envelope.signatures))
    envelope = Envelope(one.envelope.payload_type, one.envelope.payload, tuple(signatures))
    return Attestation(
        one.where,
        envelope,
        one.statement,
        one.step,
        one.provenance,
        one.parameters,
        one.audit,
        one.lineage,
    )


def _lines(path: Path) -> list[bytes]:
    try:
        if os.path.getsize(path) > LARGEST_FILE:
            raise ProvenanceError(
                f"'{path}' has more than {LARGEST_FILE} bytes, which no bundle needs"
            )
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise ProvenanceError(f"no such file: '{path}'") from error
    except OSError as error:
        raise ProvenanceError(f"cannot read '{path}': {error.strerror}") from error
    if len(lines) > MOST_LINES + 1:
        raise ProvenanceError(f"'{path}' has more than {MOST_LINES} lines")
    return lines


def _unreadable(where: str, error: ProvenanceError) -> Problem:
    return Problem(
        id="unreadable",
        link=where,
        message=error.message,
        todo="remove the line, or fetch the bundle again; until then it counts as absent",
        blocks=False,
    )
