"""
Adapters of every kind: how far is what undertow reads from peft's own merge, in memory and tensor by tensor from disk?
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.figures import Figure, at_most
from bench.rows.adapter_kinds import (
    BASES,
    MERGED,
    MERGED_WHOLE,
    NOT_MERGED,
    Kind,
    merged,
    save_adapter,
    save_base,
)
from undertow.errors import ModelError
from undertow.models.checkpoint import open_checkpoint
from undertow.models.language_model import load
from undertow.worlds import corpus, pretraining

COMMAND = "python -m bench.rows adapters"
STREAMED = 1e-6
"""Of the largest value of each tensor."""


def figures() -> list[Figure]:
    """Each kind in turn: merged in memory, read from disk, or refused in words."""
    documents = corpus.documents(np.random.default_rng(0), 500, largest=9)
    tokenizer = pretraining.build_tokenizer(documents, 9)
    with tempfile.TemporaryDirectory() as folder:
        return _measured(Path(folder), tokenizer)


def _measured(place: Path, tokenizer: Any) -> list[Figure]:
    bases = {name: save_base(name, place / name, tokenizer) for name in BASES}
    measured = []
    for number, (name, kind) in enumerate({**MERGED, **MERGED_WHOLE}.items()):
        adapter = save_adapter(kind, bases[kind.base], place / str(number))
        measured += _kind(name, kind, bases[kind.base], adapter)
    for name, kind in NOT_MERGED.items():
        adapter = save_adapter(kind, bases[kind.base], place / name.replace(" ", "-"))
        measured.append(_refused(name, f"{bases[kind.base]}+{adapter}"))
    return measured


def _kind(name: str, kind: Kind, base: Path, adapter: Path) -> list[Figure]:
    right, ref = merged(base, adapter, kind.added), f"{base}+{adapter}"
    found = [
        ("in memory", _apart(right, lambda: dict(load(ref).network.state_dict())), 0.0),
        ("from disk", _apart(right, lambda: _from_disk(ref)), STREAMED),
    ]
    return [_figure(f"adapters: {name}, {way}", one, target) for way, one, target in found]


@dataclass(frozen=True)
class Distance:
    """How far what was read is from what is right."""

    value: float | None
    """The largest difference in any tensor, as a share of its largest value; None where it was refused."""
    refusal: str = ""


def _apart(right: dict[str, torch.Tensor], read: Any) -> Distance:
    try:
        found = read()
    except ModelError as error:
        return Distance(None, f"refused: {error}")
    if not set(found) <= set(right):
        return Distance(float("inf"))
    return Distance(max(_furthest(value, right[name]) for name, value in found.items()))


def _furthest(value: torch.Tensor, right: torch.Tensor) -> float:
    if value.shape != right.shape:
        return float("inf")
    return float((value - right).abs().max() / right.abs().max().clamp(min=1e-30))


def _from_disk(ref: str) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(ref)
    return {name: checkpoint.tensor(name) for name in checkpoint.shapes}


def _figure(name: str, distance: Distance, target: float) -> Figure:
    unit = "of the largest value"
    if distance.value is None:
        return Figure(name, None, unit, command=COMMAND, note=distance.refusal)
    return at_most(name, distance.value, target, unit, command=COMMAND)


def _refused(name: str, ref: str) -> Figure:
    notes = []
    for read in (load, open_checkpoint):
        try:
            read(ref)
        except ModelError as error:
            notes.append(f"refused: {error}")
    words = "; ".join(dict.fromkeys(notes))
    return Figure(
        f"adapters: {name}, refused by name",
        len(notes),
        "of 2 ways",
        "2",
        len(notes) == 2,
        command=COMMAND,
        note=words,
    )
