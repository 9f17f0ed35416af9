"""
How fast this machine trains, scores and draws: a few layers of the student's own kind, with weights by lot, at work.

A product of matrices says what a processor can do, and not what it does for layers as narrow as a small model's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from undertow.data.plan import TrainingPlan
from undertow.models.adapters import frozen, parallel_adapters
from undertow.models.chat import Encoded
from undertow.models.hardware import device_for, fast_in_bfloat16, quickest
from undertow.models.language_model import LanguageModel
from undertow.models.meta_costs import ModelCosts, RowSize, few_layers, model_costs
from undertow.models.placement import text_config
from undertow.models.scoring import log_likelihoods
from undertow.models.several_runs import ParallelTraining

LAYERS = 2
"""Of the student that are tried, at most: the head is a larger part of so few than of all."""

ADAPTERS = 2
"""That are trained side by side."""

ROWS = 256
"""Scored at most, and drawn side by side."""

LONG = 0.3
"""Seconds of scoring behind which no more rows are tried, and of training behind which no more steps are."""

STEPS = 4

_IDS = 97
"""Of tokens: every vocabulary has so many."""


@dataclass(frozen=True)
class LayerSpeed:
    """What a few layers of a model took on this machine."""

    costs: ModelCosts
    """Of a model with so few."""
    scored: float
    """Seconds a row."""
    trained: float
    """Seconds a row of one adapter."""
    token: float
    """Seconds of a pass of one token of each row that is drawn side by side."""


def layer_speed(
    student: LanguageModel, plan: TrainingPlan, size: RowSize, room: float
) -> LayerSpeed | None:
    """
    What layers of the student take here; None where they would take more bytes than there is room for.

    Args:
        student: of which the configuration and the tokenizer are read, and no weight.
    """
    device = device_for("auto")
    dtype = torch.bfloat16 if fast_in_bfloat16(device) else torch.float32
    config = student.network.config
    few = few_layers(config, min(LAYERS, text_config(config).num_hidden_layers))
    costs = model_costs(few, plan, size, dtype)
    if 2 * dtype.itemsize * costs.weights > room:
        return None
    with torch.random.fork_rng(devices=[]), torch.device(device):
        network = AutoModelForCausalLM.from_config(few, dtype=dtype, trust_remote_code=False)
    model = replace(student, network=network.eval())
    return LayerSpeed(
        costs, _scoring(model, size), _training(model, size, plan), _one_token(model, device)
    )


def _rows(count: int, size: RowSize) -> list[Encoded]:
    """That begin differently: what all rows begin with is computed once."""
    prompt = size.tokens - size.learnt
    every = [
        tuple(1 + (7 * row + token) % _IDS for token in range(size.tokens)) for row in range(count)
    ]
    return [Encoded(ids[:prompt], ids[prompt:]) for ids in every]


def _scoring(model: LanguageModel, size: RowSize) -> float:
    """Seconds a row, of as many at a time as a scan takes."""
    seconds, count = 0.0, 8
    while count < ROWS and seconds < LONG:
        count *= 2
        seconds = _clocked(partial(log_likelihoods, model, _rows(count, size)))
    return seconds / count


def _training(model: LanguageModel, size: RowSize, plan: TrainingPlan) -> float:
    """Seconds a row of one adapter."""
    lora = plan.model_copy(update={"method": "lora", "dora": False, "modules_to_save": ()})
    rows = _rows(lora.rows_a_step, size)
    with frozen(model):
        adapters = parallel_adapters(model, lora, range(ADAPTERS))
        orders = [np.random.default_rng(k) for k in range(ADAPTERS)]
        training = ParallelTraining(adapters, [rows] * ADAPTERS, lora, orders, STEPS + 1)
        training.advance(1)
        times = list[float]()
        while len(times) < STEPS and sum(times) < LONG:
            times.append(_clocked(lambda: training.advance(1)))
    return min(times) / (ADAPTERS * lora.rows_a_step)


def _one_token(model: LanguageModel, device: str) -> float:
    ids = torch.ones(ROWS, 1, dtype=torch.long, device=device)
    with torch.no_grad():
        return quickest(lambda: model.network(input_ids=ids, use_cache=False), device)


def _clocked(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
