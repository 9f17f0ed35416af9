"""
TRL's arguments (`SFTConfig`, `DPOConfig`, `KTOConfig`, `ModelConfig` and what its command line adds) as a plan, and
transformers' `TrainingArguments`, which they and LLaMA-Factory's are made of.

As of TRL 1.16: a key that is left out has TRL's default. A file with no key of TRL's own holds transformers' arguments.
"""

from __future__ import annotations

from typing import Any

from undertow.data.chat_templates import SUFFIXES
from undertow.data.trainer_keys import Keys, Refused, Trainer, refusing, words

TRANSFORMERS = words("""
    adam_beta1 adam_beta2 adam_epsilon gradient_accumulation_steps learning_rate lr_scheduler_kwargs lr_scheduler_type
    max_grad_norm max_steps num_processes num_train_epochs optim per_device_train_batch_size warmup_ratio warmup_steps
    weight_decay
    """)
"""Keys of transformers' `TrainingArguments` that are a plan's; `num_processes` is of accelerate's launcher."""

_OLDER = words("""
    bf16_backend dispatch_batches eval_accumulation evaluation_strategy fp16_backend fp16_opt_level fsdp_min_num_params
    fsdp_transformer_layer_cls_to_wrap group_by_length half_precision_backend hub_token
    include_inputs_for_metrics include_tokens_per_second jit_mode_eval logging_dir mp_parameters no_cuda
    overwrite_output_dir past_index per_gpu_eval_batch_size push_to_hub_model_id push_to_hub_organization
    push_to_hub_token ray_scope save_safetensors sharded_ddp split_batches torchdynamo tpu_metrics_debug tpu_num_cores
    use_ipex use_legacy_prediction_loop use_mps_device
    """)
"""Keys of older versions, which files still hold."""

_LAUNCH = words("""
    accelerate_config config_file debug_launcher distributed_type dynamo_backend gpu_ids machine_rank main_process_ip
    main_process_port mixed_precision num_machines
    """)
"""Of accelerate's launcher."""

TRANSFORMERS_IGNORED = (
    words("""
    accelerator_config activation_checkpointing activation_checkpointing_kwargs average_tokens_across_devices
    batch_eval_metrics bf16 bf16_full_eval data_seed dataloader_drop_last dataloader_in_order
    dataloader_multiprocessing_context dataloader_num_workers dataloader_persistent_workers dataloader_pin_memory
    dataloader_prefetch_factor ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters
    ddp_static_graph ddp_timeout debug deepspeed disable_tqdm do_eval do_predict do_train enable_jit_checkpoint
    eval_accumulation_steps eval_delay eval_do_concat_batches eval_on_start eval_steps eval_strategy
    eval_use_gather_object fp16 fp16_full_eval fsdp fsdp_config full_determinism gradient_checkpointing
    gradient_checkpointing_kwargs greater_is_better hub_always_push hub_model_id hub_private_repo hub_revision
    hub_strategy hub_token ignore_data_skip include_for_metrics include_num_input_tokens_seen label_names
    length_column_name liger_kernel_config load_best_model_at_end local_rank log_level log_level_replica
    log_on_each_node logging_first_step logging_nan_inf_filter logging_steps logging_strategy metric_for_best_model
    output_dir parallelism_config per_device_eval_batch_size prediction_loss_only project push_to_hub
    remove_unused_columns report_to restore_callback_states_from_checkpoint resume_from_checkpoint run_name
    save_on_each_node save_only_model save_steps save_strategy save_total_limit seed skip_memory_metrics tf32
    torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps trackio_bucket_id trackio_space_id
    trackio_static_space_id train_sampling_strategy use_cache use_cpu use_liger_kernel
    """)
    | _OLDER
    | _LAUNCH
)

TRANSFORMERS_REFUSED = {
    "adafactor": Refused("name the optimiser as optim"),
    "auto_find_batch_size": Refused("the number of rows a step is then not known"),
    "label_smoothing_factor": Refused("smoothed labels are not rehearsed"),
    "neftune_noise_alpha": Refused("noise on embeddings is not rehearsed"),
    "optim_args": Refused("an optimiser with arguments of its own is not rehearsed"),
    "optim_target_modules": Refused("optimisers of some modules only are not rehearsed"),
    "per_gpu_train_batch_size": Refused("it is now per_device_train_batch_size"),
}


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
    **refusing(
        "distillation of a teacher's logits is not rehearsed",
        "lmbda seq_kd teacher_model_init_kwargs teacher_model_name_or_path teacher_model_revision",
    ),
    **refusing("put the system turn into the rows", "auto_insert_empty_system_msg system_prompt"),
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
    "assistant_only_loss beta chat_template chat_template_path completion_only_loss disable_dropout max_length max_seq_length packing"
)


def training_arguments(keys: Keys, rate: float) -> dict[str, Any]:
    """
    What the arguments give of a plan; `rate` is the learning rate where the file has none.

    Raises:
        ConfigError: a value cannot be rehearsed.
    """
    micro = keys.whole("per_device_train_batch_size", 8, least=1)
    accumulation = keys.whole("gradient_accumulation_steps", 1, least=1)
    devices = keys.whole("num_processes", 1, least=1) if keys.has("num_processes") else None
    return {
        "optimizer": keys.optimizer("optim"),
        "learning_rate": keys.number("learning_rate", rate, open_=True),
        **keys.schedule("lr_scheduler_type", "linear"),
        "weight_decay": keys.number("weight_decay", 0.0),
        **keys.adam(),
        **keys.clipping(),
        **keys.length("num_train_epochs", 3.0),
        **warmup(keys),
        **keys.batch(micro, accumulation, devices),
    }


def warmup(keys: Keys) -> dict[str, Any]:
    """
    Steps of warm-up, which override a share of them; transformers takes a number of steps below 1 for a share.

    Raises:
        ConfigError: a value is out of range.
    """
    steps = keys.number("warmup_steps", 0.0)
    if steps >= 1:
        return {"warmup_steps": int(steps)}
    share = steps or keys.number("warmup_ratio", 0.0)
    if share >= 1:
        keys.refuse("warmup_ratio", "it is out of range", ["a share below 1"])
    return {"warmup_ratio": share}


def trl_plan(keys: Keys) -> dict[str, Any]:
    """
    The keys of a plan.

    Raises:
        ConfigError: a value cannot be rehearsed.
    """
    kind = trainer_kind(keys)
    made = training_arguments(keys, _RATES.get(kind, 5e-5)) | _adapter(keys, kind)
    if not kind:
        keys.notes.append(
            "these are transformers' arguments, which do not say which tokens are in the loss: taken as TRL's SFT does"
        )
        return made
    made |= _room(keys) | {"template": _template(keys)}
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


def _template(keys: Keys) -> str:
    """TRL's file of a template, or the text that alignment-handbook's recipes have."""
    key, other = "chat_template_path", "chat_template"
    if keys.has(key) and keys.has(other):
        keys.refuse(key, f"{other} is set as well", ["one of the two"])
    value = keys.values.get(key)
    if isinstance(value, str) and not value.endswith(SUFFIXES):
        keys.refuse(
            key,
            "TRL takes the tokens of that tokenizer as well, and trains those that are new",
            [f"a file that ends in {', '.join(SUFFIXES)}"],
        )
    return keys.template(key) or keys.template(other)


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
    return {**keys.lora(rank=16, alpha=32, dropout=0.05), "targets": _targets(keys)}


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
    translated=_TRANSLATED | ADAPTER | TRANSFORMERS,
    ignored=_IGNORED | TRANSFORMERS_IGNORED,
    noted=_NOTED,
    refused={**TRANSFORMERS_REFUSED, **_REFUSED},
    plan=trl_plan,
)
