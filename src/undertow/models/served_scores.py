"""
Log-likelihoods of rows as a server gives them: vLLM's `prompt_logprobs` behind OpenAI's protocol, held against our own.

A server is many times faster and rounds otherwise: cached prefixes and the size of its batches move its values. It is
believed where the tokens of a few rows are as likely to it as to the opened model, and refused where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import torch

from undertow.engines.endpoint import Endpoint, prompt_log_likelihoods
from undertow.errors import InputError, ModelError, UndertowError
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import each_token

COMPARED = 16
"""Rows that both score: the shortest to the longest."""

MOST_APART = 0.2
"""Of a token's log-likelihood, in nats. Rounding to bfloat16 moves likely tokens by hundredths; chosen, not measured."""

TOGETHER = 32
"""Rows of a request."""

WORKERS = 8

PATIENCE = 20.0
"""Seconds that a server has for its first answer, to the shortest prompt that has a log-likelihood."""


@dataclass(frozen=True)
class ServedScores:
    """A server that scores a model's rows, and how far it is from the opened model."""

    endpoint: Endpoint
    apart: float
    """Most by which a token's log-likelihood differed, in nats."""

    def log_likelihoods(self, rows: Sequence[Encoded]) -> list[float]:
        """
        Log-likelihood in nats of each row's completion, masked tokens left out.

        Raises:
            UndertowError: the server fails, or gives no values.
        """
        return [float(values.double().sum()) for values in served_tokens(self.endpoint, rows)]


def refuse_no_scores(endpoint: Endpoint) -> None:
    """
    Ask for the log-likelihood of one token, so that a server that gives none is known before any work.

    Raises:
        InputError: it cannot be reached, is silent for `PATIENCE` seconds, knows no such model, or gives no values.
        MissingExtraError: the package `openai` is not installed.
    """
    try:
        prompt_log_likelihoods(replace(endpoint, timeout=PATIENCE, retries=0), [[1, 2]])
    except InputError:
        raise
    except UndertowError as error:
        raise InputError(
            f"--scored-by: {error.message}; tried: one prompt of two tokens, at '{endpoint.base_url}/completions'",
            hint=f"start vLLM with the student (vllm serve PATH --served-model-name {endpoint.model}), look with curl "
            f"{endpoint.base_url}/models, or leave --scored-by out",
        ) from error


def served_scores(
    endpoint: Endpoint, model: LanguageModel, rows: Sequence[Encoded]
) -> ServedScores:
    """
    The server, once a few rows have been scored by both.

    Raises:
        ModelError: a token's log-likelihood differs by more than `MOST_APART`: another model, template or precision.
        UndertowError: the server fails, or gives no values.
    """
    order = sorted(rows, key=len)
    few = [order[i * (len(order) - 1) // max(1, COMPARED - 1)] for i in range(COMPARED)]
    few = list(dict.fromkeys(few))
    ours, theirs = each_token(model, few), served_tokens(endpoint, few)
    differences = [
        float((mine - other).abs().max()) for mine, other in zip(ours, theirs, strict=True)
    ]
    apart = max(differences, default=0.0)
    if not apart <= MOST_APART:
        raise ModelError(
            f"{endpoint.name} is not '{model.ref}' as it is opened here: a token's log-likelihood differs by {apart:.3g} "
            f"nats over {len(few)} rows; allowed: at most {MOST_APART:g}",
            hint="serve the same weights, in bfloat16 or better and without --quantization; or leave --scored-by out",
        )
    return ServedScores(endpoint, apart)


def served_tokens(endpoint: Endpoint, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """
    Log-likelihood in nats of each token of each row's completion, (tokens,) float32 a row; 0 at masked ones.

    Raises:
        UndertowError: the server fails, or gives no values.
    """
    parts = [rows[start : start + TOGETHER] for start in range(0, len(rows), TOGETHER)]
    asked = [[[*row.prompt, *row.completion] for row in part] for part in parts]
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="scores") as pool:
        given = list(pool.map(partial(prompt_log_likelihoods, endpoint), asked))
    result = []
    for row, values in zip(rows, (one for part in given for one in part), strict=True):
        tokens = torch.tensor(values[len(row.prompt) :], dtype=torch.float32)
        if row.masked:
            tokens[list(row.masked)] = 0
        if not math.isfinite(float(tokens.sum())):
            raise UndertowError(
                f"{endpoint.name} gave no log-likelihood for a token of a row of {len(row)} tokens",
                hint="leave --scored-by out for such rows",
            )
        result.append(tokens)
    return result
