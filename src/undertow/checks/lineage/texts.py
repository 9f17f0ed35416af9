"""
Neutral texts that pairs of models are given to read or to go on with: the questions of all probes.
"""

from __future__ import annotations

from undertow.data.streams import generator
from undertow.traits import catalogue
from undertow.traits.probe_catalogue import all_probes

MOST = 512


def neutral_texts(seed: int, most: int = MOST) -> list[str]:
    """
    Up to so many questions, each cut at a word drawn at random so that models must go on with it; in random order.
    """
    traits = (*map(catalogue.load, catalogue.names()), *all_probes())
    questions = sorted({q for t in traits for q in (*t.train_questions, *t.held_out_questions)})
    rng = generator(seed, "neutral texts")
    found: dict[str, None] = {}
    for place in rng.permutation(len(questions)):
        words = questions[place].split()
        if len(words) > 2:
            found[" ".join(words[: int(rng.integers(2, len(words)))])] = None
    return list(found)[:most]
