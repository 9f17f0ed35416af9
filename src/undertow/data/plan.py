"""The training plan: what a fine-tune changes, with which optimiser, how far."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from undertow.data.chat_templates import alpaca_template, refuse_no_template
from undertow.data.closed import Closed

_LENGTH = ("epochs", "max_steps", "micro_batch_size", "max_length", "packed_rows", "quantization")
"""What a plan's digest leaves out: how long it is (a table says which lengths it covers), and what moves no weight here."""

_LATER = (
    "loss",
    "wrap",
    "template",
    "dropout",
    "rslora",
    "dora",
    "quantization",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "warmup_ratio",
    "packing",
    "packed_rows",
    "modules_to_save",
    "schedule_arguments",
)
"""
Keys that came later: a plan is written, and its digest taken, without those that are what they were before they had a
name, so that documents and digests of older plans stay.
"""

_OF_ADAPTERS = ("rslora", "dora", "dropout", "quantization", "modules_to_save")


def _pairs(value: Any) -> Any:
    """A table as pairs in their order, so that a plan can be hashed."""
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


Loss = Literal["auto", "completion", "last", "assistant", "all"]
Wrap = Literal["none", "chat", "alpaca"]


@dataclass(frozen=True)
class LossPolicy:
    """How a row is written, and which of its tokens are in the loss."""

    loss: Loss = "auto"
    wrap: Wrap = "none"
    flags: bool = True
    """Whether turns are taken at their word that say whether they are trained."""
    template: str = ""
    """The chat template that conversations are written with; that of the tokenizer if empty."""

    @property
    def wrapped(self) -> bool:
        """Whether a plain prompt and its completion are the turns of a chat."""
        return self.wrap != "none"


AUTO = LossPolicy()
"""What TRL's trainer does with rows of their shape."""

LAST_TURN = LossPolicy("last", flags=False)
"""The last answer alone: what a model wrote, whatever is trained on it."""


class TrainingPlan(Closed):
    """One supervised fine-tune: what it changes, and on which tokens of a row it learns."""

    model_config = ConfigDict(allow_inf_nan=False)

    loss: Loss = "auto"
    """Tokens in the loss; `auto` is what TRL's trainer does with rows of their shape."""
    wrap: Wrap = "none"
    """
    Whether plain strings are trained as they are or put into the chat template first; `alpaca` frames rows as axolotl's
    type of that name does, by a template of its own.
    """
    template: str = ""
    """The chat template, as Jinja's text, that conversations are written with; that of the student's tokenizer if empty."""

    method: Literal["lora", "full"] = "lora"
    rank: int = Field(default=8, ge=1, le=1 << 16)
    """Rank of the LoRA adapter."""
    alpha: int | None = Field(default=None, gt=0)
    """LoRA scale is alpha / rank; the default alpha equals the rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Modules that get an adapter, as peft names them; `default`: those that peft picks for the architecture."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that a training step leaves out."""
    rslora: bool = False
    """Whether the LoRA scale is alpha / sqrt(rank) (Kalajdzievski 2023, arXiv 2312.03732)."""
    dora: bool = False
    """Whether the magnitude of the weights is trained apart (Liu et al. 2024, arXiv 2402.09353)."""
    modules_to_save: tuple[str, ...] = ()
    """Modules that are trained whole beside the adapter, as peft names them."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """Bits of the base in the planned training; here the base is trained as it is loaded."""
    optimizer: str = "adamw_torch"
    """Any name that `transformers.TrainingArguments(optim=...)` knows."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    adam_epsilon: float = Field(default=1e-8, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    schedule: str = "linear"
    """Any name that `transformers.get_scheduler` knows."""
    schedule_arguments: Annotated[tuple[tuple[str, float], ...], BeforeValidator(_pairs)] = ()
    """The schedule's own, by their names; a table in a file."""
    warmup_steps: int = Field(default=0, ge=0)
    warmup_ratio: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps that the learning rate rises over, in the place of `warmup_steps`."""
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
    packing: bool = False
    """
    Whether the planned training packs rows into sequences of `max_length`, of which `batch_size` are a step; each row is
    scored alone all the same.
    """
    packed_rows: int | None = Field(default=None, ge=1)
    """Rows that a packed sequence holds; measured on the rows if not given."""

    @model_validator(mode="before")
    @classmethod
    def _framed(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("wrap") == "alpaca" and not given.get("template"):
            return given | {"template": alpaca_template()}
        return given

    @field_validator("template")
    @classmethod
    def _is_jinja(cls, text: str) -> str:
        if text:
            refuse_no_template(text)
        return text

    @model_validator(mode="after")
    def _micro_divides(self) -> TrainingPlan:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} must divide batch_size {self.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _warms_up_once(self) -> TrainingPlan:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} and warmup_ratio {self.warmup_ratio} exclude each other"
            )
        return self

    @model_validator(mode="after")
    def _packs_into_a_length(self) -> TrainingPlan:
        if self.packing and self.max_length is None:
            raise ValueError("packing needs max_length, the length of a packed sequence")
        if self.packed_rows and not self.packing:
            raise ValueError(f"packed_rows {self.packed_rows} needs packing = true")
        return self

    @model_validator(mode="after")
    def _adapters_have_rank(self) -> TrainingPlan:
        given = [key for key in _OF_ADAPTERS if getattr(self, key) not in (False, 0.0, "none", ())]
        if self.method == "full" and given:
            raise ValueError(f"{given[0]} is of adapters, and the method is 'full'")
        return self

    @model_serializer(mode="wrap")
    def _written(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields, tables = type(self).model_fields, ("schedule_arguments",)
        return {
            key: dict(value) if key in tables else value
            for key, value in written(self).items()
            if not (key in _LATER and getattr(self, key) == fields[key].default)
        }

    @property
    def whole(self) -> str:
        """What it trains that keeps its runs from sharing one copy of the base, in words; empty if nothing does."""
        if self.method == "full":
            return "all weights"
        return "DoRA" if self.dora else "whole modules" if self.modules_to_save else ""

    def warmup(self, total: int) -> int:
        """Steps of so many over which the learning rate rises, as transformers rounds them."""
        return self.warmup_steps or math.ceil(total * self.warmup_ratio)

    @property
    def policy(self) -> LossPolicy:
        """How a row is written, and which of its tokens are in the loss."""
        return LossPolicy(self.loss, self.wrap, template=self.template)

    @property
    def rows_a_step(self) -> int:
        """Rows that a step of the optimiser is taken on."""
        return self.batch_size * (self.packed_rows or 1)

    @property
    def rows_a_pass(self) -> int:
        """Rows of a forward pass."""
        return (self.micro_batch_size or self.batch_size) * (self.packed_rows or 1)

    def steps(self, rows: int) -> int:
        """Optimiser steps on `rows` rows."""
        an_epoch = max(1, rows // self.rows_a_step)  # an incomplete batch is left out
        total = max(1, round(an_epoch * self.epochs))
        return min(total, self.max_steps) if self.max_steps else total


def packed(plan: TrainingPlan, tokens: Sequence[int]) -> TrainingPlan:
    """
    A plan that packs, with the number of rows of so many tokens each that fill a sequence.

    Best-fit packing leaves next to nothing empty, so that it is what their tokens allow.
    """
    if not plan.packing or plan.packed_rows or not plan.max_length or not sum(tokens):
        return plan
    held = max(1, int(plan.max_length * len(tokens) / sum(tokens)))
    return plan.model_copy(update={"packed_rows": held})


def plan_notes(plan: TrainingPlan) -> list[str]:
    """What a rehearsal of the plan does otherwise than the planned training, a sentence each."""
    notes = []
    if plan.template:
        notes.append(
            f"The plan writes conversations with a chat template that it gives itself ({template_in_words(plan)}), whatever "
            "template the student's tokenizer has; probes are asked in it too."
        )
    if plan.quantization != "none":
        notes.append(
            f"The plan trains adapters on a base in {plan.quantization[0]} bits (QLoRA); here the base is trained as it is "
            "loaded, which rounds no weight, and error rates are those of that base."
        )
    if plan.method == "full":
        notes.append(
            "The plan trains all weights, and so does a rehearsal, in two copies of the network that see the rows in "
            "orders of their own."
        )
    if plan.packing:
        held = plan.packed_rows or 1
        notes.append(
            f"The plan packs rows into sequences of {plan.max_length} tokens. Packing does not change what is scored: each "
            f"row stands alone. A step was counted as {plan.rows_a_step} rows, {held} a sequence."
        )
    return notes


def template_in_words(plan: TrainingPlan) -> str:
    """The plan's chat template by its length and digest, where its text would be too much."""
    digest = hashlib.sha256(plan.template.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{len(plan.template)} characters, SHA-256 {digest[:16]}"


def plan_digest(plan: TrainingPlan) -> str:
    """SHA-256 over everything of the plan but its length."""
    kept = {k: v for k, v in plan.model_dump(mode="json").items() if k not in _LENGTH}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
