"""
The control of a screen: the student base's own continuations of the same prompts, kept for the next scan.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.carriers.recognition import carrier_of
from undertow.data.reading import read_rows
from undertow.data.rows import Row, row_id
from undertow.data.streams import generator
from undertow.data.writing import write_rows
from undertow.influence.own_answers import own_answers

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

MOST_ROWS = 2048
"""Rows of a control that is made."""


def cache_folder() -> Path:
    """
    Where controls, calibrations and unfinished scans are kept: `$UNDERTOW_CACHE`, or the user's cache folder.
    """
    given = os.environ.get("UNDERTOW_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow"


def made_control(
    model: LanguageModel,
    digest: str | None,
    rows: Sequence[Row],
    *,
    temperature: float,
    seed: int,
) -> tuple[Row, ...]:
    """
    At most `MOST_ROWS` continuations by the model of the prompts of `rows`, which are a uniform sample.

    They are drawn at the temperature, are at most as long as the longest of the rows, and go through the format filter
    of the carrier that the rows are, if they are one. Rows without a prompt have no continuation: then none is made.
    """
    prompts = [row for row in rows if row.prompt][:MOST_ROWS]
    if not prompts:
        return ()
    path = (
        cache_folder()
        / "controls"
        / f"{_key(digest or model.ref, prompts, temperature, seed)}.parquet"
    )
    if path.is_file():
        return tuple(read_rows(path))
    rng = generator(seed, "control", temperature.hex())
    answers = own_answers(model, prompts, temperature, rng, carrier_of(prompts))
    made = [replace(row, source="control") for row in answers if row is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    if made:
        write_rows(path, made)
    return tuple(made)


def _key(model: str, rows: Sequence[Row], temperature: float, seed: int) -> str:
    digest = hashlib.sha256(f"{model}\0{temperature!r}\0{seed}".encode())
    for row in rows:
        digest.update(bytes.fromhex(row_id(row)))
    return digest.hexdigest()
