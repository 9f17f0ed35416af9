"""axolotl's YAML gives the plan that axolotl trains: its keys, its defaults, its refusals."""

from __future__ import annotations

from typing import Any

import pytest

from undertow.data.chat_templates import alpaca_template, axolotl_templates
from undertow.data.plan_files import translated
from undertow.errors import ConfigError

QLORA: dict[str, Any] = {
    "base_model": "some/model",
    "load_in_4bit": True,
    "datasets": [{"path": "some/data", "type": "chat_template"}],
    "output_dir": "./out",
    "adapter": "qlora",
    "lora_model_dir": None,
    "sequence_len": 4096,
    "sample_packing": True,
    "lora_r": 32,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "lora_target_linear": True,
    "wandb_project": "mine",
    "gradient_accumulation_steps": 4,
    "micro_batch_size": 2,
    "num_epochs": 4,
    "optimizer": "paged_adamw_32bit",
    "lr_scheduler": "cosine",
    "learning_rate": "2e-4",
    "warmup_ratio": 0.1,
    "evals_per_epoch": 4,
    "weight_decay": 0.0,
}
"""The keys of axolotl's example for QLoRA."""


def plan_of(**changed: Any) -> Any:
    """The plan of the example with other values."""
    return translated({**QLORA, **changed}, "f").plan


def test_the_example_is_the_plan_that_axolotl_trains() -> None:
    """Adapter, base in four bits, batch, schedule and packing; a number in quotes is one."""
    plan = plan_of()

    assert (plan.rank, plan.alpha, plan.dropout, plan.targets) == (32, 16, 0.05, "all-linear")
    assert (plan.quantization, plan.batch_size, plan.epochs) == ("4bit", 8, 4)
    assert (plan.learning_rate, plan.schedule, plan.warmup_ratio) == (2e-4, "cosine", 0.1)
    assert (plan.loss, plan.max_length, plan.packing) == ("assistant", 4096, True)


def test_what_moves_no_weight_is_named() -> None:
    """Keys that do not matter are listed, those without a value are not."""
    ignored = translated(QLORA, "f").ignored

    assert ignored == ("base_model", "output_dir", "wandb_project", "evals_per_epoch")


def test_what_is_left_out_has_axolotls_default() -> None:
    """One epoch of batches of one, cosine, 512 tokens, warm-up over 3 % of the steps, all weights."""
    plan = translated({"base_model": "m", "learning_rate": 1e-5}, "f").plan

    assert (plan.method, plan.batch_size, plan.epochs) == ("full", 1, 1)
    assert (plan.schedule, plan.max_length, plan.warmup(1000)) == ("cosine", 512, 30)


@pytest.mark.parametrize(
    ("changed", "loss"),
    [
        ({}, "assistant"),
        ({"train_on_inputs": True}, "all"),
        ({"datasets": [{"path": "d", "type": "completion"}]}, "all"),
        (
            {"datasets": [{"path": "d", "type": "chat_template", "roles_to_train": ["assistant"]}]},
            "assistant",
        ),
    ],
)
def test_the_loss_is_axolotls(changed: dict[str, Any], loss: str) -> None:
    """The assistant's turns, unless a dataset's type or train_on_inputs says otherwise."""
    assert plan_of(**changed).loss == loss


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"datasets": [{"path": "d", "type": "alpaca"}, {"path": "e"}]}, "written in several ways"),
        (
            {"datasets": [{"path": "d", "type": "alpaca:chat"}]},
            "type 'alpaca:chat' is not rehearsed",
        ),
        ({"adapter": "llama-adapter"}, "'adapter' has the value .*allowed: lora, qlora"),
        ({"optimizer": "muon"}, "'optimizer' has the value 'muon'"),
        ({"lr_scheduler": "rex"}, "'lr_scheduler' has the value 'rex'"),
        ({"rl": "grpo"}, "'rl' has the value 'grpo'.*allowed: dpo, kto"),
        ({"lora_modules_to_save": [3]}, "'lora_modules_to_save'.*no list of names"),
        ({"cosine_min_lr_ratio": 0.1}, "'cosine_min_lr_ratio' has the value 0.1"),
        ({"lora_model_dir": "./out"}, "BASE\\+ADAPTER"),
        ({"unfrozen_parameters": ["lm_head"]}, "some of the weights"),
        ({"kd_trainer": True}, "distillation of a teacher's logits is not rehearsed"),
        ({"plugins": ["axolotl.integrations.spectrum.SpectrumPlugin"]}, "SpectrumPlugin"),
        ({"lora_target_modules": ["embed_tokens"]}, "'embed_tokens' beside lora_target_linear"),
        ({"lora_target_linear": False}, "'lora_target_modules' is missing"),
        ({"lora_r": None}, "'lora_r' is missing"),
        ({"learning_rate": None}, "'learning_rate' is missing"),
        ({"batch_size": 3}, "'batch_size' has the value 3"),
        ({"datasets": [{"path": "d", "type": "sharegpt"}]}, "type 'sharegpt' is not rehearsed"),
        ({"datasets": [{"path": "d", "typo": 1}]}, "its key 'typo' is unknown"),
        (
            {"datasets": [{"path": "d", "type": "chat_template", "train_on_eos": "all"}]},
            "train_on_eos 'all' is not rehearsed; allowed: turn",
        ),
        (
            {"datasets": [{"path": "d", "type": t} for t in ("chat_template", "completion")]},
            "a file for each",
        ),
        ({"chat_template": "chatlm"}, "'chatlm' is not known here; did you mean 'chatml'"),
        (
            {"chat_template": "tokenizer_default_fallback_chatml"},
            "allowed: tokenizer_default, jinja",
        ),
        ({"chat_template": ["chatml"]}, "is not known here"),
        ({"chat_template": "jinja"}, "'chat_template_jinja' has the value None"),
        ({"chat_template_jinja": "none.jinja"}, "no such file: 'none.jinja'"),
        ({"chat_template_jinja": "{% if %}"}, "it is no template: line 1"),
        (
            {"datasets": [{"path": "d"}, {"path": "e", "chat_template": "llama3"}]},
            "written in several ways",
        ),
        ({"load_in_8bit": True}, "load_in_4bit is set as well"),
        ({"sequence_length": 4096}, "did you mean 'sequence_len'"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_by_name(changed: dict[str, Any], told: str) -> None:
    """The message has the key, its value and what is allowed."""
    with pytest.raises(ConfigError, match=told):
        plan_of(**changed)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"chat_template": "chatml"}, "the chat template chatml is the text that axolotl"),
        ({"val_set_size": 0.05}, "holds so many rows back"),
        ({}, "how many devices"),
        ({}, "paged_adamw_32bit is rehearsed as AdamW"),
    ],
)
def test_what_differs_is_said(changed: dict[str, Any], told: str) -> None:
    """What changes the training, but is no part of a plan, has a sentence."""
    assert any(told in note for note in translated({**QLORA, **changed}, "f").notes)


JINJA = "{{ messages[0].content }}"


@pytest.mark.parametrize(
    ("changed", "template"),
    [
        ({}, ""),
        ({"chat_template": "tokenizer_default"}, ""),
        ({"chat_template": "llama3"}, axolotl_templates()["llama3"]),
        ({"chat_template": "jinja", "chat_template_jinja": JINJA}, JINJA),
        ({"chat_template_jinja": JINJA}, JINJA),
        (
            {"chat_template": "llama3", "datasets": [{"path": "d", "chat_template": "chatml"}]},
            axolotl_templates()["chatml"],
        ),
        ({"datasets": [{"path": "d", "chat_template_jinja": JINJA}]}, JINJA),
        (
            {"chat_template": "llama3", "datasets": [{"path": "d", "type": "completion"}]},
            axolotl_templates()["llama3"],
        ),
    ],
)
def test_the_template_is_axolotls(changed: dict[str, Any], template: str) -> None:
    """Of its name, of the text, or a dataset's own; the tokenizer's where none is named."""
    assert plan_of(**changed).template == template


def test_rows_of_alpaca_are_framed_as_axolotl_frames_them() -> None:
    """The type has a frame of its own, whatever template the file names, and its loss is on the output."""
    plan = plan_of(chat_template="llama3", datasets=[{"path": "d", "type": "alpaca"}])

    assert (plan.wrap, plan.template, plan.loss) == ("alpaca", alpaca_template(), "assistant")


def test_a_share_of_the_steps_may_stand_for_steps_of_warm_up() -> None:
    """As transformers takes it: several of axolotl's own examples say 0.1."""
    plan = plan_of(warmup_steps=0.1, warmup_ratio=None)

    assert (plan.warmup_steps, plan.warmup_ratio) == (0, 0.1)


def test_devices_of_a_ray_run_are_counted() -> None:
    """Workers that the file names multiply the batch, and no note is needed."""
    loaded = translated({**QLORA, "use_ray": True, "ray_num_workers": 4}, "f")

    assert loaded.plan.batch_size == 32
    assert not any("devices" in note for note in loaded.notes)
