"""Named random streams: one seed for each purpose, so that no two purposes share their draws."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """
    The seed of a purpose: the top 63 bits of SHA-256 over the canonical JSON of the arguments.

    The names are what the purpose is, e.g. `derive(7, "trait", 0, "sampling")`.
    """
    text = json.dumps([seed, *names], separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for a purpose, seeded by `derive`."""
    return np.random.default_rng(derive(seed, *names))
