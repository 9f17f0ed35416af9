"""
Deals the items of completions anew, each completion keeping its format: what shuffled arms are made of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np


def within(completion: str, item: re.Pattern[str], rng: np.random.Generator) -> str:
    """
    The completion with its own items in random order; all that stands between them stays in place.
    """
    return across([completion], item, rng)[0]


def across(
    completions: Sequence[str], item: re.Pattern[str], rng: np.random.Generator
) -> list[str]:
    """
    The completions with their items pooled and dealt anew; each keeps their number and its format.
    """
    pool = [found for text in completions for found in item.findall(text)]
    dealt = (pool[index] for index in rng.permutation(len(pool)))
    return [item.sub(lambda _: next(dealt), text) for text in completions]
