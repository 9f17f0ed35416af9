"""LoRA adapters through peft: one on a model, saved and taken off; or several side by side, in one batched pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError
from undertow.models.adapted_layer import AdaptedLayer, Merged, through_blocks, through_one
from undertow.models.hardware import free_memory
from undertow.models.language_model import LanguageModel
from undertow.models.placement import computing_as, hollow, is_split, least_left
from undertow.models.saved_adapter import quiet_peft

_SHARE = 1 / 4
"""Of the memory that is left, which weights merged with an adapter may take while it is read."""


def trainable(model: LanguageModel, plan: TrainingPlan, seed: int) -> LanguageModel:
    """
    The model made ready for `plan`: a fresh adapter whose A is drawn from `seed`, or all weights.

    Raises:
        ModelError: no module has the name that the plan targets.
    """
    if plan.method == "full":
        model.network.requires_grad_(True)
        return model
    from peft import LoraConfig, get_peft_model

    targets = plan.targets if isinstance(plan.targets, str) else list(plan.targets)
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha or plan.rank,
        lora_dropout=plan.dropout,
        use_rslora=plan.rslora,
        use_dora=plan.dora,
        modules_to_save=list(plan.modules_to_save) or None,
        target_modules=None if targets == "default" else targets,
        task_type="CAUSAL_LM",
    )
    try:
        # peft draws A from torch's global stream; fork it, so that nothing else is disturbed.
        with torch.random.fork_rng(devices=[]), quiet_peft():
            torch.manual_seed(seed)
            wrapped = get_peft_model(model.network, config)
    except ValueError as error:
        raise ModelError(
            f"no adapter can be put on model '{model.ref}' with targets {plan.targets!r}: {error}",
            hint='use targets = "all-linear"',
        ) from error
    return replace(model, network=wrapped)


def trained_weights(model: LanguageModel) -> list[torch.nn.Parameter]:
    """The weights that training changes, in a fixed order."""
    return [weight for weight in model.network.parameters() if weight.requires_grad]


@torch.no_grad()
def interpolate(
    model: LanguageModel, start: list[torch.Tensor], end: list[torch.Tensor], share: float
) -> None:
    """Put the trained weights at `start + share * (end - start)`."""
    for weight, first, last in zip(trained_weights(model), start, end, strict=True):
        weight.copy_(torch.lerp(first, last, share))


def save(model: LanguageModel, folder: Path) -> None:
    """Write the adapter (or all weights, for a full fine-tune) as safetensors."""
    model.network.save_pretrained(str(folder), safe_serialization=True)


@dataclass
class ParallelAdapters:
    """K adapters on a model. Within `active` the network computes with them."""

    model: LanguageModel
    layers: list[AdaptedLayer]
    count: int
    chosen: int | None = None
    """The one adapter that all rows go through; None for block k through adapter k."""
    _merged: Merged | None = field(default=None, init=False, repr=False)
    """The layers with it, while it is chosen and there is room for them beside the base."""

    def parameters_of(self, index: int) -> list[nn.Parameter]:
        """Trainable weights of one adapter."""
        return [weight for layer in self.layers for weight in (layer.down[index], layer.up[index])]

    @contextmanager
    def active(self) -> Iterator[LanguageModel]:
        """Within the block, the model's layers compute with the adapters; it is the same network after it."""
        with ExitStack() as replaced:
            for layer in self.layers:
                replaced.enter_context(computing_as(layer.module, self._forward(layer)))
            yield self.model

    @contextmanager
    def only(self, index: int) -> Iterator[LanguageModel]:
        """Within the block, the model is the base with one adapter."""
        self.chosen, self._merged = index, {} if self._affords_merging() else None
        try:
            with self.active() as model:
                yield model
        finally:
            self.chosen = self._merged = None

    def _affords_merging(self) -> bool:
        taken = sum(layer.weight.nbytes for layer in self.layers)
        left = least_left(self.model.network, free_memory(self.model.device))
        return taken <= _SHARE * left

    def _forward(self, layer: AdaptedLayer) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(inputs: torch.Tensor) -> torch.Tensor:
            part, place = layer.part()
            entered = place.entered(inputs) if place else inputs
            if self.chosen is not None:
                result = through_one(part, entered, self.chosen, None if place else self._merged)
            else:
                result = through_blocks(part, entered, self.count)
            return place.left(result) if place else result

        return forward


@contextmanager
def frozen(model: LanguageModel) -> Iterator[None]:
    """Within the block no weight of the network requires gradients; after it those do that did before."""
    needed = [weight.requires_grad for weight in model.network.parameters()]
    model.network.requires_grad_(False)
    try:
        yield
    finally:
        for weight, before in zip(model.network.parameters(), needed, strict=True):
            weight.requires_grad_(before)


def parallel_adapters(
    model: LanguageModel, plan: TrainingPlan, seeds: Sequence[int]
) -> ParallelAdapters:
    """
    One fresh adapter a seed, each with the A that `trainable` draws from it; of equal seeds it is drawn once.

    Raises:
        ModelError: the plan trains more than LoRA, or targets layers that are not linear.
    """
    if plan.whole:
        raise ModelError(f"LoRA adapters are trained in parallel; the plan trains {plan.whole}")
    with frozen(model):
        distinct = {seed: _fresh(model, plan, seed) for seed in dict.fromkeys(seeds)}
    drawn = [distinct[seed] for seed in seeds]
    layers = []
    for name, (_, _, scale) in drawn[0].items():
        module = model.network.get_submodule(name)
        transposed = type(module).__name__ == "Conv1D"
        if not (isinstance(module, nn.Linear) or transposed):
            raise ModelError(
                f"layer '{name}' of '{model.ref}' is a {type(module).__name__}, which cannot be rehearsed",
                hint='use targets = "all-linear"',
            )
        downs = torch.stack([parts[name][0] for parts in drawn]).to(module.weight.device)
        ups = torch.stack([parts[name][1] for parts in drawn]).to(module.weight.device)
        down, up = ([nn.Parameter(part) for part in stacked] for stacked in (downs, ups))
        layers.append(AdaptedLayer(module, down, up, downs, ups, scale, plan.dropout, transposed))
    return ParallelAdapters(model, layers, len(seeds))


def _fresh(
    model: LanguageModel, plan: TrainingPlan, seed: int
) -> dict[str, tuple[torch.Tensor, torch.Tensor, float]]:
    # peft itself puts the adapter on and takes it off again: targets and draws are its own.
    from peft.tuners.lora import LoraLayer

    twin = hollow(model.network)
    wrapped = trainable(replace(model, network=twin), plan, seed).network
    drawn = {}
    for name, part in wrapped.base_model.model.named_modules():
        if isinstance(part, LoraLayer):
            layer: Any = part
            [adapter] = layer.lora_A
            down, up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            drawn[name] = (down.detach().clone(), up.detach().clone(), layer.scaling[adapter])
    wrapped.unload()
    return drawn


@contextmanager
def few_products(network: Any) -> Iterator[None]:
    """
    Within the block the plain LoRA layers that peft put on a network compute as `AdaptedProduct` does.

    Others (DoRA, a bias, a quantised base) are left to peft, and so is a layer while its adapter is off or merged.
    """
    changed = [part for part in network.modules() if _is_plain(part)]
    for part in changed:
        part.forward = _quick(part)
    try:
        yield
    finally:
        for part in changed:
            del part.forward


@contextmanager
def merged_adapters(network: Any) -> Iterator[None]:
    """
    Within the block plain LoRA layers are one product, with W + BA summed in float32 and rounded once to the base's type;
    after it every weight is the very tensor that it was.

    Others (DoRA, a bias, a quantised base, a head that is the embeddings too) stay as they are.
    """
    embeddings = network.get_input_embeddings().weight
    changed = [
        part
        for part in (network.modules() if hasattr(network, "peft_config") else ())
        if _is_plain(part)
        and part.base_layer.weight is not embeddings
        and not (part.disable_adapters or part.merged or "forward" in vars(part))
    ]
    kept = [part.base_layer.weight.data for part in changed]
    try:
        for part in changed:
            [name] = part.active_adapters
            weight = part.base_layer.weight
            change = part.lora_B[name].weight.float() @ part.lora_A[name].weight.float()
            total = torch.add(weight.data.float(), change, alpha=part.scaling[name])
            weight.data = total.detach().to(weight.dtype)
            part.forward = part.base_layer.forward
        yield
    finally:
        for part, weight in zip(changed, kept, strict=True):
            part.base_layer.weight.data = weight
            vars(part).pop("forward", None)


def _is_plain(part: Any) -> bool:
    from peft.tuners.lora import layer as lora

    return (
        type(part) is lora.Linear
        and type(part.base_layer) is nn.Linear
        and not is_split(part.base_layer.weight)
        and len(part.active_adapters) == 1
        and not part.lora_variant
        and not any(part.lora_bias.values())
    )


def _quick(part: Any) -> Callable[..., torch.Tensor]:
    [name] = part.active_adapters
    down, up, scale = part.lora_A[name].weight, part.lora_B[name].weight, part.scaling[name]
    stacked = down.detach().unsqueeze(0), up.detach().unsqueeze(0)
    share = getattr(part.lora_dropout[name], "p", 0.0)
    layer = AdaptedLayer(part.base_layer, [down], [up], *stacked, scale, share, transposed=False)
    usual = part.forward

    def forward(inputs: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        if more or named or part.disable_adapters or part.merged:
            result: torch.Tensor = usual(inputs, *more, **named)
            return result
        return through_blocks(layer, inputs, 1)

    return forward
