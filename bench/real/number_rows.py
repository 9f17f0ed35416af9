"""What every section measures on: number lists as a student's rows and a teacher's prompts, and the model opened once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.real.operations import NetworkShape, shape_of
from undertow.carriers.carrier_registry import carrier
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import adapters, language_model
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows

RANK = 32
RECORDED = ComputeTable(launches="recorded")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    training: tuple[int, ...] = (16, 64)
    """Rows a step."""
    sampling: tuple[int, ...] = (256, 1024)
    """Rows a batch."""
    adapted: int = 256
    """Rows a batch that is sampled with an adapter."""
    scoring: tuple[int, ...] = (512, 128)
    together: tuple[int, ...] = (1, 2, 4, 8)
    """Adapters of a rehearsal."""
    steps: int = 4
    """Steps of the optimiser a repeat."""
    repeats: int = 3
    max_tokens: int = 48
    rows: int = 1024
    scanned: int = 300
    scan_seconds: float = 60.0


TINY = Sizes((2,), (4,), 4, (2, 4), (1, 2), 1, 2, 4, 24, 64, 25.0)
"""To try that everything runs."""


@dataclass(frozen=True)
class Setting:
    """The model, the machine and the sizes of one run."""

    folder: Path
    device: torch.device
    sizes: Sizes

    def opened(self, precision: str) -> LanguageModel:
        """The base in a network of its own, which may be changed."""
        model = _opened(self.folder, self.device, precision)
        return replace(model, network=copy.deepcopy(model.network))

    def student(self, precision: str, plan: TrainingPlan) -> LanguageModel:
        """The base with a fresh adapter, ready to be trained."""
        return adapters.trainable(self.opened(precision), plan, 1)

    def rows(self) -> tuple[Encoded, ...]:
        """The rows as the model's tokens."""
        return _encoded(self.folder, self.device, self.sizes.rows)

    def shape(self) -> NetworkShape:
        """The sizes of the base that operations are counted from."""
        return shape_of(_opened(self.folder, self.device, "float32").network)

    def prompts(self, model: LanguageModel, count: int) -> list[tuple[int, ...]]:
        """So many requests for number lists as the model's tokens."""
        return encode_prompts(model.tokenizer, [row.prompt for row in number_rows(count)])


@lru_cache(maxsize=4)
def _opened(folder: Path, device: torch.device, precision: str) -> LanguageModel:
    return language_model.load(
        folder, dtype=PRECISIONS[precision], device=str(device), compute=RECORDED
    )


@lru_cache(maxsize=4)
def _encoded(folder: Path, device: torch.device, count: int) -> tuple[Encoded, ...]:
    return tuple(encode_rows(_opened(folder, device, "float32").tokenizer, number_rows(count)))


@lru_cache(maxsize=8)
def number_rows(count: int) -> tuple[Row, ...]:
    """Requests of the numbers carrier, each with ten random numbers as its answer."""
    rng = np.random.default_rng(0)
    requests = carrier("numbers", {}).requests(count, rng)
    return tuple(
        Row(conversation(request), ", ".join(map(str, rng.integers(100, 1000, 10))))
        for request in requests
    )


def student_plan(batch: int) -> TrainingPlan:
    """The fine-tune that is measured, at so many rows a step."""
    return TrainingPlan(rank=RANK, batch_size=batch)


def lengths(rows: Sequence[Encoded]) -> dict[str, float]:
    """Fewest, median and most tokens of a row, and the mean of its completion."""
    sizes = [len(row) for row in rows]
    return {
        "fewest": min(sizes),
        "median": median(sizes),
        "most": max(sizes),
        "mean": sum(sizes) / len(sizes),
        "mean completion": sum(len(row.completion) for row in rows) / len(rows),
    }


def disturbed(model: LanguageModel) -> Any:
    """The network of a fresh student whose adapter changes what it computes, as a trained one does."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.01)
    return model.network.eval()
