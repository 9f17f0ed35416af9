"""LLaMA-Factory's YAML gives the plan that LLaMA-Factory trains: its keys, its defaults, its refusals."""

from __future__ import annotations

from typing import Any

import pytest

from undertow.data.chat_templates import llamafactory_templates
from undertow.data.plan_files import translated
from undertow.errors import ConfigError

LORA: dict[str, Any] = {
    "model_name_or_path": "some/model",
    "trust_remote_code": True,
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_rank": 16,
    "lora_target": "q_proj, v_proj",
    "dataset": "identity",
    "template": "qwen3_nothink",
    "cutoff_len": 1024,
    "output_dir": "saves",
    "plot_loss": True,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
    "learning_rate": 1.0e-4,
    "num_train_epochs": 3.0,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
}
"""The keys of LLaMA-Factory's example for LoRA."""


def plan_of(**changed: Any) -> Any:
    """The plan of the example with other values."""
    return translated({**LORA, **changed}, "f").plan


def test_the_example_is_the_plan_that_llamafactory_trains() -> None:
    """Adapter, batch, schedule and length; alpha is twice the rank where it is left out."""
    plan = plan_of()

    assert (plan.rank, plan.alpha, plan.targets) == (16, 32, ("q_proj", "v_proj"))
    assert (plan.batch_size, plan.micro_batch_size, plan.epochs) == (8, 1, 3)
    assert (plan.learning_rate, plan.schedule, plan.warmup_ratio) == (1e-4, "cosine", 0.1)
    assert (plan.loss, plan.max_length) == ("assistant", 1024)


def test_what_is_left_out_has_llamafactorys_default() -> None:
    """LoRA of rank 8 on all linear layers at 5e-5, three epochs of batches of 8, 2,048 tokens."""
    plan = translated({"stage": "sft", "template": "llama3"}, "f").plan

    assert (plan.method, plan.rank, plan.alpha, plan.targets) == ("lora", 8, 16, "all-linear")
    assert (plan.learning_rate, plan.epochs, plan.batch_size) == (5e-5, 3, 8)
    assert (plan.max_length, plan.dropout, plan.schedule) == (2048, 0.0, "linear")


@pytest.mark.parametrize(
    ("changed", "loss"),
    [({}, "assistant"), ({"mask_history": True}, "last"), ({"train_on_prompt": True}, "all")],
)
def test_the_loss_is_llamafactorys(changed: dict[str, Any], loss: str) -> None:
    """All turns of the assistant, the last one, or everything."""
    assert plan_of(**changed).loss == loss


@pytest.mark.parametrize(
    ("changed", "key", "value"),
    [
        ({"finetuning_type": "full"}, "method", "full"),
        ({"quantization_bit": 4}, "quantization", "4bit"),
        ({"use_dora": True}, "dora", True),
        ({}, "wrap", "chat"),
        ({"template": "empty"}, "wrap", "chat"),
        ({"template": None}, "template", ""),
        ({"template": None, "enable_thinking": False}, "template", ""),
        ({"use_rslora": True}, "rslora", True),
        ({"neat_packing": True}, "packing", True),
        ({"lora_alpha": 5}, "alpha", 5),
        ({"lora_target": "all"}, "targets", "all-linear"),
        ({"max_grad_norm": 0}, "max_grad_norm", None),
        ({"adam_beta2": 0.95}, "adam_beta2", 0.95),
        ({"warmup_steps": 20}, "warmup_steps", 20),
        (
            {"additional_target": "lm_head,embed_tokens"},
            "modules_to_save",
            ("lm_head", "embed_tokens"),
        ),
    ],
)
def test_a_key_has_its_place_in_the_plan(changed: dict[str, Any], key: str, value: object) -> None:
    """Each key that is translated changes what it names."""
    assert getattr(plan_of(**changed), key) == value


@pytest.mark.parametrize(
    ("changed", "how"),
    [
        ({}, {}),
        ({"enable_thinking": False}, {"thinking": False}),
        ({"enable_thinking": None}, {"thinking": None}),
        ({"mask_history": True}, {"last": True}),
        ({"mask_history": True, "preserve_thinking": True}, {}),
        ({"stage": "dpo"}, {"last": True}),
        ({"default_system": "Be brief."}, {"system": "Be brief."}),
    ],
)
def test_the_template_is_llamafactorys(changed: dict[str, Any], how: dict[str, Any]) -> None:
    """Its slots, with thoughts and the system turn as the other keys say; `qwen3` thinks."""
    slots = llamafactory_templates()["qwen3"]

    assert plan_of(template="qwen3", **changed).template == slots.jinja(
        **{"thinking": True, "last": False, **how}
    )


def test_preferences_have_their_beta_and_no_dropout() -> None:
    """DPO's beta is handed on, and its trainer switches dropout off."""
    loaded = translated({**LORA, "stage": "dpo", "pref_beta": 0.2, "lora_dropout": 0.1}, "f")

    assert (loaded.beta, loaded.plan.dropout) == (0.2, 0.0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"stage": "ppo"}, "'stage' has the value 'ppo'.*allowed: sft, dpo, kto"),
        ({"finetuning_type": "freeze"}, "'finetuning_type' has the value 'freeze'"),
        ({"quantization_bit": 2}, "allowed: 4, 8"),
        ({"quantization_bit": 4, "finetuning_type": "full"}, "finetuning_type is full"),
        ({"use_galore": True}, "'use_galore' has the value True"),
        ({"adapter_name_or_path": "saves/a"}, "BASE\\+ADAPTER"),
        ({"pref_loss": "orpo", "stage": "dpo"}, "allowed: sigmoid"),
        ({"mask_history": True, "train_on_prompt": True}, "one of the two"),
        ({"mask_history": True, "stage": "dpo"}, "has no such thing"),
        ({"template": "qwen3_nothinks"}, "not known here; did you mean 'qwen3_nothink'"),
        ({"template": ["llama3"]}, "its text is not known here"),
        ({"template": "glm4", "train_on_prompt": True}, "refuses it with the template glm4"),
        ({"template": None, "default_system": "Be brief."}, "or name a template"),
        ({"default_system": 3}, "'default_system' has the value 3: it is no text"),
        ({"enable_thinking": "no"}, "'enable_thinking' has the value 'no'"),
        ({"lora_ranks": 8}, "did you mean 'lora_rank'"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_by_name(changed: dict[str, Any], told: str) -> None:
    """The message has the key, its value and what is allowed."""
    with pytest.raises(ConfigError, match=told):
        plan_of(**changed)
