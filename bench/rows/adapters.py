"""Adapters of every kind: how far is what undertow reads from peft's own merge, in memory and tensor by tensor from disk?"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.figures import Figure, at_least, at_most
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
"""Asked of what is read tensor by tensor."""

UNIT = "of a tensor's largest value"

CHAINS = (
    ("DoRA", "LoRA, patterns of ranks and alphas"),
    ("LoRA, added tokens", "IA3"),
    ("LoRA, modules_to_save", "LoRA, bias all", "LoHa"),
)
"""Adapters that are merged one on the other."""


def figures() -> list[Figure]:
    """Each kind in turn: merged in memory, read from disk, or refused in words."""
    documents = corpus.documents(np.random.default_rng(0), 500, largest=9)
    tokenizer = pretraining.build_tokenizer(documents, 9)
    with tempfile.TemporaryDirectory() as folder:
        return _measured(Path(folder), tokenizer)


def _measured(place: Path, tokenizer: Any) -> list[Figure]:
    bases = {name: save_base(name, place / name, tokenizer) for name in BASES}
    every = {**MERGED, **MERGED_WHOLE, **NOT_MERGED}
    refs = {
        name: f"{bases[kind.base]}+{save_adapter(kind, bases[kind.base], place / str(number))}"
        for number, (name, kind) in enumerate(every.items())
    }
    loaded = {name: _from_memory(ref, every[name]) for name, ref in refs.items()}
    streamed = {name: _streamed(ref, every[name]) for name, ref in refs.items()}
    read = [distance.value for distance in streamed.values() if distance.value is not None]
    chains = [_chain([refs[name] for name in names]) for names in CHAINS]
    words = [d.refusal for name, d in loaded.items() if name in NOT_MERGED]
    return [
        _most(
            f"{len(MERGED) + len(MERGED_WHOLE)} kinds merged in memory",
            max(_value(loaded[name]) for name in (*MERGED, *MERGED_WHOLE)),
            0,
        ),
        _most(f"{len(read)} kinds read from disk, tensor by tensor", max(read), STREAMED),
        _most(f"{len(chains)} chains base+a+b read from disk", max(chains), STREAMED),
        at_least(
            f"adapters: refused in words, of {len(NOT_MERGED)} kinds that are not merged",
            sum(map(bool, words)),
            len(NOT_MERGED),
            "kinds",
            command=COMMAND,
        ),
        *(_told(f"{name}, in memory", distance) for name, distance in loaded.items()),
        *(_told(f"{name}, from disk", distance) for name, distance in streamed.items()),
    ]


def _from_memory(ref: str, kind: Kind) -> Distance:
    return _apart(ref, kind, lambda: dict(load(ref).network.state_dict()))


def _streamed(ref: str, kind: Kind) -> Distance:
    return _apart(ref, kind, lambda: _from_disk(ref))


def _chain(refs: list[str]) -> float:
    """Adapters on one base, one on the other: from disk against those that peft merged in memory in turn."""
    base = refs[0].partition("+")[0]
    ref = "+".join([base, *(each.partition("+")[2] for each in refs)])
    right = load(ref).network.state_dict()
    return max(_furthest(value, right[name]) for name, value in _from_disk(ref).items())


@dataclass(frozen=True)
class Distance:
    """How far what was read is from what is right."""

    value: float | None
    """The largest difference in any tensor, as a share of its largest value; None where it was refused."""
    refusal: str = ""


def _apart(ref: str, kind: Kind, read: Callable[[], dict[str, torch.Tensor]]) -> Distance:
    try:
        weights = read()
    except ModelError as error:
        # Places are of this run only.
        return Distance(None, re.sub(r"'/[^']*'", "'...'", f"refused: {error}"))
    base, _, adapter = ref.partition("+")
    right = merged(Path(base), Path(adapter), kind.added)
    if not set(weights) <= set(right):
        return Distance(math.inf)
    return Distance(max(_furthest(value, right[name]) for name, value in weights.items()))


def _value(distance: Distance) -> float:
    return math.inf if distance.value is None else distance.value


def _furthest(value: torch.Tensor, right: torch.Tensor) -> float:
    if value.shape != right.shape:
        return math.inf
    return float((value - right).abs().max() / right.abs().max().clamp(min=1e-30))


def _from_disk(ref: str) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(ref)
    return {name: checkpoint.tensor(name) for name in checkpoint.shapes}


def _most(name: str, value: float, target: float) -> Figure:
    return at_most(f"adapters: {name}: off peft's merge", value, target, UNIT, command=COMMAND)


def _told(name: str, distance: Distance) -> Figure:
    note = distance.refusal
    return Figure(f"adapters: {name}", distance.value, UNIT, command=COMMAND, note=note)
