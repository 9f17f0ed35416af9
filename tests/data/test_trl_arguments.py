"""TRL's arguments give the plan that TRL trains: its keys, its defaults, its refusals."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan, packed
from undertow.data.plan_files import load_plan, translated
from undertow.data.trl_arguments import TRL
from undertow.errors import ConfigError
from undertow.models.training import learning_rates, optimiser

trl = pytest.importorskip("trl")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import Trainer, TrainingArguments
    from trl import DPOConfig, KTOConfig, ModelConfig, ScriptArguments, SFTConfig
    from trl.scripts.utils import DatasetMixtureConfig

CLASSES = (
    SFTConfig,
    DPOConfig,
    KTOConfig,
    ModelConfig,
    ScriptArguments,
    DatasetMixtureConfig,
    TrainingArguments,
)

SFT_LORA = """
model_name_or_path: Qwen/Qwen2.5-0.5B
dataset_name: trl-lib/Capybara
learning_rate: 2.0e-4
num_train_epochs: 1
packing: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
eval_strategy: steps
use_peft: true
lora_r: 32
lora_alpha: 16
lora_target_modules: all-linear
warmup_ratio: 0.1
lr_scheduler_type: cosine
output_dir: out
"""


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_key_of_trl_is_in_one_table(kind: Any) -> None:
    """A key of TRL or transformers is translated, ignored, noted or refused, and one of these only."""
    for key in (field.name for field in dataclasses.fields(kind)):
        groups = [TRL.translated, TRL.ignored, TRL.noted, TRL.refused]
        assert sum(key in group for group in groups) == 1, key


@pytest.mark.parametrize("kind", [SFTConfig, DPOConfig, KTOConfig, TrainingArguments])
def test_a_whole_dump_has_the_trainers_own_defaults(kind: Any, tmp_path: Path) -> None:
    """The arguments that a trainer writes down are a plan, with its learning rate, batch, length and schedule."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = kind(output_dir=str(tmp_path), use_cpu=True)
    plan = translated(json.loads(arguments.to_json_string()), "dump").plan

    assert plan.learning_rate == arguments.learning_rate
    assert plan.batch_size == arguments.per_device_train_batch_size
    assert plan.max_length == getattr(arguments, "max_length", None)
    assert (plan.epochs, plan.schedule, plan.weight_decay, plan.max_grad_norm) == (
        arguments.num_train_epochs,
        arguments.lr_scheduler_type.value,
        arguments.weight_decay,
        arguments.max_grad_norm,
    )
    assert plan.warmup(100) == arguments.get_warmup_steps(100)


@pytest.mark.parametrize(
    ("key", "rate"),
    [("packing", 2e-5), ("label_smoothing", 1e-6), ("desirable_weight", 1e-6), ("bf16", 5e-5)],
)
def test_a_file_without_a_learning_rate_has_that_of_its_trainer(key: str, rate: float) -> None:
    """Which trainer a file is for shows in the keys that only one of them has."""
    assert (
        translated({key: 1.0 if key == "desirable_weight" else False}, "f").plan.learning_rate
        == rate
    )


def test_a_command_line_file_is_the_plan_that_trl_trains(tmp_path: Path) -> None:
    """LoRA, packing, warm-up and batch of a file as TRL's command line takes it; the rest is named."""
    path = tmp_path / "sft.yaml"
    path.write_text(SFT_LORA)
    loaded = load_plan(path)
    plan = loaded.plan

    assert (plan.rank, plan.alpha, plan.dropout, plan.targets) == (32, 16, 0.05, "all-linear")
    assert (plan.batch_size, plan.micro_batch_size, plan.learning_rate) == (16, 2, 2e-4)
    assert (plan.warmup_ratio, plan.schedule, plan.packing) == (0.1, "cosine", True)
    assert loaded.ignored == ("model_name_or_path", "dataset_name", "eval_strategy", "output_dir")
    assert any("how many devices" in note for note in loaded.notes)


def test_an_adapter_is_that_of_trls_own_function() -> None:
    """Rank, alpha, dropout, targets and kind are those that `get_peft_config` gives for the same keys."""
    given = {"use_peft": True, "use_dora": True, "lora_target_modules": ["q_proj", "v_proj"]}
    made = trl.get_peft_config(ModelConfig(**given))
    plan = translated({**given, "packing": False}, "f").plan

    assert (plan.rank, plan.alpha, plan.dropout) == (made.r, made.lora_alpha, made.lora_dropout)
    assert (set(plan.targets), plan.dora, plan.rslora) == (made.target_modules, True, False)


def test_peft_picks_the_targets_where_trl_lets_it() -> None:
    """A file with use_peft and no targets has peft's own for the architecture."""
    assert translated({"use_peft": True}, "f").plan.targets == "default"


@pytest.mark.parametrize(
    ("keys", "loss"),
    [
        ({"assistant_only_loss": True}, "assistant"),
        ({"completion_only_loss": True}, "completion"),
        ({"completion_only_loss": False}, "all"),
        ({"completion_only_loss": None}, "auto"),
        ({}, "auto"),
    ],
)
def test_the_loss_is_the_trainers(keys: dict[str, Any], loss: str) -> None:
    """Flags of TRL's SFT name the policy; without one it follows the rows' shape."""
    assert translated({"packing": False, **keys}, "f").plan.loss == loss


JINJA = "{{ messages[0].content }}"


def test_a_template_is_trls_file_or_the_handbooks_text(tmp_path: Path) -> None:
    """`chat_template_path` beside the file, and `chat_template` as alignment-handbook's recipes have it."""
    (tmp_path / "mine.jinja").write_text(JINJA)
    for key, value in (("chat_template_path", "mine.jinja"), ("chat_template", JINJA)):
        path = tmp_path / "sft.json"
        path.write_text(json.dumps({"packing": False, key: value}))

        assert load_plan(path).plan.template == JINJA
    assert translated({"beta": 0.1, "chat_template": JINJA}, "f").plan.template == JINJA


def test_max_steps_override_epochs() -> None:
    """As in transformers, however many epochs they take."""
    plan = translated({"max_steps": 500, "num_train_epochs": 1}, "f").plan

    assert plan.steps(8) == 500
    assert translated({"max_steps": -1, "num_train_epochs": 2}, "f").plan.steps(80) == 20


def test_qlora_is_a_plan() -> None:
    """Four bits under an adapter are kept; the plan says what is done with them."""
    plan = translated({"use_peft": True, "load_in_4bit": True}, "f").plan

    assert (plan.method, plan.quantization) == ("lora", "4bit")


def test_without_an_adapter_its_keys_have_no_effect() -> None:
    """All weights are trained, as TRL does, and the keys are named as ignored."""
    loaded = translated({"lora_r": 8, "packing": True, "num_processes": 4}, "f")

    assert (loaded.plan.method, loaded.plan.batch_size) == ("full", 32)
    assert loaded.ignored == ("lora_r",)


def test_dpo_has_its_beta_and_no_dropout() -> None:
    """Beta is handed on; the trainer switches dropout off unless it is told not to."""
    loaded = translated({"beta": 0.3, "use_peft": True}, "f")
    kept = translated({"beta": 0.3, "use_peft": True, "disable_dropout": False}, "f")

    assert (loaded.beta, loaded.plan.dropout, kept.plan.dropout) == (0.3, 0.0, 0.05)


@pytest.mark.parametrize(
    "keys",
    [
        {"learning_rate": 3e-4, "warmup_steps": 0.1},
        {"lr_scheduler_type": "cosine", "warmup_steps": 7, "adam_beta2": 0.95},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0}},
        {"optim": "sgd", "weight_decay": 0.1},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_learning_rates_and_optimiser_are_those_of_transformers_trainer(
    keys: dict[str, Any], tmp_path: Path
) -> None:
    """Over 50 steps the plan's learning rates and its optimiser's numbers are those that Trainer makes of the same file."""
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **keys)
    trainer = Trainer(torch.nn.Linear(2, 2, bias=False), arguments)
    trainer.create_optimizer_and_scheduler(num_training_steps=50)
    plan = translated({"output_dir": "o", **keys}, "f").plan
    ours, _ = optimiser(plan, [torch.nn.Parameter(torch.zeros(2, 2))], 50)

    rates = [trainer.lr_scheduler.get_last_lr()[0]]
    for _ in range(49):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
    assert list(learning_rates(plan, 50)) == pytest.approx(rates, rel=1e-12)
    for key in ("betas", "eps", "weight_decay", "momentum"):
        assert ours.defaults.get(key) == trainer.optimizer.param_groups[0].get(key)


def test_a_schedule_has_its_arguments() -> None:
    """A floor of the learning rate, as `get_scheduler` takes it, is in the plan."""
    keys = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}}

    assert translated(keys, "f").plan.schedule_arguments == (("min_lr_rate", 0.1),)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"neftune_noise_alpha": 5}, "'neftune_noise_alpha' has the value 5"),
        ({"loss_type": "dft"}, "'loss_type' has the value 'dft'.*allowed: nll"),
        ({"loss_type": ["sigmoid", "ipo"]}, "this loss is not rehearsed"),
        ({"optim": "galore_adamw"}, "'optim' has the value 'galore_adamw'.*adamw_torch"),
        ({"lr_scheduler_type": "greedy"}, "allowed: linear, cosine"),
        ({"lr_scheduler_kwargs": {"power": 2}}, "'power' is no number of the schedule linear"),
        ({"assistant_only_loss": True, "completion_only_loss": True}, "one of the two"),
        ({"learning_rate": "fast"}, "'learning_rate' has the value 'fast': it is no number"),
        ({"learning_rate": True}, "it is no number"),
        ({"learning_rate": 0}, "out of range"),
        ({"per_device_train_batch_size": 1.5}, "no such number"),
        ({"per_device_train_batch_size": 1e300}, "at most 1000000000"),
        ({"learning_rate": 10**400}, "it is no number"),
        ({"load_in_4bit": True}, "trained with an adapter; allowed: use_peft: true"),
        ({"num_generations": 8}, "this objective is not rehearsed"),
        ({"teacher_model_name_or_path": "org/big"}, "distillation of a teacher's logits is not re"),
        ({"chat_template_path": "org/model"}, "takes the tokens of that tokenizer as well"),
        ({"chat_template_path": "none.jinja"}, "no such file: 'none.jinja'"),
        ({"chat_template_path": "a.jinja", "chat_template": "{{ 1 }}"}, "one of the two"),
        ({"chat_template": "chatml"}, "neither a template's text nor a file of it"),
        ({"chat_template": ["{{ 1 }}"]}, "it is no text"),
        ({"packing": "yes"}, "allowed: true, false"),
        ({"learning_rat": 1e-4}, "unknown key 'learning_rat' of TRL.*did you mean 'learning_rate'"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_by_name(keys: dict[str, Any], told: str) -> None:
    """The message has the key, its value and what is allowed; there is a hint."""
    with pytest.raises(ConfigError, match=told) as refused:
        translated({"output_dir": "out", **keys}, "'f.yaml'")

    assert refused.value.message.startswith("'f.yaml': ")
    assert "\n" not in refused.value.message
    assert "undertow explain plans" in refused.value.hint


@pytest.mark.parametrize("longest", [40, 200])
def test_packed_sequences_are_as_many_as_trl_packs(longest: int) -> None:
    """On rows of mixed lengths, TRL's own packing makes as many sequences, to a tenth."""
    datasets = pytest.importorskip("datasets")
    lengths = np.random.default_rng(3).integers(5, longest, 600).tolist()
    rows = datasets.Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
    sequences = len(trl.pack_dataset(rows, seq_length=512, strategy="bfd"))
    plan = packed(TrainingPlan(packing=True, max_length=512, batch_size=1), lengths)

    assert plan.steps(len(lengths)) == pytest.approx(sequences, rel=0.1)
