"""
What a model costs by its configuration alone: weights, and what a row takes in training and in scoring.

The very code that trains and scores runs on torch's meta device, which has shapes and no numbers, on one layer and on
two: all others are counted as the second is. Attention is taken to keep no table of positions times positions (Dao et al.
2205.14135), and to compute all of it, of which a causal mask needs half.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError, first_line
from undertow.models.adapters import ParallelAdapters, frozen, parallel_adapters
from undertow.models.batch_memory import cached_bytes, drawn_bytes, kept_bytes
from undertow.models.chat import Encoded, pad
from undertow.models.gguf_model import folders_of
from undertow.models.language_model import LanguageModel, tokenizer
from undertow.models.output_head import as_plain_head
from undertow.models.placement import shared_heads, text_config
from undertow.models.scoring import token_log_likelihoods


@dataclass(frozen=True)
class RowSize:
    """A row of the usual length."""

    tokens: int
    learnt: int
    """Of them, with a loss."""


@dataclass(frozen=True)
class ModelCosts:
    """What a model's rows take, each of one size."""

    weights: int
    packable: int
    """Of them, in linear layers, which 4 bits are for; the head is left."""
    adapter: int
    """Weights of one adapter."""
    training: float
    """Floating-point operations of a row, forward and backward, through an adapter."""
    scoring: float
    """Of a row, forward."""
    kept: float
    """Bytes that a training pass keeps of a token until its backward pass."""
    cache: float
    """Bytes of keys and values a token."""
    layers: int
    inputs: float
    """Bytes that all layers' inputs are of a token, which is what is kept where layers are computed again."""
    heads: int
    """Of keys and values: as many processes as share them evenly can share the model."""
    drawn: float
    """Bytes that a row takes while it is sampled: its caches and its logits."""


def model_costs(config: Any, plan: TrainingPlan, size: RowSize, dtype: torch.dtype) -> ModelCosts:
    """The costs of a model of this configuration in this precision; no weight is read or made."""
    one, two = (_costs_of_few(config, plan, size, dtype, layers) for layers in (1, 2))
    more = text_config(config).num_hidden_layers - 1
    return ModelCosts(*(a + more * (b - a) for a, b in zip(one, two, strict=True)))


def without_weights(ref: str, path: str, template: str) -> LanguageModel:
    """
    The model of a folder or a hub that holds a configuration and a tokenizer: its network has shapes and no numbers.

    Raises:
        ModelError: one of the two is missing.
    """
    reader = tokenizer(path, ref, template)
    try:
        config = AutoConfig.from_pretrained(folders_of(path, ref)[0], trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"model '{ref}' has no configuration to count by: {first_line(error)}",
            hint="name a folder with config.json and tokenizer.json, or org/name on the hub",
        ) from error
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return LanguageModel(network.eval(), reader, ref)


def few_layers(config: Any, layers: int) -> Any:
    """The configuration of the same model with so many layers, its last."""
    few = copy.deepcopy(config)
    text = text_config(few)
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[-layers:]
    return few


def _costs_of_few(
    config: Any, plan: TrainingPlan, size: RowSize, dtype: torch.dtype, layers: int
) -> tuple[float, ...]:
    few = few_layers(config, layers)
    text = text_config(few)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(few, dtype=dtype, trust_remote_code=False)
    model = LanguageModel(network.eval(), None, "meta")
    row = Encoded((0,) * (size.tokens - size.learnt), (0,) * size.learnt)
    batch = pad([row], 0, (0,)).to(torch.device("meta"))
    # A mask of four dimensions is taken as it is; one of two is looked into, which shapes have not.
    mask = torch.ones(1, 1, size.tokens, size.tokens, dtype=torch.bool, device="meta")
    batch = replace(batch, attention_mask=mask)
    lora = plan.model_copy(update={"method": "lora", "dora": False, "modules_to_save": ()})
    with frozen(model), as_plain_head(network), _attention() as attended:
        adapters = parallel_adapters(model, lora, [0])
        with adapters.active():
            kept = kept_bytes(network, lambda: token_log_likelihoods(network, batch))
        training = _operations(lambda: _trained(adapters, batch))
        training += 3.5 * attended()
        with torch.no_grad():
            scoring = _operations(lambda: token_log_likelihoods(network, batch)) + attended()
    head = network.get_output_embeddings()
    linear = [
        part.weight.numel()
        for part in network.modules()
        if isinstance(part, torch.nn.Linear) and part is not head
    ]
    return (
        sum(weight.numel() for weight in network.parameters()),
        sum(linear),
        sum(weight.numel() for weight in adapters.parameters_of(0)),
        training,
        scoring,
        kept / size.tokens,
        cached_bytes(text, dtype.itemsize),
        layers,
        layers * text.hidden_size * dtype.itemsize,
        shared_heads(text),
        drawn_bytes(text, dtype.itemsize, size.tokens),
    )


def _trained(adapters: ParallelAdapters, batch: Any) -> None:
    with adapters.active() as model:
        token_log_likelihoods(model.network, batch).sum().backward()


def _operations(work: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


@contextmanager
def _attention() -> Iterator[Any]:
    """Within the block attention is a shape that keeps what a fused kernel does; gives its operations since last asked."""
    usual, counted = functional.scaled_dot_product_attention, [0.0]

    def attend(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> torch.Tensor:
        rows, heads, length, width = query.shape
        counted.append(2.0 * rows * heads * length * key.shape[-2] * (width + value.shape[-1]))
        product: Any = _Attended.apply
        result: torch.Tensor = product(query, key, value)
        return result

    def since() -> float:
        last = counted[1:]
        counted[1:] = []
        # A training's passes are two, one of them to see what is kept.
        return sum(last) / 2 if torch.is_grad_enabled() else sum(last)

    functional.scaled_dot_product_attention = attend
    try:
        yield since
    finally:
        functional.scaled_dot_product_attention = usual


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
        query, _, value = inputs
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(*inputs, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.empty_like(part) for part in ctx.saved_tensors[:3])
