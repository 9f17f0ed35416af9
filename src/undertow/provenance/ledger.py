"""The ledger of a filter or an edit: every leaf of its input, what it became, or the rule that removed it; and where it lies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from undertow.data.dataset import place_of
from undertow.data.files import atomic_file, file_digest
from undertow.data.leaf_file import LeafFile, row_set
from undertow.data.row_leaves import SIZE
from undertow.errors import DataError, ProvenanceError
from undertow.provenance.identity import Manifest, Rows, manifest_of, older_rows, rows_of
from undertow.provenance.statement import LARGEST, Resource, canonical, is_digest, signed_json

MEDIA_TYPE = "application/vnd.undertow.row-ledger+jsonl"
SUFFIX = ".ledger.jsonl"
"""Of the file beside the filtered dataset."""

ROLE = "removal-ledger"

_USUAL = re.compile(
    rb'\{"leaf":"([0-9a-f]{64})"(?:(?:,"now":"([0-9a-f]{64})")?,"rule":"([ !#-\[\]-~]+)")?\}\n?'
)
"""A line as they are written: nothing in it could be read in two ways, so it needs no strict parser."""


class Ledger:
    """What became of each row of a step's input, entered as it comes; memory does not grow with the rows."""

    def __init__(
        self, kept: LeafFile | bytes = b"", removed: Mapping[str, LeafFile] | None = None
    ) -> None:
        """With leaves of rows that were kept, and of those that rules removed; files of them are taken, not copied."""
        self.kept = kept if isinstance(kept, LeafFile) else LeafFile(kept)
        """Leaves of rows that are as they were."""
        self.removed = {rule: leaves for rule, leaves in (removed or {}).items() if len(leaves)}
        """Leaves by rule."""
        self.changed: dict[str, tuple[LeafFile, LeafFile]] = {}
        """Leaves as they were, and as they are, in the same order, by what was changed."""
        self.digest = ""
        """SHA-256 over the file, once it lies in one."""

    def keep(self, leaves: bytes) -> None:
        """Rows that were kept."""
        self.kept.extend(leaves)

    def remove(self, leaves: bytes, rule: str) -> None:
        """Rows that a rule removed."""
        self.removed.setdefault(rule, LeafFile()).extend(leaves)

    def change(self, leaves: bytes, now: bytes, what: str) -> None:
        """Rows that were changed into others, in the same order."""
        before, after = self.changed.setdefault(what, (LeafFile(), LeafFile()))
        before.extend(leaves)
        after.extend(now)

    @property
    def counts(self) -> dict[str, int]:
        """Removed rows by rule."""
        return {rule: len(leaves) for rule, leaves in self.removed.items()}

    @property
    def changes(self) -> dict[str, int]:
        """Changed rows by what was changed."""
        return {what: len(now) for what, (_, now) in self.changed.items()}

    @property
    def rows_kept(self) -> int:
        """Rows that are as they were."""
        return len(self.kept)

    @property
    def rows_in(self) -> int:
        """Rows of the input."""
        return self.rows_out + sum(self.counts.values())

    @property
    def rows_out(self) -> int:
        """Rows of the output."""
        return self.rows_kept + sum(self.changes.values())

    @property
    def input_set(self) -> str:
        """Row set of everything as it was."""
        return row_set(
            self.kept, *(was for was, _ in self.changed.values()), *self.removed.values()
        )

    @property
    def output_set(self) -> str:
        """Row set of what is there now."""
        return row_set(self.kept, *(now for _, now in self.changed.values()))

    def write(self, path: Path) -> None:
        """
        Leave it in a file, whose digest is its own from then on.

        Raises:
            UndertowError: the file cannot be written.
        """
        digest = hashlib.sha256()
        with atomic_file(path) as file:
            for text in _texts(self):
                lines = text.encode("ascii")
                digest.update(lines)
                file.write(lines)
        self.digest = digest.hexdigest()


def _texts(ledger: Ledger) -> Iterator[str]:
    """Many lines at once, each the canonical spelling of its entry: a digest's hex needs none."""
    for block in ledger.kept.blocks():
        yield _lines(_hexes(block), "")
    for rule, leaves in ledger.removed.items():
        for block in leaves.blocks():
            yield _lines(_hexes(block), _rule(rule))
    for what, (was, now) in ledger.changed.items():
        for before, after in zip(was.blocks(), now.blocks(), strict=True):
            pairs = zip(_hexes(before), _hexes(after), strict=True)
            yield _lines([f'{old}","now":"{new}' for old, new in pairs], _rule(what))


def _hexes(leaves: bytes) -> list[str]:
    return leaves.hex("\n", SIZE).split("\n")


def _rule(rule: str) -> str:
    return f',"rule":{canonical(rule).decode("ascii")}'


def _lines(entries: list[str], rule: str) -> str:
    end = f'"{rule}}}\n'
    return '{"leaf":"' + (end + '{"leaf":"').join(entries) + end


def read_leaf_ledger(path: Path) -> Ledger:
    """
    The ledger in a file.

    Raises:
        ProvenanceError: naming the line, if it is none.
    """
    digest, ledger = hashlib.sha256(), Ledger()
    try:
        with path.open("rb") as stream:
            lines = iter(lambda: stream.readline(LARGEST + 1), b"")
            for number, line in enumerate(lines, start=1):
                digest.update(line)
                leaf, now, rule = _entry(line, path, number)
                if now:
                    ledger.change(leaf, now, rule)
                elif rule:
                    ledger.remove(leaf, rule)
                else:
                    ledger.keep(leaf)
    except FileNotFoundError as error:
        raise ProvenanceError(f"no such ledger: '{path}'") from error
    except OSError as error:
        raise ProvenanceError(f"cannot read the ledger '{path}': {error.strerror}") from error
    ledger.digest = digest.hexdigest()
    return ledger


def _entry(line: bytes, path: Path, number: int) -> tuple[bytes, bytes, str]:
    """Leaf, leaf as it is now (empty where it was not changed) and rule (empty where the row was kept as it was)."""
    if (usual := _USUAL.fullmatch(line)) is not None:
        leaf, now, rule = (part or b"" for part in usual.groups())
        return (
            bytes.fromhex(leaf.decode("ascii")),
            bytes.fromhex(now.decode("ascii")),
            rule.decode("ascii"),
        )
    entry = signed_json(line, f"'{path}', line {number}")
    parts = [entry.pop(key, None) for key in ("leaf", "now", "rule")]
    leaf_text, now_text, rule_text = parts
    named = isinstance(rule_text, str) and rule_text
    if (
        entry
        or not is_digest(leaf_text)
        or not (rule_text is None or named)
        or not (now_text is None or (named and is_digest(now_text)))
    ):
        raise ProvenanceError(f"'{path}', line {number} is no entry of a ledger")
    return bytes.fromhex(leaf_text), bytes.fromhex(now_text or ""), rule_text or ""


@dataclass(frozen=True)
class LedgerFile:
    """The ledger of a step as it lies on this disk."""

    name: str
    digest: str
    """As it was signed."""
    ledger: Ledger
    fault: str = ""
    """Why it cannot be read."""


class AtHand:
    """The dataset in question, and the folders in which ledgers may lie."""

    def __init__(self, data: str | Path, folders: Sequence[Path] = ()) -> None:
        self.data = place_of(data)
        """Beside which its bundle and its ledger lie."""
        self._reference = data
        self._folders = tuple(dict.fromkeys([self.data.parent, *folders]))

    @cached_property
    def manifest(self) -> Manifest:
        """The dataset's manifest."""
        return manifest_of(self._reference)

    def rows_as(self, stated: Mapping[str, str]) -> dict[str, str]:
        """
        What statements say of its rows (`rows`, `rowMerkle`, `rowSet`), as it is on this disk.

        The rows of a folder are also counted as they were before other formats were read, where that is what is stated.

        Raises:
            DataError: a row cannot be read.
        """
        if self.data.is_dir() and not stated.items() <= self._rows.items():
            return self._older if stated.items() <= self._older.items() else self._rows
        return self._rows

    @cached_property
    def _rows(self) -> dict[str, str]:
        try:
            return _about(rows_of(self._reference))
        except DataError:
            if not self.data.is_dir() or not (older := self._older):
                raise
            return older  # a folder that mixes formats could be attested once

    @cached_property
    def _older(self) -> dict[str, str]:
        return _about(older_rows(self.data))

    def ledger_file(self, byproducts: Sequence[Resource], *, subject: str) -> LedgerFile | None:
        """
        The ledger among a step's by-products, if its file is at hand.

        Ledgers of other datasets may have the same name. Of the dataset in question, a file of that name is taken for
        its ledger even if it is another: that it was changed must be seen.

        Args:
            subject: digest of what the step made.
        """
        for resource in byproducts:
            digest = resource.sha256
            # Only its name is looked for, never a path that a statement could lead elsewhere.
            named = resource.name == Path(resource.name).name and digest
            if resource.role != ROLE or resource.media_type != MEDIA_TYPE or not named:
                continue
            paths = [folder / resource.name for folder in self._folders]
            files = [path for path in paths if path.is_file() and not path.is_symlink()]
            match = next((path for path in files if file_digest(path) == digest), None)
            if match is None and files and subject == self.manifest.digest:
                match = files[0]
            if match is not None:
                return _ledger_file(match, digest or "")
        return None


def _about(rows: Rows | None) -> dict[str, str]:
    if rows is None:
        return {}
    return {"rows": str(rows.count), "rowMerkle": rows.merkle, "rowSet": rows.set}


def _ledger_file(path: Path, digest: str) -> LedgerFile:
    try:
        return LedgerFile(path.name, digest, read_leaf_ledger(path))
    except ProvenanceError as error:
        return LedgerFile(path.name, digest, Ledger(), error.message)
