"""LoRA adapters through peft: put on with a seed of their own, saved, taken off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError
from undertow.models.loading import LanguageModel, quiet_peft


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
        target_modules=targets,
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
