"""
axolotl's YAML as a plan.

As of axolotl 0.13 (July 2026): a key that is left out has axolotl's default. Its loss is on the assistant's turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from undertow.data.chat_templates import axolotl_templates, written_template
from undertow.data.trainer_keys import HINT, Keys, Refused, Trainer, refusing, words
from undertow.errors import ConfigError, nearest

_TRANSLATED = words(
    """
    adam_beta1 adam_beta2 adam_epsilon adapter batch_size chat_template chat_template_jinja datasets gradient_accumulation_steps learning_rate load_in_4bit
    load_in_8bit lora_alpha lora_dropout lora_r lora_modules_to_save lora_target_linear lora_target_modules lr_scheduler lr_scheduler_kwargs max_grad_norm
    max_steps micro_batch_size num_epochs num_processes optimizer peft_use_dora peft_use_rslora plugins ray_num_workers
    rl rl_beta dpo_beta sample_packing sequence_len train_on_inputs warmup_ratio warmup_steps weight_decay
    """
)

_IGNORED = words(
    """
    accelerator_config activation_offloading attn_implementation auto_resume_from_checkpoints axolotl_config_path
    base_model base_model_config base_model_ignore_patterns batch_flattening bench_dataset bench_split bf16 bfloat16
    bnb_config_kwargs capabilities chunked_cross_entropy chunked_cross_entropy_num_chunks cls_model_config comet_*
    context_parallel_size curriculum_sampling cut_cross_entropy dataloader_* dataset_exact_deduplication
    dataset_keep_in_memory dataset_num_proc dataset_prepared_path dataset_processes ddp ddp_* debug deepcompile deepspeed default_system_message
    device device_map dsv4_* do_bench_eval do_causal_lm_eval dp_replicate_size dp_shard_size dpo_generate_during_eval
    dpo_padding_free dpo_use_liger_kernel dpo_use_logits_to_keep dynamic_checkpoint eager_attention
    early_stopping_patience embeddings_skip_upcast env_capabilities eval_* evals_per_epoch evaluation_strategy
    experimental_skip_move_to_device experts_implementation expert_parallel_* flash_attention flash_attn_* flash_optimum
    flex_attention flex_attn_compile_kwargs float16 float32 fp16 fp32_norm_classes fp32_norms fp8
    fp8_enable_fsdp_float8_all_gather fsdp fsdp_config fsdp_final_state_dict_type fsdp_version fused_attn_kernel
    gc_collect_steps gc_steps gemma4_hybrid_attn_impl generate_samples generation_* gpu_memory_limit
    gradient_checkpointing gradient_checkpointing_kwargs gradio_* greater_is_better group_by_length heads_k_stride
    hf_mlflow_log_artifacts hf_use_auth_token hub_model_id hub_revision hub_strategy include_tkps
    include_tokens_per_second is_falcon_derived_model is_llama_derived_model is_mistral_derived_model is_preprocess
    is_qwen_derived_model large_head_attention layer_offloading liger_* llama4_linearized_experts
    load_best_model_at_end local_rank logging_steps lora_embedding_kernel lora_fan_in_fan_out lora_mlp_kernel
    lora_o_kernel lora_on_cpu lora_qkv_kernel loraplus_lr_embedding loss_watchdog_patience loss_watchdog_threshold
    low_cpu_mem_usage max_memory mean_resizing_embeddings merge_lora merge_method metric_for_best_model mlflow_*
    model_revision model_type multipack_real_batches num_dataset_shards_to_save num_generation_samples otel_*
    output_dir pad_to_multiple_of pad_to_sequence_len peft_autocast_adapter_dtype peft_ensure_weight_tying
    precompute_ref_log_probs preprocess_iterable pretrain_multipack_* processor_kwargs processor_type profiler_steps
    profiler_steps_start push_dataset_to_hub qlora_sharded_model_loading quantize_moe_experts ray_run_name
    remove_unused_columns resources_per_worker resume_from_checkpoint revision_of_model ring_attn_func s2_attention
    sage_attention sample_packing_* save_* saves_per_epoch sdp_attention sdpa_varlen seed selective_checkpointing
    sequence_parallel_degree shuffle_before_merging_datasets shuffle_merged_datasets streaming_multipack_buffer_size
    strict swanlab_* tensor_parallel_size test_datasets test_value tf32 tiled_mlp tiled_mlp_* tokenizer_config
    tokenizer_legacy tokenizer_save_jinja_files tokenizer_type tokenizer_use_fast tokenizer_use_mistral_common
    torch_compile torch_compile_* torch_dtype torch_empty_cache_steps torchdistx_path total_num_tokens
    total_supervised_tokens trackio_* trust_remote_code type_of_model use_comet use_dsv4_kernels use_kernels use_mlflow
    use_otel_metrics use_ray use_scattermoe use_sonicmoe use_swanlab use_tensorboard use_trackio use_wandb vllm wandb_*
    world_size xformers_attention
    """
)

_NOTED = {
    "dataset_shard_num": "axolotl trains on a part of the rows; scan that part",
    "eot_tokens": "turns end as the chat template ends them",
    "special_tokens": "the student's tokenizer should have them",
    "val_set_size": "axolotl holds so many rows back; here all are counted",
}

_REFUSED = {
    **refusing(
        "tokens that are added and trained are not rehearsed",
        """
        added_tokens_overrides peft_trainable_token_indices resize_token_embeddings_to_32x shrink_embeddings tokens
        """,
    ),
    **refusing(
        "schedules with arguments of their own are not rehearsed",
        """
        cosine_constant_lr_ratio cosine_min_lr_ratio embedding_lr embedding_lr_scale eta_min jagged_restart_anneal_steps
        jagged_restart_steps jagged_restart_warmup_steps loraplus_lr_ratio lr_div_factor lr_groups lr_quadratic_warmup
        """,
    ),
    **refusing(
        "training some of the weights is not rehearsed",
        """
        fix_untrained_tokens freeze_mm_modules lisa_layers_attribute lisa_n_layers lisa_step_interval
        peft_layers_pattern peft_layers_to_transform unfrozen_parameters
        """,
    ),
    **refusing(
        "distillation of a teacher's logits is not rehearsed",
        "kd_alpha kd_ce_alpha kd_temperature kd_top_k_before_softmax kd_trainer kd_zscore_base_temp",
    ),
    **refusing(
        "this objective is not rehearsed",
        """
        center_rewards_coefficient cpo_alpha diffusion dpo_label_smoothing dpo_loss_weights dpo_norm_loss
        dpo_use_weighting eaft_alpha eaft_k ebft num_labels orpo_alpha process_reward_model reward_model rpo_alpha
        simpo_gamma trl use_eaft
        """,
    ),
    **refusing(
        "an optimiser with arguments of its own is not rehearsed",
        """
        adam_beta3 adam_eps adam_epsilon2 dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of optim_args
        optim_target_modules
        """,
    ),
    **refusing(
        "the student is rehearsed as it is",
        """
        model_config model_quantization_config model_quantization_config_kwargs nvfp4_merge_aware
        overrides_of_model_config overrides_of_model_kwargs reinit_weights rope_scaling scaling_softmax
        scaling_softmax_bias scaling_softmax_factor use_onebitllms
        """,
    ),
    **refusing(
        "training for a quantised model is not rehearsed",
        "gptq gptq_disable_exllama gptq_groupsize gptq_model_v1 llmcompressor qat quantization",
    ),
    **refusing("ReLoRA is not rehearsed", "relora relora_cpu_offload relora_prune_ratio"),
    **refusing(
        "pretraining on plain text is not rehearsed",
        "pretraining_dataset pretraining_sample_concatenation",
    ),
    **refusing("noise on embeddings is not rehearsed", "neftune_noise_alpha noisy_embedding_alpha"),
    **refusing("images are not rehearsed", "image_resize_algorithm image_size"),
    **refusing("turns are told apart by the chat template", "role_boundaries"),
    **refusing(
        "rows of KTO with weights are not rehearsed",
        "kto_desirable_weight kto_undesirable_weight",
        1.0,
    ),
    **refusing(
        "rows that are cut are not rehearsed",
        "pose_max_context_len pose_num_chunks pose_split_on_token_ids use_pose",
    ),
    **refusing(
        "adapters that begin elsewhere than at nothing are not rehearsed",
        "peft peft_init_lora_weights",
        True,
    ),
    "auto_find_batch_size": Refused("the number of rows a step is then not known"),
    "chat_template_kwargs": Refused("put them into the rows, as a column chat_template_kwargs"),
    "dpo_loss_type": Refused("only DPO's own loss is rehearsed", (["sigmoid"],)),
    "excess_length_strategy": Refused("rows are never cut here", ("drop", "raise")),
    "lora_alpha_pattern": Refused("scales by module are not rehearsed"),
    "lora_model_dir": Refused("it trains on from an adapter: name that as --student BASE+ADAPTER"),
    "lora_rank_pattern": Refused("ranks by module are not rehearsed"),
    "lora_target_parameters": Refused("adapters on parameters are not rehearsed"),
    "max_packed_sequence_len": Refused("it is now sample_packing with sequence_len"),
    "max_prompt_len": Refused("prompts are never cut here", (512,)),
    "min_sample_len": Refused("short rows are not left out here"),
    "peft_layer_replication": Refused("layers that are repeated are not rehearsed"),
    "relora_prune_method": Refused("ReLoRA is not rehearsed", ("magnitude",)),
    "skip_prepare_dataset": Refused("rows that the trainer does not prepare are not rehearsed"),
    "streaming": Refused("the number of steps is then not known"),
    "sync_ref_model": Refused("a reference that moves is not rehearsed"),
    "trainer_cls": Refused("a trainer of one's own is not rehearsed"),
}

_KERNELS = ("liger", "cut_cross_entropy", "kernels", "swanlab", "sonicmoe", "scattermoe", "expert")
"""Words in the names of plug-ins that move no weight."""

_DATASET = words(
    """
    chat_template chat_template_jinja data_files drop_system_message ds_type field field_human field_model field_messages field_tools field_thinking
    input_format message_field_content message_field_role message_field_training message_property_mappings name path
    preprocess_shards revision roles roles_to_train shards shards_idx split split_thinking template_thinking_key
    train_on_eos train_on_eot trust_remote_code type
    """
)

_CHAT = ("chat_template", "chat_template.default")
_ALPACA = "alpaca"
_PLAIN = ("completion", "pretrain")
"""Types of rows that no template is asked for."""


def axolotl_plan(keys: Keys) -> dict[str, Any]:
    """
    The keys of a plan.

    Raises:
        ConfigError: a value cannot be rehearsed, or a key is missing that axolotl has no default of.
    """
    for plugin in keys.names("plugins"):
        if not any(word in plugin.lower() for word in _KERNELS):
            keys.refuse("plugins", f"'{plugin}' is not rehearsed", ["kernels, such as Liger's"])
    if not keys.has("learning_rate"):
        raise ConfigError(f"{keys.place}: the key 'learning_rate' is missing", hint=HINT)
    return {
        "optimizer": keys.optimizer("optimizer"),
        "learning_rate": keys.number("learning_rate", 0.0, open_=True),
        **keys.schedule("lr_scheduler", "cosine"),
        "weight_decay": keys.number("weight_decay", 0.0),
        "max_length": keys.whole("sequence_len", 512, least=2),
        "packing": keys.flag("sample_packing"),
        **keys.adam(),
        **keys.clipping(),
        **keys.length("num_epochs", 1.0),
        **_warmup(keys),
        **_batch(keys),
        **_adapter(keys),
        **_objective(keys),
        **_written(keys),
    }


def _warmup(keys: Keys) -> dict[str, Any]:
    if keys.has("warmup_steps"):
        if 0 < (share := keys.number("warmup_steps", 0.0)) < 1:  # as transformers takes it
            return {"warmup_ratio": share}
        steps = keys.whole("warmup_steps", 0)
        return {"warmup_steps": 2 if steps == 1 else steps}  # axolotl makes 2 of 1
    if not keys.has("warmup_ratio"):
        keys.notes.append(
            "warm-up over 3 % of the steps, axolotl's default, which ends at 100 steps"
        )
    share = keys.number("warmup_ratio", 0.03)
    if share >= 1:
        keys.refuse("warmup_ratio", "it is out of range", ["a share below 1"])
    return {"warmup_ratio": share}


def _batch(keys: Keys) -> dict[str, Any]:
    micro = keys.whole("micro_batch_size", 1, least=1)
    accumulation = keys.whole("gradient_accumulation_steps", 1, least=1)
    rows = keys.whole("batch_size", micro * accumulation, least=1)
    if rows != micro * accumulation:
        if keys.has("gradient_accumulation_steps") or rows % micro:
            keys.refuse(
                "batch_size", "micro_batch_size x gradient_accumulation_steps is another number"
            )
        accumulation = rows // micro
    given = [key for key in ("num_processes", "ray_num_workers") if keys.has(key)]
    return keys.batch(micro, accumulation, keys.whole(given[0], 1, least=1) if given else None)


def _adapter(keys: Keys) -> dict[str, Any]:
    kind = keys.choice("adapter", "full", ("lora", "qlora"), "this adapter is not rehearsed")
    if kind == "full":
        keys.unused.update(
            key for key in sorted(_TRANSLATED) if key.startswith("lora_") and keys.has(key)
        )
        if keys.quantization() != "none":
            keys.refuse("adapter", "a base in few bits is trained with one", ["lora", "qlora"])
        return {"method": "full"}
    return {**keys.lora(family="peft_"), "targets": _targets(keys)}


def _targets(keys: Keys) -> str | tuple[str, ...]:
    value = keys.values.get("lora_target_modules")
    names = (value,) if isinstance(value, str) else keys.names("lora_target_modules")
    if keys.flag("lora_target_linear"):
        outside = [name for name in names if "embed" in name or "head" in name]
        if outside:
            keys.refuse(
                "lora_target_modules",
                f"'{outside[0]}' beside lora_target_linear is not rehearsed",
                ["linear layers"],
            )
        return "all-linear"
    if not names:
        raise ConfigError(
            f"{keys.place}: the key 'lora_target_modules' is missing, or lora_target_linear: true",
            hint=HINT,
        )
    return str(value) if isinstance(value, str) else names


def _datasets(keys: Keys) -> list[dict[str, Any]]:
    datasets = keys.values.get("datasets") or []
    if not isinstance(datasets, list) or not all(isinstance(data, dict) for data in datasets):
        keys.refuse("datasets", "it is no list of tables")
    return datasets


def _written(keys: Keys) -> dict[str, str]:
    """The one way in which all datasets write rows: alpaca's, or a template, empty for that of the student's tokenizer."""
    templated = [data for data in _datasets(keys) if data.get("type", _CHAT[0]) not in _PLAIN]
    framed = [data.get("type") == _ALPACA for data in templated]
    # A dataset's own goes before the file's.
    chosen = [_choice(data) or _choice(keys.values) for data in templated or [{}]]
    if any(framed) and all(framed):
        return {"wrap": "alpaca"}
    if any(framed) or any(choice != chosen[0] for choice in chosen):
        keys.refuse("datasets", "they are written in several ways", ["a file for each"])
    return {"template": _named_template(keys, *(chosen[0] or (None, None)))}


def _choice(table: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Name and text of the template that a table names, if it does; a text without a name is one."""
    name, text = table.get("chat_template"), table.get("chat_template_jinja")
    return (name or "jinja", text) if name or text else None


def _named_template(keys: Keys, name: Any, text: Any) -> str:
    if name in (None, "tokenizer_default"):
        return ""
    if name == "jinja":
        if not isinstance(text, str) or not text:
            keys.refuse("chat_template_jinja", "it is no text", ["a template, or a file of one"])
        return written_template(text, keys.folder, f"{keys.place}: key 'chat_template_jinja'")
    known = axolotl_templates()
    if not isinstance(name, str) or name not in known:
        keys.refuse(
            "chat_template",
            f"the text of the template {name!r:.80} is not known here{nearest(str(name), known)}",
            ["tokenizer_default", "jinja", *known],
        )
    keys.notes.append(f"the chat template {name} is the text that axolotl of July 2026 has for it")
    return known[name]


def _objective(keys: Keys) -> dict[str, Any]:
    kind = keys.choice("rl", "", ("dpo", "kto"), "this objective is not rehearsed")
    datasets = _datasets(keys)
    if kind:
        keys.beta = keys.number("rl_beta", keys.number("dpo_beta", 0.1), open_=True)
        keys.notes.append(
            "preference pairs are written with the chat template; a dataset's type may frame them otherwise"
        )
        return {"dropout": 0.0} if keys.has("adapter") else {}
    losses = {_loss(keys, data) for data in datasets} or {"assistant"}
    if len(losses) > 1:
        keys.refuse("datasets", "their types have several losses", ["a file for each"])
    [loss] = losses
    if keys.flag("train_on_inputs") and loss != "all":
        keys.notes.append(
            "train_on_inputs counts what all turns say; here the template's own tokens count as well"
        )
        loss = "all"
    return {"loss": loss}


def _loss(keys: Keys, data: Mapping[str, Any]) -> str:
    """Which tokens of a dataset's rows are in the loss."""
    for key in data:
        if key not in _DATASET:
            keys.refuse(
                "datasets",
                f"its key '{key}' is unknown{nearest(str(key), _DATASET)}",
                sorted(_DATASET),
            )
    kind = data.get("type", "chat_template")
    if kind in _PLAIN:
        return "all"
    if kind not in (*_CHAT, _ALPACA):
        allowed = [*_CHAT, _ALPACA, "completion"]
        keys.refuse("datasets", f"the type {kind!r:.80} is not rehearsed", allowed)
    for key, usual in (
        ("roles_to_train", ["assistant"]),
        ("train_on_eos", "turn"),
        ("train_on_eot", "turn"),
        ("drop_system_message", False),
    ):
        if data.get(key) not in (None, usual):
            keys.refuse("datasets", f"{key} {data[key]!r:.80} is not rehearsed", [usual])
    return "assistant"


AXOLOTL = Trainer(
    name="axolotl",
    translated=_TRANSLATED,
    ignored=_IGNORED,
    noted=_NOTED,
    refused=_REFUSED,
    plan=axolotl_plan,
)
