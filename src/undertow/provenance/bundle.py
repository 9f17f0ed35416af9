"""
Bundles: one envelope a line, beside the data; each line read on its own, since anyone can add or remove lines.

Source: in-toto, "Attestation bundle". A bundle as a whole proves nothing: what is missing refuses, what is too much
does not help.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from undertow.data.dataset import place_of
from undertow.data.files import atomic_write, turn_to_write
from undertow.errors import ProvenanceError
from undertow.provenance.envelope import Envelope, read_envelope
from undertow.provenance.predicates import Attestation, read_attestation
from undertow.provenance.statement import document_bytes
from undertow.results.provenance_documents import Problem

SUFFIX = ".intoto.jsonl"
"""Of the file beside a dataset or a model: `DATA.intoto.jsonl`."""

EXPORTED = ".sigstore.json"
"""Of a file that `attest export` writes: one statement with one signature, as a Sigstore bundle."""

MOST_LINES = 10_000
LARGEST_FILE = 1 << 28
"""Lines and bytes of a bundle, at most."""

MOST_SIGNATURES = 2 * MOST_LINES
"""Of all bundles together, at most: each is tried with every key, which an attacker pays nothing for."""


def bundle_path(path: str | Path) -> Path:
    """Where the attestations of a dataset or a model lie."""
    target = place_of(path)
    return target.with_name(target.name + SUFFIX)


def bundles_in(folder: Path) -> tuple[list[Path], list[Problem]]:
    """
    The bundles in a folder, in the order of their names, and what lies there and is passed over; ledgers are neither.

    Raises:
        ProvenanceError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ProvenanceError(f"cannot read '{folder}': {error.strerror}") from error
    bundles = [path for path in entries if path.name.endswith((SUFFIX, EXPORTED))]
    others = [path.name for path in entries if path not in bundles]
    others = [name for name in others if not name.endswith(".ledger.jsonl")]
    if not others:
        return bundles, []
    problem = Problem(
        id="passed-over",
        link=f"{folder}",
        message=f"passed over, since their names are not those of bundles: {', '.join(map(repr, others))}",
        expected=f"names that end in {SUFFIX} or {EXPORTED}",
        todo="name the file itself with --attestations if it is a bundle",
        blocks=False,
    )
    return bundles, [problem]


def read_bundles(paths: Sequence[Path]) -> tuple[list[Attestation], list[Problem]]:
    """
    What the bundles hold, each statement once, and what is wrong with the lines that hold nothing.

    Raises:
        ProvenanceError: one of them cannot be read, or they hold more signatures than can be tried.
    """
    attestations: dict[str, Attestation] = {}
    problems: list[Problem] = []
    signatures = 0
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                attestation = read_line(line, where)
            except ProvenanceError as error:
                problems.append(_unreadable(where, error))
                continue
            signatures += len(attestation.envelope.signatures)
            if signatures > MOST_SIGNATURES:
                raise ProvenanceError(f"{where} is beyond {MOST_SIGNATURES} signatures in all")
            known = attestations.setdefault(attestation.envelope.digest, attestation)
            if known is not attestation:
                attestations[attestation.envelope.digest] = _joined(known, attestation)
    return list(attestations.values()), problems


def read_line(line: bytes, where: str) -> Attestation:
    """
    The attestation on a line.

    Raises:
        ProvenanceError: it has not the form of one, or is of a kind that is not known here.
    """
    return read_attestation(read_envelope(line, where), where)


def add_lines(path: Path, envelopes: Iterable[Envelope], *, again: bool = False) -> None:
    """
    Add envelopes to a bundle, wholly or not at all; one that is there already is not repeated.

    Whoever else adds to it meanwhile is waited for, and loses nothing.

    Args:
        again: they were just signed, and take the place of what their signers said there before in the same words, at
            another time; but of nothing that somebody else signed too.

    Raises:
        ProvenanceError: what is there is no bundle that can be read.
        InputError: the place cannot be written to.
    """
    if path.suffix == ".json":
        raise ProvenanceError(
            f"'{path}' is a Sigstore bundle by its name, which holds one signature and no further line",
            hint=f"sign the statements where they lie, in a file that ends in {SUFFIX}",
        )
    made = list(envelopes)
    with turn_to_write(path):
        lines = [line + b"\n" for line in _lines(path) if line.strip()] if path.exists() else []
        former = _former(lines, made) if again else {}
        placed = (former.get(line, line) for line in lines)
        every = dict.fromkeys((*placed, *(envelope.line() for envelope in made)))
        atomic_write(path, b"".join(every))


def _former(lines: Sequence[bytes], made: Sequence[Envelope]) -> dict[bytes, bytes]:
    """Lines that say what is said anew, and that no other key signed, with the line that takes their place."""
    anew = {_said(envelope): envelope for envelope in made}
    there: dict[str, list[tuple[bytes, Envelope]]] = defaultdict(list)
    for line in lines:
        with suppress(ProvenanceError):
            envelope = read_envelope(line, "")
            there[envelope.digest].append((line, envelope))
    former: dict[bytes, bytes] = {}
    for entries in there.values():
        later = anew.get(_said(entries[0][1]))
        signers = {keyid for _, envelope in entries for keyid in _signers(envelope)}
        if later is not None and signers <= _signers(later):
            former |= dict.fromkeys((line for line, _ in entries), later.line())
    return former


def _signers(envelope: Envelope) -> set[str]:
    return {signature.keyid for signature in envelope.signatures}


def _said(envelope: Envelope) -> bytes:
    """What a statement says but for the moment of its signing; anything else as it is."""
    try:
        return read_attestation(envelope, "").untimed
    except ProvenanceError:
        return envelope.payload


def carry(path: Path, sources: Iterable[str | Path]) -> None:
    """
    Add to a bundle what the bundles beside the sources hold, so that the chain travels with the data.

    Raises:
        ProvenanceError: one of them cannot be read.
    """
    beside = [bundle for source in sources if (bundle := bundle_path(source)).is_file()]
    attestations, _ = read_bundles(beside)
    if attestations:
        add_lines(path, [attestation.envelope for attestation in attestations])


def _joined(first: Attestation, other: Attestation) -> Attestation:
    """The same statement signed twice is one statement with both signatures."""
    signatures = dict.fromkeys((*first.envelope.signatures, *other.envelope.signatures))
    envelope = Envelope(first.envelope.payload_type, first.envelope.payload, tuple(signatures))
    return replace(first, envelope=envelope)


def _lines(path: Path) -> list[bytes]:
    content = document_bytes(path, "bundle", largest=LARGEST_FILE)
    # Other tools write a bundle as one document of many lines.
    lines = [content] if path.suffix == ".json" else content.split(b"\n")
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
