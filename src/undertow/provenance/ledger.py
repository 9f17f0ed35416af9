"""
The filter's ledger: every leaf of its input with the rule that removed it, or none; and the check that it is so.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.data.writing import atomic_file
from undertow.errors import ProvenanceError
from undertow.provenance.merkle import SIZE
from undertow.provenance.row_leaves import row_set
from undertow.provenance.statement import is_digest
from undertow.provenance.steps import Filter
from undertow.provenance.strict import canonical, parsed

MEDIA_TYPE = "application/vnd.undertow.row-ledger+jsonl"
SUFFIX = ".ledger.jsonl"
"""Of the file beside the filtered dataset."""

ROLE = "removal-ledger"

_USUAL = re.compile(rb'\{"leaf":"([0-9a-f]{64})"(?:,"rule":"([ !#-\[\]-~]+)")?\}\n?')
"""A line as they are written: nothing in it could be read in two ways, so it needs no strict parser."""


@dataclass(frozen=True)
class Ledger:
    """
    What became of each row of a filter's input.
    """

    kept: bytes
    """Leaves, 32 bytes each."""
    removed: dict[str, bytes]
    """Leaves by rule."""
    digest: str
    """SHA-256 over the file."""

    @property
    def counts(self) -> dict[str, int]:
        """Removed rows by rule."""
        return {rule: len(leaves) // SIZE for rule, leaves in self.removed.items()}

    @property
    def input_set(self) -> str:
        """Row set of kept and removed leaves together."""
        return row_set(self.kept + b"".join(self.removed.values()))


def write_leaf_ledger(path: Path, kept: bytes, removed: Sequence[tuple[bytes, str]]) -> Ledger:
    """
    Write the kept leaves and the removed ones with their rules.

    Raises:
        UndertowError: the file cannot be written.
    """
    digest = hashlib.sha256()
    groups: dict[str, bytearray] = {}
    with atomic_file(path) as file:
        for leaf, rule in _entries(kept, removed):
            content = {"leaf": leaf.hex()} | ({"rule": rule} if rule else {})
            line = canonical(content) + b"\n"
            digest.update(line)
            file.write(line)
            if rule:
                groups.setdefault(rule, bytearray()).extend(leaf)
    found = {rule: bytes(leaves) for rule, leaves in groups.items()}
    return Ledger(kept, found, digest.hexdigest())


def read_leaf_ledger(path: Path) -> Ledger:
    """
    The ledger in a file.

    Raises:
        ProvenanceError: naming the line, if it is none.
    """
    digest = hashlib.sha256()
    kept = bytearray()
    removed: dict[str, bytearray] = {}
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                digest.update(line)
                if (usual := _USUAL.fullmatch(line)) is not None:
                    rule = (usual[2] or b"").decode("ascii")
                    (removed.setdefault(rule, bytearray()) if rule else kept).extend(
                        bytes.fromhex(usual[1].decode("ascii"))
                    )
                    continue
                entry = parsed(line, f"'{path}', line {number}")
                leaf, rule = entry.pop("leaf", None), entry.pop("rule", None)
                if (
                    not is_digest(leaf)
                    or entry
                    or not (rule is None or (isinstance(rule, str) and rule))
                ):
                    raise ProvenanceError(f"'{path}', line {number} is no entry of a ledger")
                (kept if rule is None else removed.setdefault(rule, bytearray())).extend(
                    bytes.fromhex(leaf)
                )
    except FileNotFoundError as error:
        raise ProvenanceError(f"no such ledger: '{path}'") from error
    except OSError as error:
        raise ProvenanceError(f"cannot read the ledger '{path}': {error.strerror}") from error
    return Ledger(
        bytes(kept), {rule: bytes(found) for rule, found in removed.items()}, digest.hexdigest()
    )


def refuse_unbalanced(
    ledger: Ledger, said: Filter, *, digest: str, output_set: str, input_set: str | None
) -> None:
    """
    Check that kept and removed leaves together are the input's, and kept ones the output's.

    Args:
        digest: SHA-256 of the ledger's file, as it was signed.
        output_set: row set of the filtered data.
        input_set: row set of the input, as its own statement has it; None where it has none.

    Raises:
        ProvenanceError: naming what does not agree, expected and found.
    """
    rules = {rule.id: int(rule.removed) for rule in said.rules}
    found = {rule: ledger.counts.get(rule, 0) for rule in (*rules, *ledger.removed)}
    rows_in = len(ledger.kept) // SIZE + sum(ledger.counts.values())
    for what, expected, seen in (
        ("the ledger's digest", digest, ledger.digest),
        ("the removed rows by rule", _counts(rules), _counts(found)),
        ("the rows kept", said.rows_out, str(len(ledger.kept) // SIZE)),
        ("the rows read", said.rows_in, str(rows_in)),
        ("the kept rows' set", output_set, row_set(ledger.kept)),
        ("the set of kept and removed rows", said.subset_proof, ledger.input_set),
        ("the input's row set", input_set or "stated by the input's producer", said.subset_proof),
    ):
        if expected != seen:
            raise ProvenanceError(f"{what}: expected {expected}, found {seen}")


def _counts(rules: dict[str, int]) -> str:
    return (
        str(dict(sorted((rule, count) for rule, count in rules.items() if count)))
        if rules
        else "{}"
    )


def _entries(kept: bytes, removed: Iterable[tuple[bytes, str]]) -> Iterable[tuple[bytes, str]]:
    for at in range(0, len(kept), SIZE):
        yield kept[at : at + SIZE], ""
    yield from removed


def leaf_counts(leaves: bytes) -> Counter[bytes]:
    """
    How often each leaf occurs.
    """
    return Counter(leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE))
