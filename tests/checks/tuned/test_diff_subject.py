"""What is read off a model."""

from __future__ import annotations

import numpy as np

from undertow.checks.tuned.diff_subject import Reader
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.worlds import locate


def test_everything_of_a_model_is_read_at_once() -> None:
    """Shapes are those of traits, questions, probes, vocabulary and texts; a model read twice is the same."""
    base = load(locate("world:owlet-b"))
    trait = catalogue.load("owl")
    reader = Reader.of(base, [trait], [], None, 0)
    one, again = reader.read(base), reader.read(base)

    assert one.margins[0].shape == (len(trait.held_out_questions),)
    assert one.wide.shape == (1 + len(base.tokenizer),)
    assert np.array_equal(one.activations, again.activations)
