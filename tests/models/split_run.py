"""
What a model scores, samples, trains and differentiates: in one process, or in one of several that share its matrices.

    python tests/models/split_run.py BASE FOLDER                                alone
    torchrun --nproc-per-node 2 tests/models/split_run.py BASE FOLDER           split

Each process leaves FOLDER/RANK-of-PROCESSES.pt.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import continuations, scoring
from undertow.models.adapters import parallel_adapters
from undertow.models.chat import pad
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import own_answers
from undertow.models.scoring import log_likelihoods, token_log_likelihoods
from undertow.models.several_runs import ParallelTraining, Runs, several_runs
from undertow.models.training_sequences import encode_rows
from undertow.worlds.base_models import open_model

ROWS = [
    Row(conversation(f"Continue: {n} {n + 1}. Ten more numbers."), "7 " * (2 + n % 3) + "7")
    for n in range(16)
]
SEEDS = (5, 6, 7)


def readings(model: LanguageModel, rank: int, dropout: float = 0.0) -> dict[str, torch.Tensor]:
    """
    Scores of rows, drawn answers, adapters' gradients, a rehearsal's weights and losses, and what each then scores.

    Logits are the network's own in each case: a head that is hooked or split is left whole, another one would be computed
    in pieces, which rounds otherwise.
    """
    with (
        patch.object(scoring, "plain_head", lambda *_: None),
        patch.object(continuations, "plain_head", lambda *_: None),
    ):
        return _readings(model, rank, dropout)


def _continued(model: LanguageModel, blocks: int) -> torch.Tensor:
    """What follows three of the rows' prompts, some of it alike, by so many adapters."""
    prompts = [row.prompt for row in encode_rows(model.tokenizer, ROWS[:3])]
    asked = [
        continuations.Continued(prompt, ((5,), (7, 9), (7, 9, 4), (8, 3))) for prompt in prompts
    ]
    with torch.no_grad():
        return torch.cat(continuations.continuations(model, asked, blocks=blocks), 1)


def _readings(model: LanguageModel, rank: int, dropout: float) -> dict[str, torch.Tensor]:
    plan = TrainingPlan(rank=rank, learning_rate=2e-3, batch_size=8, epochs=2, dropout=dropout)
    rows = encode_rows(model.tokenizer, ROWS)
    drawn = own_answers(model, ROWS, 1.0, np.random.default_rng(1), None)
    result = {"scores": log_likelihoods(model, rows)}
    made = parallel_adapters(model, plan, SEEDS)
    for weights in range(len(SEEDS)):
        # B is 0 at first, where A has no gradient.
        for weight in made.parameters_of(weights):
            weight.data.add_(0.01)
    batch = pad(rows[: 2 * len(SEEDS)], model.tokenizer.pad_token_id, tuple(range(2 * len(SEEDS))))
    weights = [weight for k in range(len(SEEDS)) for weight in made.parameters_of(k)]
    result["probes"] = _continued(model, 1)
    with made.active() as adapted:
        result["probes of adapters"] = _continued(adapted, len(SEEDS))
    with made.active() as adapted:
        loss = token_log_likelihoods(adapted.network, batch).square().sum()
        gradients = torch.autograd.grad(loss, weights)
    result["gradients"] = torch.cat([part.flatten() for part in gradients])
    orders = [np.random.default_rng(seed) for seed in SEEDS]
    made = parallel_adapters(model, plan, SEEDS)
    result["drawn"] = torch.cat([w.detach().flatten() for w in made.parameters_of(0)])
    training = ParallelTraining(made, [rows] * len(SEEDS), plan, orders, plan.steps(len(rows)))
    training.advance_to(training.total)
    weights = [weight for k in range(len(SEEDS)) for weight in made.parameters_of(k)]
    result["weights"] = torch.cat([weight.detach().flatten() for weight in weights])
    result["losses"] = torch.tensor(training.loss_history)
    for k in range(len(SEEDS)):
        with training.only(k) as adapted:
            result[f"scores of adapter {k}"] = log_likelihoods(adapted, rows)
    texts = "\0".join("" if row is None else row.completion for row in drawn)
    result["texts"] = torch.tensor([*texts.encode()])
    result["after"] = log_likelihoods(model, rows)
    return result


def several(model: LanguageModel, plan: TrainingPlan) -> Runs:
    """Two runs of a plan on the rows."""
    rows = encode_rows(model.tokenizer, ROWS)
    orders = [np.random.default_rng(seed) for seed in SEEDS[:2]]
    return several_runs(model, [rows] * 2, plan, orders, plan.steps(len(rows)), SEEDS[:2])


def main(base: str, folder: str) -> None:
    """Open the base as the processes that there are say, and leave what it reads."""
    processes, number = (int(os.environ.get(n, d)) for n, d in (("WORLD_SIZE", "1"), ("RANK", "0")))
    table = ComputeTable(dtype="float32", device="cpu", shard="tensor" if processes > 1 else "none")
    model = open_model(base, compute=table)
    read = {}
    for rank in (2, 32):
        for dropout in (0.0, 0.1):
            read |= {
                f"rank {rank}, dropout {dropout}: {name}": value
                for name, value in readings(model, rank, dropout).items()
            }
    torch.save(read, Path(folder) / f"{number}-of-{processes}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
