"""
The control of a screen: the student base's own continuations of the same prompts, kept for the next scan.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.carriers import registry
from undertow.carriers.carrier import Carrier
from undertow.data.reading import read_rows
from undertow.data.rows import Row, row_id
from undertow.data.streams import generator
from undertow.data.writing import write_rows

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

MOST_ROWS = 2048
"""Rows of a control that is made."""

SPARE_TOKENS = 8
MATCHES = 0.99
"""Share of rows that must have a carrier's format for the control to be filtered by it."""


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
    made = _continued(model, prompts, temperature, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if made:
        write_rows(path, made)
    return tuple(made)


def carrier_of(rows: Sequence[Row]) -> Carrier | None:
    """
    The built-in carrier whose format nearly all completions have.
    """
    for name in registry.names():
        carrier = registry.carrier(name)
        fitting = sum(carrier.rejection(row.completion, _request(row)) is None for row in rows)
        if fitting >= MATCHES * len(rows):
            return carrier
    return None


def _continued(
    model: LanguageModel, rows: Sequence[Row], temperature: float, seed: int
) -> list[Row]:
    from undertow.models.chat import encode_rows
    from undertow.models.sampling import Sampling, sample

    encoded = encode_rows(model.tokenizer, rows)
    longest = max(len(one.completion) for one in encoded) + SPARE_TOKENS
    if model.context is not None:
        longest = min(longest, model.context - max(len(one.prompt) for one in encoded))
    how = Sampling(max(1, longest), temperature=temperature)
    drawn = sample(
        model, [one.prompt for one in encoded], how, generator(seed, "control", temperature.hex())
    )
    carrier = carrier_of(rows)
    return [
        Row(row.prompt, answer.text, chat=row.chat, source="control")
        for row, answer in zip(rows, drawn, strict=True)
        if answer.finished
        and answer.text.strip()
        and (carrier is None or carrier.rejection(answer.text, _request(row)) is None)
    ]


def _request(row: Row) -> str:
    return row.prompt[-1].content if row.prompt else ""


def _key(model: str, rows: Sequence[Row], temperature: float, seed: int) -> str:
    digest = hashlib.sha256(f"{model}\0{temperature!r}\0{seed}".encode())
    for row in rows:
        digest.update(bytes.fromhex(row_id(row)))
    return digest.hexdigest()
