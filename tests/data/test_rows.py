"""The row's identity."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from undertow.data.rows import Message, Row, dataset_digest, row_id

ROW = Row((Message("system", "Be brief."), Message("user", "Größe?")), "42", source="teacher")


def test_the_id_is_sha256_of_the_canonical_json() -> None:
    """Another implementation can compute it: sorted keys, no spaces, ASCII."""
    canonical = (
        rb'{"chat":true,"completion":"42",'
        rb'"prompt":[["system","Be brief."],["user","Gr\u00f6\u00dfe?"]]}'
    )

    assert row_id(ROW) == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        replace(ROW, completion="43"),
        replace(ROW, rejected="43"),
        replace(ROW, chat=False),
        replace(ROW, prompt=ROW.prompt[1:]),
        replace(ROW, prompt=ROW.prompt[::-1]),
        replace(ROW, prompt=(Message("user", "Be brief."), ROW.prompt[1])),
    ],
)
def test_any_change_of_content_changes_the_id(other: Row) -> None:
    """Completion, rejected one, kind of text, prompt, its order and its roles are content."""
    assert row_id(other) != row_id(ROW)


def test_the_source_is_no_content() -> None:
    """Who wrote a row is a label on it."""
    assert row_id(replace(ROW, source=None)) == row_id(ROW)


def test_the_digest_covers_rows_and_order() -> None:
    """Leaving out, repeating or swapping rows changes the digest; a generator is as good as a list."""
    other = replace(ROW, completion="7")
    digests = {dataset_digest(rows) for rows in ([], [ROW], [ROW, ROW], [ROW, other], [other, ROW])}

    assert len(digests) == 5
    assert dataset_digest(iter([ROW, other])) in digests
