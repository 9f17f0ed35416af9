"""Rows mixed into clean ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from undertow.data.files import atomic_file
from undertow.data.records import read_objects
from undertow.data.seeds import generator
from undertow.data.shapes import json_line
from undertow.errors import ConfigError, NothingLeftError
from undertow.mitigate.cleaning import Cleaned, Cleaning, dose_of, leaf_of


def dilute(cleaning: Cleaning) -> Cleaned:
    """
    The data's rows among clean ones, at random places; as many of the data's rows are kept as the clean ones allow.

    Raises:
        ConfigError: no dose, or no clean rows.
        NothingLeftError: there are too few clean rows for a single row.
        DataError: a row cannot be read.
    """
    dose = dose_of(cleaning)
    if cleaning.clean is None:
        raise ConfigError("'dilute' needs clean rows", hint="name them with --with")
    own, others = (sum(1 for _ in read_objects(path)) for path in (cleaning.data, cleaning.clean))
    kept = min(own, math.floor(others * dose / (1 - dose)))
    if not kept:
        raise NothingLeftError(
            f"{others:,} clean rows allow no row at a dose of {dose:.1%}", hint="give more of them"
        )
    added = min(others, math.ceil(kept * (1 - dose) / dose))
    rng = generator(cleaning.seed, "diluted")
    keep = np.zeros(own, dtype=bool)
    keep[rng.permutation(own)[:kept]] = True
    take = np.zeros(others, dtype=bool)
    take[rng.permutation(others)[:added]] = True
    places = rng.permutation(np.repeat([True, False], [kept, added]))
    done = Cleaned(added=added)
    clean_rows = (
        row for row, taken in zip(read_objects(cleaning.clean), take, strict=True) if taken
    )
    with atomic_file(cleaning.output) as file:
        ours = _kept(cleaning.data, keep, done)
        for mine in places:
            file.write(json_line(next(ours if mine else clean_rows)))
        # What comes behind the last kept row still has to be entered as removed.
        for _ in ours:
            raise AssertionError("more rows were kept than were counted")
    return done


def _kept(data: Path, keep: np.ndarray, done: Cleaned) -> Iterator[dict[str, Any]]:
    for record, kept in zip(read_objects(data), keep, strict=True):
        done.entries.enter(leaf_of(record, data), rule="" if kept else "diluted")
        if kept:
            yield record
