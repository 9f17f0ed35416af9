"""What statements say of a dataset's rows, and whether a step agrees with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undertow.provenance.row_leaves import ROW_SET
from undertow.provenance.statement import Subject, is_digest

if TYPE_CHECKING:
    from undertow.provenance.chain import Chain


def agree(chain: Chain, link: str, what: str, said: str, found: int | None) -> bool:
    """Whether what a step says is what the data's own statement has; a problem if not."""
    if found is not None and int(said) == found:
        return True
    chain.block(
        "inconsistent",
        link,
        f"{what}: the step and the data's own statement differ",
        expected=said,
        found="not stated" if found is None else str(found),
        todo="ask the producer for a corrected statement",
    )
    return False


def stated_rows(subject: Subject) -> int | None:
    """The number of rows that a statement has of a dataset."""
    text = subject.annotations.get("rows", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def stated_set(subject: Subject) -> str | None:
    """The row set that a statement has of a dataset."""
    text = subject.annotations.get("rowSet")
    if subject.annotations.get("manifest") == ROW_SET and text != subject.digest["sha256"]:
        # Rows in no file are named by their set: another one beside it is a contradiction.
        return None
    return text if is_digest(text) else None
