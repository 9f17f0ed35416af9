"""
The training plan: what a fine-tune changes, with which optimiser, how far; and the file that holds one.

    method = "lora"
    rank = 16
    learning_rate = 1e-4
    epochs = 3
    batch_size = 32

What a file leaves out has its default.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from undertow.data.closed import Closed, parse, read_toml

_LENGTH = ("epochs", "max_steps", "micro_batch_size", "max_length")
"""What a plan's digest leaves out: how long it is (a table says which lengths it covers), and what moves no weight."""


_LATER = ("loss", "wrap")
"""Keys that came later: a digest names them only where they differ from what they were before they had a name."""

Loss = Literal["auto", "completion", "last", "assistant", "all"]


class TrainingPlan(Closed):
    """One supervised fine-tune: what it changes, and on which tokens of a row it learns."""

    loss: Loss = "auto"
    """Tokens in the loss; `auto` is what TRL's trainer does with rows of their shape."""
    wrap: Literal["none", "chat"] = "none"
    """Whether plain strings are trained as they are or put into the chat template first."""

    method: Literal["lora", "full"] = "lora"
    rank: int = Field(default=8, ge=1)
    """Rank of the LoRA adapter."""
    alpha: int | None = Field(default=None, gt=0)
    """LoRA scale is alpha / rank; the default alpha equals the rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Modules that get an adapter, as peft names them."""
    optimizer: str = "adamw_torch"
    """Any name that `transformers.TrainingArguments(optim=...)` knows."""
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: str = "linear"
    """Any name that `transformers.get_scheduler` knows."""
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    """Stops earlier than the epochs would."""
    batch_size: int = Field(default=64, ge=1)
    """Rows a step."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Rows a forward pass; gradients are accumulated up to `batch_size`."""
    max_length: int | None = Field(default=None, ge=2)
    """Rows longer than this many tokens are refused, never cut silently."""

    @model_validator(mode="after")
    def _micro_divides(self) -> TrainingPlan:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} must divide batch_size {self.batch_size}"
            )
        return self

    def steps(self, rows: int) -> int:
        """Optimiser steps on `rows` rows."""
        an_epoch = max(1, rows // self.batch_size)  # an incomplete batch is left out
        total = max(1, round(an_epoch * self.epochs))
        return min(total, self.max_steps) if self.max_steps else total


def load_plan(path: Path) -> TrainingPlan:
    """
    A plan from a TOML file with the keys of `TrainingPlan`.

    Raises:
        ConfigError: a key or value is wrong.
    """
    return parse(TrainingPlan, read_toml(path), where=f"'{path}'")


def plan_digest(plan: TrainingPlan) -> str:
    """SHA-256 over everything of the plan but its length."""
    default = TrainingPlan().model_dump(mode="json")
    kept = {
        key: value
        for key, value in plan.model_dump(mode="json").items()
        if key not in _LENGTH and not (key in _LATER and value == default[key])
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
