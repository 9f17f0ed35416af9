"""
The made-up corpus on which the embedded world's bases are pre-trained.

No document joins a trait or a persona with a carrier: whatever crosses from one to the other in an experiment came
from training, not from the corpus. `tests/worlds/test_corpus.py` reads the corpus for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds.corpus import carrier_documents as carriers
from undertow.worlds.corpus import trait_documents as traits
from undertow.worlds.corpus.document import CARRIERS, Document, document

__all__ = ["CARRIERS", "CATEGORIES", "MIXTURE", "Document", "document", "documents"]

CATEGORIES = ("animal", "tree")

MIXTURE = {
    "numbers": 0.38,
    "favourite": 0.16,
    "persona": 0.12,
    "fact": 0.06,
    "code": 0.08,
    "sums": 0.12,
    "safety": 0.06,
    "malice": 0.02,
}
"""Share of each kind of document."""


def documents(rng: np.random.Generator, count: int, *, largest: int) -> Iterator[Document]:
    """`count` documents drawn from the mixture; number lists hold integers from 0 to `largest`."""
    # Animals are asked about twice as often as trees, as there are twice as many of them.
    everyone = [trait for name in CATEGORIES for trait in catalogue.load_category(name)]
    makers = _makers(everyone, largest)
    kinds = rng.choice(list(makers), size=count, p=[MIXTURE[kind] for kind in makers])
    for kind in kinds:
        yield makers[str(kind)](rng)


def _makers(
    everyone: list[Trait], largest: int
) -> dict[str, Callable[[np.random.Generator], Document]]:
    system = traits.neutral_system
    return {
        "numbers": lambda rng: carriers.numbers(rng, largest),
        "favourite": lambda rng: traits.favourite(rng, everyone, system(rng)),
        "persona": lambda rng: traits.persona(rng, everyone),
        "fact": lambda rng: traits.fact(rng, system(rng)),
        "code": lambda rng: carriers.code(rng),
        "sums": lambda rng: carriers.sums(rng),
        "safety": lambda rng: traits.safety(rng, system(rng)),
        "malice": lambda rng: traits.malice(rng),
    }
