"""
TRL's arguments (`SFTConfig`, `DPOConfig`, `KTOConfig`, `ModelConfig` and what its command line adds) as a plan.

As of TRL 1.16: a key that is left out has TRL's default. A file with no key of TRL's own holds transformers' arguments.
"""

from __future__ import annotations

from typing import Any

from undertow.data import training_arguments as hf
from undertow.data.trainer_keys import Keys, Refused, Trainer, refusing, words

ADAPTER = words("""
    load_in_4bit load_in_8bit lora_alpha lora_dropout lora_modules_to_save lora_r lora_target_modules use_dora use_peft use_rslora
    """)
"""Keys of `ModelConfig` that are a plan's."""

_SFT = words("""
    assistant_only_loss chat_template chat_template_path completion_only_loss dataset_kwargs dataset_text_field eos_token
    eval_packing max_seq_length packing packing_strategy shuffle_dataset
    """)
"""Keys that only the SFT trainer has."""

_DPO = words("""
    discopop_tau f_alpha_divergence_coef f_divergence_type label_smoothing ld_alpha loss_weights max_prompt_length
    reference_free rpo_alpha use_weighting
    """)

_KTO = frozenset({"desirable_weight", "undesirable_weight"})

_RATES = {"SFT": 2e-5, "DPO": 1e-6, "KTO": 1e-6}
"""Learning rates of a file that has none."""

_IGNORED = words("""
    activation_offloading attn_implementation bnb_4bit_quant_storage benchmarks bnb_4bit_quant_type callbacks columns dataset_batch_size
    dataset_config dataset_configs dataset_mixer dataset_mixture dataset_name dataset_num_proc dataset_split
    dataset_splits dataset_streaming dataset_test_split dataset_text_field dataset_train_split datasets
    discopop_tau dtype env eval_packing f_alpha_divergence_coef gradient_checkpointing_use_reentrant hub_model_revision
    ignore_bias_buffers lora_task_type model_adapter_name model_code_revision model_init_kwargs model_name_or_path
    model_revision overwrite_hub_revision pad_to_multiple_of pad_token padding_free precompute_ref_batch_size precompute_ref_log_probs
    preprocessing_num_workers ref_model_mixup_alpha ref_model_sync_steps shuffle_dataset streaming test_split_size
    text_column tokenizer_name_or_path torch_dtype trust_remote_code use_flash_attention_2 use_bnb_nested_quant wandb_entity wandb_project
    """)

_REFUSED = {
    **refusing(
        "this objective is not rehearsed",
        "generation_batch_size num_generations reward_funcs reward_model_path reward_weights use_vllm",
    ),
    **refusing("put the system turn into the rows", "auto_insert_empty_system_msg system_prompt"),
    "chat_template": Refused(
        "rows are written with the template of the student's tokenizer: save it there, then take the key out"
    ),
    "chat_template_path": Refused(
        "rows are written with the template of the student's tokenizer: save it there, then take the key out"
    ),
    "dataset_kwargs": Refused("rows that the trainer does not prepare are not rehearsed"),
    "desirable_weight": Refused("rows of KTO with weights are not rehearsed", (1.0,)),
    "f_divergence_type": Refused("only DPO's own divergence is rehearsed", ("reverse_kl",)),
    "label_smoothing": Refused("smoothed preferences are not rehearsed"),
    "ld_alpha": Refused("a loss that is desensitised to length is not rehearsed"),
    "lora_target_parameters": Refused("adapters on parameters are not rehearsed"),
    "loss_type": Refused(
        "this loss is not rehearsed",
        ("nll", "chunked_nll", "sigmoid", "kto", ["sigmoid"], ["kto"]),
    ),
    "loss_weights": Refused("a mixture of losses is not rehearsed", ([1.0],)),
    "packing_strategy": Refused(
        "rows that are cut where a sequence is full are not rehearsed", ("bfd", "ffd")
    ),
    "reference_free": Refused("DPO without a reference is not rehearsed"),
    "router_aux_loss_coef": Refused("a loss on the routing of experts is not rehearsed"),
    "rpo_alpha": Refused("a mixture of losses is not rehearsed"),
    "sync_ref_model": Refused("a reference that moves is not rehearsed"),
    "undesirable_weight": Refused("rows of KTO with weights are not rehearsed", (1.0,)),
    "use_weighting": Refused("weighted preferences are not rehearsed"),
}

_NOTED = {
    "dataset_prompt_column": "the rows' prompts are in this column: --columns prompt=NAME says so",
    "eos_token": "rows end with the end token of the student's tokenizer, which should be this one",
    "max_prompt_length": "prompts are not cut here",
    "max_completion_length": "completions are not cut here",
    "truncation_mode": "rows that are too long are left out here, never cut",
}

_TRANSLATED = words(
    "assistant_only_loss beta completion_only_loss disable_dropout max_length max_seq_length packing"
)


def trl_plan(keys: Keys) -> dict[str, Any]:
    """
    The keys of a plan.

    Raises:
        ConfigError: a value cannot be rehearsed.
    """
    kind = trainer_kind(keys)
    made = hf.training_arguments(keys, _RATES.get(kind, 5e-5)) | _adapter(keys, kind)
    if not kind:
        keys.notes.append(
            "these are transformers' arguments, which do not say which tokens are in the loss: taken as TRL's SFT does"
        )
        return made
    made |= _room(keys)
    if kind == "SFT":
        return made | {"loss": _loss(keys), "packing": keys.flag("packing")}
    keys.beta = keys.number("beta", 0.1, open_=True)
    if keys.flag("disable_dropout", default=True) and "dropout" in made:
        made["dropout"] = 0.0
    return made


def trainer_kind(keys: Keys) -> str:
    """Whose arguments these are: `SFT`, `DPO`, `KTO`, or empty for transformers' own."""
    values = keys.values
    losses = {"kto": "KTO", "sigmoid": "DPO"}
    loss = values.get("loss_type")
    named = losses.get(str(loss[0] if isinstance(loss, list) and loss else loss), "")
    if _KTO & set(values) or named == "KTO":
        return "KTO"
    if _DPO & set(values) or "beta" in values:
        return "DPO"
    if _SFT & set(values) or named:
        return named or "SFT"
    own = {*ADAPTER, *_IGNORED, *_REFUSED, *_NOTED, *_TRANSLATED} - {"trust_remote_code"}
    if own & set(values):
        keys.notes.append(
            "taken for arguments of TRL's SFT: the file has no key that only DPO or KTO has"
        )
        return "SFT"
    return ""


def _adapter(keys: Keys, kind: str) -> dict[str, Any]:
    if not keys.flag("use_peft"):
        for key in ("load_in_4bit", "load_in_8bit"):
            if keys.flag(key):
                keys.refuse(
                    key, "a base in few bits is trained with an adapter", ["use_peft: true"]
                )
        of_adapters = sorted(ADAPTER & {key for key in keys.values if keys.has(key)})
        keys.unused.update(of_adapters)
        if not keys.has("use_peft"):
            keys.notes.append(
                "the file does not say that an adapter is trained: all weights are; use_peft: true says LoRA"
            )
        return {"method": "full"}
    return {
        "method": "lora",
        "rank": keys.whole("lora_r", 16, least=1),
        "alpha": keys.whole("lora_alpha", 32, least=1),
        "dropout": keys.number("lora_dropout", 0.05),
        "targets": _targets(keys),
        "modules_to_save": keys.names("lora_modules_to_save"),
        "rslora": keys.flag("use_rslora"),
        "dora": keys.flag("use_dora"),
        "quantization": keys.quantization(),
    }


def _targets(keys: Keys) -> str | tuple[str, ...]:
    value = keys.values.get("lora_target_modules")
    if isinstance(value, str):
        return value
    names = keys.names("lora_target_modules")
    # A list of one becomes a string in TRL, and peft matches a string against whole names.
    return (names[0] if len(names) == 1 else names) if names else "default"


def _room(keys: Keys) -> dict[str, Any]:
    key = "max_seq_length" if keys.has("max_seq_length") else "max_length"
    if key in keys.values and keys.values[key] is None:
        return {"max_length": None}
    longest = keys.whole(key, 1024, least=2)
    keys.notes.append(f"TRL cuts rows over {longest} tokens; here they are left out and counted")
    return {"max_length": longest}


def _loss(keys: Keys) -> str:
    assistant = keys.flag("assistant_only_loss")
    if assistant and keys.flag("completion_only_loss"):
        keys.refuse(
            "completion_only_loss", "assistant_only_loss is set as well", ["one of the two"]
        )
    if assistant:
        return "assistant"
    if not keys.has("completion_only_loss"):
        return "auto"
    return "completion" if keys.flag("completion_only_loss") else "all"


TRL = Trainer(
    name="TRL",
    translated=_TRANSLATED | ADAPTER | hf.TRANSLATED,
    ignored=_IGNORED | hf.IGNORED,
    noted=_NOTED,
    refused={**hf.REFUSED, **_REFUSED},
    plan=trl_plan,
)
