"""
What lies on this disk and can be recomputed: the dataset's own rows, and ledgers beside bundles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from undertow.provenance.ledger import MEDIA_TYPE, ROLE, read_leaf_ledger, refuse_unbalanced
from undertow.provenance.manifest import Manifest, manifest_of
from undertow.provenance.row_leaves import Rows, leaves_of, rows_files
from undertow.provenance.statement import Resource
from undertow.provenance.steps import Edit, Filter


class AtHand:
    """The dataset in question, and the folders in which ledgers may lie."""

    def __init__(self, data: Path, folders: Sequence[Path] = ()) -> None:
        self.data = data
        self._folders = tuple(dict.fromkeys([data.parent, *folders]))

    @cached_property
    def manifest(self) -> Manifest:
        """The dataset's manifest."""
        return manifest_of(self.data)

    @cached_property
    def rows(self) -> Rows | None:
        """Its rows; None where it holds no file of rows."""
        files = list(rows_files(self.data))
        if not any(file.suffix in (".jsonl", ".parquet") for file in files):
            return None
        return Rows(b"".join(leaves_of(file) for file in files))

    def ledger_of(
        self, byproducts: Sequence[Resource], *, subject: str
    ) -> tuple[Resource, Path] | None:
        """
        The ledger among a step's by-products, if its file is at hand.

        Ledgers of other datasets may have the same name. Of the dataset in question, a file of that name is taken for
        its ledger even if it is another: that it was changed must be seen.

        Args:
            subject: digest of what the step made.
        """
        for each in byproducts:
            # Only its name is looked for, never a path that a statement could lead elsewhere.
            named = each.name == Path(each.name).name and each.sha256
            if each.role != ROLE or each.media_type != MEDIA_TYPE or not named:
                continue
            found = [folder / each.name for folder in self._folders]
            files = [path for path in found if path.is_file() and not path.is_symlink()]
            match = next((path for path in files if _sha256(path) == each.sha256), None)
            own = subject == self.manifest.digest
            if match is not None or (files and own):
                return each, match or files[0]
        return None

    def check_ledger(
        self,
        path: Path,
        said: Filter | Edit,
        *,
        digest: str,
        output_set: str,
        input_set: str | None,
    ) -> None:
        """
        Recompute a filter's or an edit's ledger.

        Raises:
            ProvenanceError: what became of the leaves is not all of the input, or something else does not agree.
        """
        refuse_unbalanced(
            read_leaf_ledger(path), said, digest=digest, output_set=output_set, input_set=input_set
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
