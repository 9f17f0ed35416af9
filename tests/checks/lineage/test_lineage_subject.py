"""The texts that both models of a pair are given."""

from __future__ import annotations

from undertow.checks.lineage.lineage_subject import neutral_texts


def test_neutral_texts_are_cut_within_and_repeatable() -> None:
    """The same seed gives the same texts, and there are hundreds."""
    texts = neutral_texts(3)

    assert texts == neutral_texts(3)
    assert len(texts) > 200
    assert len(set(texts)) == len(texts)
