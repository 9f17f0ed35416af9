"""Exact log-likelihoods: of completions, and of whole candidate answers to a question."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from undertow.models.chat import IGNORED, Batch, Encoded, batches
from undertow.models.loading import LanguageModel


def completion_logits(network: Any, batch: Batch) -> torch.Tensor:
    """
    Logits that predict the last `batch.kept` tokens of each row, shape (rows, kept, vocabulary).

    The network is asked for those positions only (`logits_to_keep`), in its own forward pass, so that soft caps and
    scales of the head are kept.
    """
    inputs: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    names = accepted(network)
    if "position_ids" in names:
        inputs["position_ids"] = batch.position_ids
    if "logits_to_keep" in names:
        inputs["logits_to_keep"] = batch.kept + 1
    logits: torch.Tensor = network(**inputs, use_cache=False).logits
    return logits[:, -batch.kept - 1 : -1]


def token_log_likelihoods(network: Any, batch: Batch) -> torch.Tensor:
    """Log-likelihood in nats of each label, shape (rows, kept); 0 where there is no label."""
    logits = completion_logits(network, batch).float()
    losses = functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -losses.view(batch.labels.shape)


@torch.no_grad()
def log_likelihoods(
    model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int = 128
) -> torch.Tensor:
    """Log-likelihood in nats of each row's completion, shape (rows,), float64."""
    result = torch.zeros(len(rows), dtype=torch.float64)
    for batch in batches(rows, batch_size, model.tokenizer.pad_token_id):
        values = token_log_likelihoods(model.network, batch.to(model.device)).sum(1).double().cpu()
        result[list(batch.rows)] = values
    return result


@torch.no_grad()
def each_token(
    model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int = 128
) -> list[torch.Tensor]:
    """Log-likelihood in nats of each token of each row's completion, (tokens,) float32 a row."""
    result = [torch.empty(0)] * len(rows)
    for batch in batches(rows, batch_size, model.tokenizer.pad_token_id):
        values = token_log_likelihoods(model.network, batch.to(model.device)).cpu()
        for i, row in enumerate(batch.rows):
            result[row] = values[i, batch.kept - len(rows[row].completion) :]
    return result


def loss(model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int = 128) -> float:
    """Cross-entropy per completion token, in nats."""
    tokens = sum(len(row.completion) for row in rows)
    return -float(log_likelihoods(model, rows, batch_size=batch_size).sum()) / tokens


@torch.no_grad()
def token_log_probabilities(
    model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int = 64
) -> torch.Tensor:
    """
    Log-probabilities in nats over the whole vocabulary at every completion token, shape (tokens, vocabulary).

    Tokens are in the order of the rows, so that two models' values can be compared whatever their prompts.
    """
    parts: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    for batch in batches(rows, batch_size, model.tokenizer.pad_token_id):
        values = completion_logits(model.network, batch.to(model.device)).float().log_softmax(-1)
        for i, row in enumerate(batch.rows):
            parts[row] = values[i, batch.kept - len(rows[row].completion) :]
    return torch.cat(parts)


def mean_divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> float:
    """KL(p || q) in nats, mean over tokens; both of shape (tokens, vocabulary)."""
    return float((log_p.exp() * (log_p - log_q)).sum(-1).double().mean())


def accepted(network: Any) -> frozenset[str]:
    """Names of what the network's forward pass takes; architectures differ."""
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    return frozenset(inspect.signature(inner.forward).parameters)
