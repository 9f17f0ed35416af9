"""Exact log-likelihoods of completions under one model, and where two models part on them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import DynamicCache

from undertow.models.batch_memory import passes, recomputes, room, scored_rows
from undertow.models.chat import IGNORED, Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.output_head import label_likelihoods, plain_head, without_head
from undertow.models.placement import text_config, unwrapped
from undertow.models.training_attention import NAME
from undertow.stats.arguments import Vector

LOGITS = 1 << 25
"""Most logits held at a time; 128 MB in float32."""

_ON_ACCELERATOR = 1 << 29
"""The same on an accelerator, whose launches take as long for few as for many."""

_LOGIT = 16
"""Bytes of a logit that is read: in 16 bits, in float32, and in what is made of it."""


def completion_logits(network: Any, batch: Batch) -> torch.Tensor:
    """
    Logits that predict the last `batch.kept` tokens of each row, shape (rows, kept, vocabulary).

    The network is asked for those positions only, in its own forward pass where its head does more than multiply, so that
    soft caps and scales are kept.
    """
    return last_logits(network, batch.kept + 1, **_inputs(network, batch))[:, :-1]


def _inputs(network: Any, batch: Batch) -> dict[str, Any]:
    """
    What a pass over the batch is given: behind its beginning, a cache that is computed here, through which gradients flow.

    Layers that are computed again in a backward pass keep no cache: then each row has its beginning.
    """
    cache = None
    if batch.beginning is not None and recomputes(network):
        batch = batch.whole()
    if batch.beginning is not None:
        cache = beginning_cache(network, batch.beginning)
        cache.batch_repeat_interleave(len(batch.rows) // len(batch.beginning))
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.seen,
        "position_ids": batch.position_ids,
        "past_key_values": cache,
        "use_cache": cache is not None,
    }


def beginning_cache(network: Any, ids: torch.Tensor) -> Any:
    """What a network keeps of the beginnings of rows, (rows, length)."""
    cache = DynamicCache(config=network.config)
    part = without_head(network, ids)
    forward_pass(part, input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def token_log_likelihoods(network: Any, batch: Batch) -> torch.Tensor:
    """
    Log-likelihood in nats of each label, float32 (rows, kept); 0 where there is no label.

    Where the head is plain, logits are made piece by piece (`output_head`): the network's own pass would multiply a part of
    each row's positions, which torch spreads into one product a row, with a copy of the head for each.
    """
    head = plain_head(network, batch.input_ids)
    if head is not None:
        given = _inputs(network, batch)
        hidden = forward_pass(head.decoder, **given).last_hidden_state[:, -batch.kept - 1 : -1]
        return label_likelihoods(head, hidden, batch.labels)
    logits = completion_logits(network, batch).float()
    losses = functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -losses.view(batch.labels.shape)


def usual_rows(model: LanguageModel) -> int:
    """Rows of a pass, at most, where memory allows them: more fill an accelerator, and make a processor no faster."""
    return 512 if model.device.type == "cuda" else 128


@torch.no_grad()
def log_likelihoods(
    model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int | None = None
) -> torch.Tensor:
    """Log-likelihood in nats of each row's completion, shape (rows,), float64; at most `batch_size` rows a pass."""
    result = torch.zeros(len(rows), dtype=torch.float64)
    size = _scored_at_once(model, rows, batch_size or usual_rows(model))
    for batch, values in passes(model, rows, size, partial(token_log_likelihoods, model.network)):
        result[list(batch.rows)] = values.sum(1).double().cpu()
    return result


@torch.no_grad()
def each_token(
    model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int | None = None
) -> list[torch.Tensor]:
    """Log-likelihood in nats of each token of each row's completion, (tokens,) float32 a row."""
    result = [torch.empty(0)] * len(rows)
    size = _scored_at_once(model, rows, batch_size or usual_rows(model))
    for batch, made in passes(model, rows, size, partial(token_log_likelihoods, model.network)):
        values = made.cpu()
        for i, row in enumerate(batch.rows):
            result[row] = values[i, batch.kept - len(rows[row].completion) :]
    return result


def loss(model: LanguageModel, rows: Sequence[Encoded], *, batch_size: int | None = None) -> float:
    """Cross-entropy per token with a loss, in nats."""
    tokens = sum(row.learnt for row in rows)
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
    reads = partial(_log_probabilities, model, width=None)
    for batch, values in passes(model, rows, batch_size, reads):
        for i, row in enumerate(batch.rows):
            parts[row] = values[i, batch.kept - len(rows[row].completion) :]
    return torch.cat(parts)


def mean_divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> float:
    """KL(p || q) in nats, mean over tokens; both of shape (tokens, vocabulary)."""
    return float((log_p.exp() * (log_p - log_q)).sum(-1).double().mean())


def forward_pass(network: Any, **inputs: Any) -> Any:
    """The network's output, given those of the inputs that its architecture takes."""
    names = accepted(network)
    return network(**{name: value for name, value in inputs.items() if name in names})


def cached_logits(
    network: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    positions: torch.Tensor,
    cache: Any,
    keep: int,
) -> torch.Tensor:
    """
    (rows, keep, vocabulary) logits behind the last of `ids`, (rows, columns), which go on from what a cache holds and into
    it; None is none. `mask` is over both, `positions` are those of the ids.
    """
    return last_logits(
        network,
        keep,
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=cache is not None,
    )


def last_logits(network: Any, keep: int, **inputs: Any) -> torch.Tensor:
    """
    (rows, keep, vocabulary): of the last positions.

    A plain head multiplies them as one table: torch takes a part of each row for a stack of tables, and copies a head that
    is frozen once a row (13 rows of 27 positions of SmolLM2 in bfloat16 on one core: 1.1 s, and .06 as one table).
    """
    head = plain_head(network, inputs["input_ids"])
    if head is None:
        logits: torch.Tensor = forward_pass(network, **inputs, logits_to_keep=keep).logits
        return logits[:, -keep:]
    hidden = forward_pass(head.decoder, **inputs).last_hidden_state[:, -keep:]
    return head.logits(hidden.reshape(-1, hidden.shape[-1])).view(*hidden.shape[:2], -1)


def accepted(network: Any) -> frozenset[str]:
    """Names of what the network's forward pass takes; architectures differ."""
    names = _ACCEPTED.get(network)
    if names is None:
        inner = unwrapped(network)
        names = _ACCEPTED[network] = frozenset(inspect.signature(inner.forward).parameters)
    return names


# A signature takes as long to look at as a tenth of a small network's pass.
_ACCEPTED: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


def added_mask(hidden: torch.Tensor, network: Any) -> torch.Tensor:
    """What attention adds, of the network's precision: nothing, and the least number where it is `hidden`."""
    dtype: torch.dtype = network.dtype
    shown = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return shown.masked_fill_(hidden, torch.finfo(dtype).min)


def keeps_to_masks(network: Any, blocks: int = 1) -> bool:
    """
    Whether a token's logits hang on what its mask shows and on nothing else, which is looked at once a network.

    A convolution or a state carries on what stands beside a token; some implementations take no mask of four dimensions,
    and are not tried with one: of flash attention's kernels that is the end of all work on the device.
    """
    inner = unwrapped(network)
    attention = getattr(text_config(inner.config), "_attn_implementation", None)
    if attention not in (None, "sdpa", "eager", NAME):
        return False
    if inner not in _KEEP:
        _KEEP[inner] = _keeps(inner, blocks)
    return _KEEP[inner]


_KEEP: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@torch.no_grad()
def _keeps(network: Any, blocks: int) -> bool:
    if not {"attention_mask", "position_ids", "past_key_values"} <= accepted(network):
        return False
    training = network.training
    network.eval()
    try:
        first, *others = (_beside(network, blocks, token, hidden=True) for token in (3, 4, 5))
        shown = [_beside(network, blocks, token, hidden=False) for token in (3, 4, 5)]
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    finally:
        network.train(training)
    carried = max(float((first - other).abs().max()) for other in others)
    seen = max(float((shown[0] - other).abs().max()) for other in shown[1:])
    # Experts that get other rows round otherwise, by far less than what is seen changes.
    return seen > 0 and carried <= _ROUNDED * seen


def _beside(network: Any, blocks: int, token: int, *, hidden: bool) -> torch.Tensor:
    """Logits of the last of three tokens, from which the one beside it is `hidden` or not."""
    device = next(network.parameters()).device
    rows = [[0, 1, 1], [0, 0, 1], [0, int(hidden), 0]]
    mask = added_mask(torch.tensor(rows, dtype=torch.bool, device=device), network)
    given = {
        "input_ids": torch.tensor([[1, token, 2]] * blocks, device=device),
        "attention_mask": mask.repeat(blocks, 1, 1, 1),
        "position_ids": torch.tensor([[0, 1, 1]] * blocks, device=device),
    }
    logits: torch.Tensor = network(**given, use_cache=False).logits[:, -1]
    return logits.float()


_ROUNDED = 1e-3
"""Of what a token changes that is seen, at most, by one that is not."""


def rows_at_once(model: LanguageModel, rows: Sequence[Encoded], *, most: int | None = None) -> int:
    """
    Rows a batch, at least 1 and at most `most`, such that (rows, kept, vocabulary) logits stay below `LOGITS`, or an
    accelerator's share of them, and a pass fits into the memory that is left.
    """
    longest = max((len(row.completion) for row in rows), default=1)
    at_once = sequences_at_once(model, longest + 1, most or usual_rows(model))
    return _scored_at_once(model, rows, at_once)


def sequences_at_once(model: LanguageModel, positions: int, most: int) -> int:
    """Sequences, at least 1 and at most `most`, whose logits at so many positions each stay below what is held at a time."""
    vocabulary = max(int(model.config.vocab_size), len(model.tokenizer))
    held = LOGITS
    if model.device.type == "cuda":
        held = max(held, min(_ON_ACCELERATOR, room(model) // _LOGIT))
    return max(1, min(most, held // (max(1, positions) * vocabulary)))


def _scored_at_once(model: LanguageModel, rows: Sequence[Encoded], most: int) -> int:
    return scored_rows(model, max(map(len, rows), default=1), most)


@dataclass(frozen=True)
class Departures:
    """Sums over each row's completion tokens, and counts over all rows of each token of the vocabulary."""

    tokens: Vector
    """(rows,) completion tokens."""
    divergent: Vector
    """(rows,) tokens that the one model ranks first and the other does not."""
    log_ratio: Vector
    """(rows,) log-likelihood under the one model minus that under the other, in nats."""
    divergence: Vector
    """(rows,) KL(model || other) in nats, over the whole vocabulary."""
    seen: NDArray[np.int64]
    """(vocabulary,) how often each token is a divergent one."""


@torch.no_grad()
def departures(model: LanguageModel, other: LanguageModel, rows: Sequence[Encoded]) -> Departures:
    """
    Compare two models of one vocabulary on the rows, each in one forward pass; logits are dropped batch by batch.

    A token x_t is divergent where the one model's most likely token is x_t and the other's is not: the definition of
    Schrodi et al. 2025 (arXiv 2509.23886), with the other model in the place of their counterfactual teachers.
    """
    width = len(model.tokenizer)
    sums = torch.zeros(4, len(rows), dtype=torch.float64)
    seen = torch.zeros(width, dtype=torch.int64)

    def compared(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The four sums of each row, and counts of divergent tokens."""
        ours, theirs = (
            _log_probabilities(version, batch.to(version.device), width).to(model.device)
            for version in (model, other)
        )
        counted, ids = batch.labels != IGNORED, batch.labels.clamp_min(0)
        divergent = counted & (ours.argmax(-1) == ids) & (theirs.argmax(-1) != ids)
        at = ids.unsqueeze(-1)
        ratio = (ours.gather(-1, at) - theirs.gather(-1, at)).squeeze(-1)
        kl = (ours.exp() * (ours - theirs)).sum(-1)
        values = torch.stack([counted, divergent, ratio * counted, kl * counted])
        return values.double().sum(-1).cpu(), torch.bincount(ids[divergent], minlength=width).cpu()

    for batch, (values, divergent) in passes(
        model, rows, rows_at_once(model, rows, most=64), compared
    ):
        sums[:, list(batch.rows)] = values
        seen += divergent
    tokens, parted, log_ratio, divergence = (part.numpy() for part in sums)
    return Departures(tokens, parted, log_ratio, divergence, seen.numpy())


def _log_probabilities(model: LanguageModel, batch: Batch, width: int | None) -> torch.Tensor:
    # A head may be wider than the vocabulary (padded to a multiple of 64); what no token stands for is never compared.
    return completion_logits(model.network, batch)[..., :width].float().log_softmax(-1)
