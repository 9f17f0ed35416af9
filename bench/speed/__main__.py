"""
Speed and memory: `python -m bench.speed` writes bench/speed/results.json.

What is counted: tokens through the student loop, matrix multiplications per token, and the share of this machine's
measured matmul rate that they reach.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bench.cohort import load_experiment
from bench.figures import Figure, at_least, write
from undertow.carriers.carrier_registry import carrier
from undertow.data.rows import Row, conversation
from undertow.models import adapters, language_model
from undertow.models.chat import IGNORED, Encoded, pad, training_order
from undertow.models.sampling import Sampling, sample
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

ROUNDS = 5
ROWS = 4_096
COMMAND = "python -m bench.speed"


def main() -> int:
    """Measure on one thread, as the lab's workers run, and write every figure."""
    started = time.perf_counter()
    torch.set_num_threads(1)
    figures = [*_training(), *_sampling()]
    path = write("speed", figures, {"speed": time.perf_counter() - started})
    for figure in figures:
        print(
            f"{figure.name}: {figure.value:.4g} {figure.unit} (asked: {figure.target or '-'}; met: {figure.met})"
        )
    print(path)
    return 0


@dataclass(frozen=True)
class Loop:
    """One timed pass over the rows."""

    seconds: float
    tokens: int


def _training() -> list[Figure]:
    """The student loop against a bare PyTorch loop over the same batches, in turns, so that drift hits both."""
    experiment = load_experiment("owl")
    plan = experiment.student
    rows = _carrier_rows(experiment.carrier.options)
    pairs = [
        (_ours(experiment.base or "", rows, plan), _bare(experiment.base or "", rows, plan))
        for _ in range(ROUNDS)
    ]
    shares = [bare.seconds / ours.seconds for ours, bare in pairs]
    rate = median(ours.tokens / ours.seconds for ours, _ in pairs)
    peak = matmul_peak()
    used = rate * _operations_per_token(experiment.base or "", plan, rows)
    return [
        at_least(
            "student loop, share of a bare PyTorch loop's rate",
            median(shares),
            0.7,
            "",
            low=min(shares),
            high=max(shares),
            command=COMMAND,
        ),
        Figure("student loop", rate, "tokens/s on one thread", command=COMMAND),
        Figure(
            "matmul peak of one thread (float32, 1024 x 1024)",
            peak / 1e9,
            "GFLOP/s",
            command=COMMAND,
        ),
        Figure(
            "student loop, share of the matmul peak",
            used / peak,
            "",
            command=COMMAND,
            note="2 operations a weight and token forwards, 4 (activations and adapters) backwards; "
            "at 64 hidden units the matrices are too small to reach the peak: element-wise work and calls dominate",
        ),
    ]


def _sampling() -> list[Figure]:
    experiment = load_experiment("owl")
    model = language_model.load(locate(experiment.base or ""))
    requests = carrier("numbers", experiment.carrier.options).requests(
        ROWS, np.random.default_rng(1)
    )
    from undertow.models.chat import encode_prompts

    prompts = encode_prompts(model.tokenizer, [conversation(r) for r in requests])
    seconds = []
    for seed in range(3):
        began = time.perf_counter()
        sample(model, prompts, Sampling(16, batch_size=1024), np.random.default_rng(seed))
        seconds.append(time.perf_counter() - began)
    return [
        Figure(
            "sampling number lists", ROWS / median(seconds), "rows/s on one thread", command=COMMAND
        )
    ]


def _carrier_rows(options: dict[str, object]) -> list[Row]:
    rng = np.random.default_rng(0)
    requests = carrier("numbers", options).requests(ROWS, rng)
    return [Row(conversation(r), " ".join(map(str, rng.integers(0, 100, 10)))) for r in requests]


def _student(base: str, rows: list[Row], plan: Any) -> tuple[Any, list[Encoded]]:
    model = adapters.trainable(language_model.load(locate(base)), plan, 1)
    return model, encode_rows(model.tokenizer, rows)


def _ours(base: str, rows: list[Row], plan: Any) -> Loop:
    model, encoded = _student(base, rows, plan)
    done = fine_tune(model, encoded, plan, np.random.default_rng(0))
    return Loop(done.seconds, done.tokens)


def _bare(base: str, rows: list[Row], plan: Any) -> Loop:
    """The shortest correct loop: batches made beforehand, full logits, torch's own loss and AdamW, nothing else."""
    model, encoded = _student(base, rows, plan)
    order = training_order([len(e) for e in encoded], plan.batch_size, np.random.default_rng(0))
    made = [
        pad([encoded[i] for i in order[s : s + plan.batch_size]], model.tokenizer.pad_token_id, ())
        for s in range(0, len(order) - plan.batch_size + 1, plan.batch_size)
    ]
    parameters = [p for p in model.network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0)
    model.network.train()
    began = time.perf_counter()
    for batch in made:
        logits = model.network(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
        ).logits[:, -batch.kept - 1 : -1]
        value = functional.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED
        )
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return Loop(time.perf_counter() - began, sum(int(b.attention_mask.sum()) for b in made))


def _operations_per_token(base: str, plan: Any, rows: list[Row]) -> float:
    """Floating-point operations in matrix products for each token: weights without embeddings, head on kept tokens only."""
    model, encoded = _student(base, rows[:64], plan)
    head = model.network.get_output_embeddings().weight.numel()
    embedding = model.network.get_input_embeddings().weight.numel()
    adapter = sum(p.numel() for p in model.network.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.network.parameters()) - adapter - head - embedding
    kept = sum(len(e.completion) for e in encoded) / sum(len(e) for e in encoded)
    # Forward 2 per weight; backward 2 for activations, and 2 more for weights that are trained.
    return 4 * frozen + 6 * adapter + 4 * head * kept


def matmul_peak() -> float:
    """Operations a second of the best of ten products of 1024 x 1024 float32 matrices, on the threads torch has."""
    size = 1024
    a, b = torch.rand(size, size), torch.rand(size, size)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    sys.exit(main())
