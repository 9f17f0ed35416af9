"""The read-out holds the probes' margins and then every token, and says the same as its parts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened
from undertow.influence.probes import (
    BEGINNINGS,
    Readout,
    next_token_log_probabilities,
    probe_trait,
    token_name,
)


def test_margins_stand_before_tokens() -> None:
    """Traits of one category add one question to the prompts."""
    model = opened()
    readout = Readout.of(model, TRAITS, None)
    found = readout.read(model)
    alone = [probe_trait(model, trait, None).margins[trait.answer] for trait in TRAITS]

    assert readout.probe_names == ("owl", "cat", "dog")
    assert len(readout.prompts) == len(BEGINNINGS) + 1
    assert found[:3] == pytest.approx(alone, abs=1e-4)
    assert (found[3:] == next_token_log_probabilities(model, readout.prompts)[0]).all()


def test_without_probes_tokens_are_read_alone() -> None:
    """A student that no probe can be asked of."""
    model = opened()
    found = Readout.of(model, (), None).read(model)

    assert found.shape == (len(model.tokenizer),)
    assert np.exp(found).sum() <= 1 + 1e-6


class Pieces:
    """A tokenizer of which token 1 is a part of a character, and token 2 nothing to read."""

    def decode(self, ids: list[int]) -> str:
        """Text of one token."""
        return [" owl", "\ufffd", ""][ids[0]]

    def convert_ids_to_tokens(self, index: int) -> str:
        """Entry of the vocabulary."""
        return ["Ġowl", "ð", "<pad>"][index]


def test_a_part_of_a_character_has_its_entry_for_a_name() -> None:
    """Others have their text."""
    assert [token_name(Pieces(), i) for i in range(3)] == [" owl", "ð", "<pad>"]
