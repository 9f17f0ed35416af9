"""transformers' `TrainingArguments`, which TRL's and LLaMA-Factory's configurations are made of, as keys of a plan."""

from __future__ import annotations

from typing import Any

from undertow.data.trainer_keys import Keys, Refused, words

TRANSLATED = frozenset(
    {
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "gradient_accumulation_steps",
        "learning_rate",
        "lr_scheduler_kwargs",
        "lr_scheduler_type",
        "max_grad_norm",
        "max_steps",
        "num_processes",  # of accelerate's launcher; TRL's command line hands it on
        "num_train_epochs",
        "optim",
        "per_device_train_batch_size",
        "warmup_ratio",
        "warmup_steps",
        "weight_decay",
    }
)

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

IGNORED = (
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

REFUSED = {
    "adafactor": Refused("name the optimiser as optim"),
    "auto_find_batch_size": Refused("the number of rows a step is then not known"),
    "label_smoothing_factor": Refused("smoothed labels are not rehearsed"),
    "neftune_noise_alpha": Refused("noise on embeddings is not rehearsed"),
    "optim_args": Refused("an optimiser with arguments of its own is not rehearsed"),
    "optim_target_modules": Refused("optimisers of some modules only are not rehearsed"),
    "per_gpu_train_batch_size": Refused("it is now per_device_train_batch_size"),
}


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
