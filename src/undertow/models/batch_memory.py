"""How many rows a pass holds: by what it keeps of each token, and by the memory that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from undertow.errors import UndertowError
from undertow.models.hardware import LEAST_WEIGHTS, free_memory
from undertow.models.language_model import LanguageModel
from undertow.models.placement import text_config

MOST_ON_CPU = 2_000_000_000
"""Bytes that a pass takes at most on a processor, where larger batches are no faster."""

_SHARE = 0.5
"""Of the memory that is left: a backward pass needs its own on top."""

_LAST_SHARE = 0.8
"""Of it, for a pass that cannot be made smaller."""

_DRAWN = 32
"""Bytes a token of the vocabulary while the next one is drawn: logits, probabilities, their sums in float64."""


_LITTLE = 32_000_000
"""Bytes below which a pass is made without a look at what is left, which takes as long as a small network's pass."""


def room(model: LanguageModel) -> int:
    """Bytes that one pass may take, on the fullest of the devices that its layers lie on."""
    share = int(_SHARE * _free(model))
    return share if model.device.type == "cuda" else min(share, MOST_ON_CPU)


def _free(model: LanguageModel) -> int:
    return min(map(free_memory, {weight.device for weight in model.network.parameters()}))


def scored_rows(model: LanguageModel, longest: int, most: int) -> int:
    """Rows of so many tokens that a pass without gradients holds, at least 1 and at most `most`."""
    return _fitting(most, model, longest * _passing(model))


def sampled_rows(model: LanguageModel, longest: int, most: int) -> int:
    """Rows of so many tokens, with their answers, that are sampled side by side: with caches, and logits of each."""
    config = text_config(model.network.config)
    cached = cached_bytes(config, _item(model))
    # A cache is copied where rows come and go.
    row = longest * (2 * cached + _passing(model)) + _DRAWN * int(config.vocab_size)
    return _fitting(most, model, row)


def cached_bytes(config: Any, item: int) -> int:
    """Bytes of keys and values a token, of so many bytes a number; by a language model's configuration."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * item)


def _fitting(most: int, model: LanguageModel, row: float) -> int:
    return most if most * row <= _LITTLE else _at_most(most, room(model), row)


def _at_most(most: int, there: int, row: float) -> int:
    return max(1, min(most, int(there // max(1, row))))


def _passing(model: LanguageModel) -> int:
    """Bytes a token while it goes through a layer: four of the feed-forward's width, five of the model's, norms in float32."""
    config = text_config(model.network.config)
    width = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * width)
    return _item(model) * (5 * width + 4 * inner) + 12 * width


def _item(model: LanguageModel) -> int:
    return int(next(model.network.parameters()).element_size())


@dataclass(frozen=True)
class TrainingRoom:
    """What a pass with gradients keeps, measured on a row of each run, and what there is room for."""

    bytes_a_token: float
    """Of one run."""
    room: int

    def rows(self, longest: int, runs: int, wanted: int) -> int:
        """Rows of each run, of so many tokens, that a pass holds: at least 1 and at most `wanted`."""
        return _at_most(wanted, self.room, self.bytes_a_token * longest * runs)


UNLIMITED = TrainingRoom(0.0, 1 << 60)
"""Of a small model, which is not measured."""


def training_room(
    model: LanguageModel, trial: Callable[[], torch.Tensor], tokens: int, longest: int, runs: int
) -> TrainingRoom:
    """
    What a pass keeps for its backward pass, by a `trial` that gives the loss of a row of each run, of `tokens` in all.

    Where not even a row of each run with `longest` tokens fits, layers are computed again in the backward pass (gradient
    checkpointing), which keeps their inputs only.

    Raises:
        UndertowError: not even that fits; the message says what would.
    """
    network = model.network
    if sum(weight.numel() for weight in network.parameters()) < LEAST_WEIGHTS:
        return UNLIMITED
    if recomputes(network):
        _recompute(network, on=False)
    there = room(model)
    last = int(_LAST_SHARE * _free(model))
    kept = kept_bytes(network, trial) / tokens
    if kept * longest * runs <= max(there, last):
        return TrainingRoom(kept, there)
    if getattr(network, "supports_gradient_checkpointing", False):
        _recompute(network, on=True)
        kept = kept_bytes(network, trial) / tokens
        if kept * longest * runs <= last:
            return TrainingRoom(kept, there)
    raise UndertowError(
        f"too little memory to train '{model.ref}': a row of {longest} tokens takes {kept * longest * runs / 1e9:.1f} GB"
        f"{f' in {runs} adapters side by side' if runs > 1 else ''}, and {last / 1e9:.1f} GB are left; "
        f"{_what_fits(model, last / kept, longest, runs)}",
        hint="lower max_length in the plan, or train on a machine with more memory (--device)",
    )


def recomputes(network: Any) -> bool:
    """Whether its layers are computed again in a backward pass."""
    return any(getattr(module, "gradient_checkpointing", False) for module in network.modules())


def _recompute(network: Any, *, on: bool) -> None:
    how = ({"use_reentrant": False},) if on else ()
    # transformers has given the switch another name.
    names = (
        f"{kind}_checkpointing_{'enable' if on else 'disable'}"
        for kind in ("activation", "gradient")
    )
    switch = next(filter(None, (getattr(network, name, None) for name in names)))
    switch(*how)


def _what_fits(model: LanguageModel, tokens: float, longest: int, runs: int) -> str:
    ways = [f"rows of {int(tokens // runs)} tokens would fit"]
    if runs > 1 and tokens >= longest:
        ways.append(f"{int(tokens // longest)} adapters at a time")
    if _item(model) > 2:
        ways.append("--dtype bfloat16 takes half")
    return ", ".join(ways)


def kept_bytes(network: Any, trial: Callable[[], torch.Tensor]) -> int:
    """Bytes that autograd keeps of a computation, those of the network's own weights left out."""
    # Of a matrix that is split over processes this one holds a part.
    parts = [getattr(weight, "_local_tensor", weight) for weight in network.parameters()]
    weights = {_place(part) for part in parts}
    # Held until all are counted, so that no address is given out twice.
    held: dict[int, torch.UntypedStorage] = {}

    def count(tensor: torch.Tensor) -> None:
        # What is packed must not be the tensor: an operation that saves its own result would never be freed.
        if _place(tensor) not in weights:
            held[_place(tensor)] = tensor.untyped_storage()

    devices = [tensor.device for tensor in network.parameters() if tensor.device.type == "cuda"]
    with (
        torch.enable_grad(),
        torch.random.fork_rng(devices=list(dict.fromkeys(devices))),
        torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing),
    ):
        trial()
    return sum(storage.nbytes() for storage in held.values())


def _place(tensor: torch.Tensor) -> int:
    # Tensors on the meta device, by which costs are counted, have no address to tell them by.
    return int(tensor.untyped_storage()._cdata)
