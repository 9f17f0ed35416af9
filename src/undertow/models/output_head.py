"""A network's head, a few positions or a few rows of it at a time: no table of positions times vocabulary stands in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional

from undertow.models.chat import IGNORED
from undertow.models.placement import computing_as, is_split, own_place, unwrapped

PIECE = 1 << 26
"""Bytes of float32 logits that are held at a time."""

FEW = 1 / 8
"""Share of the vocabulary below which only the rows of a head that are wanted are used."""

_SLICE = 8192
"""Rows of a head that are widened to float32 at a time."""


@dataclass(frozen=True)
class PlainHead:
    """A frozen head that multiplies what the decoder gives and does nothing else: no scale, no cap."""

    decoder: Any
    weight: torch.Tensor
    """(vocabulary, hidden)."""
    bias: torch.Tensor | None

    def logits(self, hidden: torch.Tensor, wanted: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, vocabulary or wanted) of (rows, hidden), as the network's own head makes them; of few without the others."""
        if wanted is None or len(wanted) >= FEW * len(self.weight):
            made = functional.linear(hidden, self.weight, self.bias)
            return made if wanted is None else made[:, wanted]
        bias = None if self.bias is None else self.bias[wanted]
        return functional.linear(hidden, self.weight[wanted], bias)


_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def plain_head(network: Any, ids: torch.Tensor) -> PlainHead | None:
    """The network's head where it is plain, which is looked at once on the last column of `ids`, (rows, length); else None."""
    inner = unwrapped(network)
    head, decoder = inner.get_output_embeddings(), getattr(inner, "base_model", None)
    if type(head) is not nn.Linear:
        return None
    if "forward" in vars(head) or (head.weight.requires_grad and torch.is_grad_enabled()):
        return None
    if head._forward_hooks or head._forward_pre_hooks:
        return None  # whoever hangs on to it is told of every pass
    return PlainHead(decoder, head.weight, head.bias) if _is_plain(inner, head, ids) else None


def without_head(network: Any, ids: torch.Tensor) -> Any:
    """What gives the network's hidden states, and fills its cache, without any logits; the network where it is not told."""
    inner = unwrapped(network)
    head = inner.get_output_embeddings()
    if type(head) is not nn.Linear or ("forward" in vars(head) and inner not in _known):
        return network
    return inner.base_model if _is_plain(inner, head, ids) else network


def _is_plain(inner: Any, head: Any, ids: torch.Tensor) -> bool:
    if inner not in _known:
        _known[inner] = _only_multiplies(inner, head, ids[:, -1:])
    return _known[inner]


@contextmanager
def as_plain_head(network: Any) -> Iterator[None]:
    """Within the block the network's head counts as plain: on the meta device there is nothing to look at."""
    _known[network] = True
    try:
        yield
    finally:
        del _known[network]


@torch.no_grad()
def _only_multiplies(network: Any, head: Any, ids: torch.Tensor) -> bool:
    decoder, training = getattr(network, "base_model", network), network.training
    if type(head) is not nn.Linear or decoder is network:
        return False
    network.eval()
    try:
        hidden = getattr(decoder(input_ids=ids, use_cache=False), "last_hidden_state", None)
        logits = network(input_ids=ids, use_cache=False).logits
        return hidden is not None and torch.equal(head(hidden), logits)
    except TypeError:
        return False
    finally:
        network.train(training)


def label_likelihoods(head: PlainHead, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """
    Log-likelihood in nats of each label, float32 of the shape of `labels`; 0 where there is none.

    `hidden` is (..., hidden), of what predicts each label. Its gradient is made in the forward pass, piece by piece, and
    scaled in the backward pass: softmax minus one at the label, times the head.
    """
    product: Any = _LabelLikelihoods.apply
    values: torch.Tensor = product(hidden.flatten(0, -2), head.weight, head.bias, labels.flatten())
    return values.view(labels.shape)


def next_token_likelihoods(
    head: PlainHead, hidden: torch.Tensor, at: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """
    (blocks, pairs) float64: log-likelihood in nats of each of `tokens`, (pairs,), by the position of `hidden`, (blocks,
    positions, hidden), of which `at` is the number, (pairs,).

    Logits are at least float32 whatever the head's precision, and are summed over a part of its rows at a time.
    """
    width = torch.promote_types(hidden.dtype, torch.float32)
    wide = hidden.to(width)
    bias = (torch.zeros_like(head.weight[:, 0]) if head.bias is None else head.bias).to(width)
    pieces = wide.flatten(0, 1).split(max(1, PIECE // (4 * _SLICE)))
    parts = []
    for rows, added in zip(head.weight.split(_SLICE), bias.split(_SLICE), strict=True):
        transposed = rows.to(width).T
        parts.append(torch.cat([log_sums(torch.addmm(added, one, transposed)) for one in pieces]))
    totals = torch.stack(parts).logsumexp(0).view(hidden.shape[:2])
    size = max(1, PIECE // (4 * wide.shape[0] * wide.shape[2]))
    logits = torch.cat(
        [
            (wide[:, of] * head.weight[token].to(width)).sum(-1) + bias[token]
            for of, token in zip(at.split(size), tokens.split(size), strict=True)
        ],
        1,
    )
    return logits.double() - totals[:, at]


def log_sums(logits: torch.Tensor) -> torch.Tensor:
    """
    (...,) float64: logsumexp over the last axis of logits, which are overwritten where no gradient is kept.

    In float32 the result itself would be rounded: at 10 to half a millionth.
    """
    largest = logits.detach().amax(-1, keepdim=True)
    if logits.requires_grad:
        sums = (logits - largest).exp().sum(-1)
    else:
        sums = logits.sub_(largest).exp_().sum(-1)
    return largest.squeeze(-1).double() + sums.double().log()


class _LabelLikelihoods(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        values = torch.zeros(len(labels), device=hidden.device)
        wanted = ctx.needs_input_grad[0]
        gradient = torch.zeros_like(hidden) if wanted else None
        size = max(1, PIECE // (4 * len(weight)))
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            chosen = labels[part].clamp_min(0).unsqueeze(1)
            counted = labels[part] != IGNORED
            logits = functional.linear(hidden[part], weight, bias).float()
            total = logits.logsumexp(1)
            likelihoods = logits.gather(1, chosen)[:, 0] - total
            values[part] = torch.where(counted, likelihoods, 0)
            if gradient is not None:
                shares = logits.sub_(total.unsqueeze(1)).exp_().neg_()
                shares.scatter_add_(1, chosen, torch.ones_like(shares[:, :1]))
                shares.mul_(counted.unsqueeze(1))
                gradient[part] = shares.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        [given], [gradient] = gradients, ctx.saved_tensors
        return gradient * given.unsqueeze(1).to(gradient.dtype), None, None, None


@contextmanager
def exact_logits(network: Any) -> Iterator[None]:
    """
    Within the block the head of a network in 16 bits gives logits in float32; what it is given stays in 16 bits.

    Logits of 16 to 32 are an eighth apart in bfloat16, which is what a margin would be rounded to.
    """
    head = network.get_output_embeddings()
    if type(head) is not nn.Linear or head.weight.dtype not in (torch.bfloat16, torch.float16):
        yield
    elif multiplies(head):
        with computing_as(head, partial(_widened, head)):
            yield
    elif _follows_plan(head):
        with computing_as(head, partial(_widened_part, head, head.forward)):
            yield
    else:
        yield


def multiplies(head: Any) -> bool:
    """Whether a head is a linear layer that computes as such, behind whatever hooks of a device map."""
    if type(head) is not nn.Linear:
        return False
    own = vars(head).get(own_place(head))
    return own is None or getattr(own, "__func__", None) is nn.Linear.forward


def _follows_plan(head: Any) -> bool:
    """Whether it is split over processes, and gathers what they make of their parts by transformers' plan."""
    by = getattr(vars(head).get("forward"), "__module__", "")
    return is_split(head.weight) and by.startswith("transformers.")


def _widened_part(head: Any, forward: Callable[..., Any], hidden: torch.Tensor) -> torch.Tensor:
    """As the plan's `forward` makes them, of what this process holds in float32."""
    narrow = dict(head._parameters)
    for name, weight in narrow.items():
        if weight is not None:
            head._parameters[name] = nn.Parameter(weight.detach().float(), requires_grad=False)
    try:
        logits: torch.Tensor = forward(hidden.float())
        return logits
    finally:
        head._parameters.update(narrow)


def _widened(head: Any, hidden: torch.Tensor) -> torch.Tensor:
    wide = hidden.float()
    parts = [wide @ rows.float().T for rows in head.weight.split(_SLICE)]
    logits: torch.Tensor = torch.cat(parts, -1)
    return logits if head.bias is None else logits + head.bias.float()
