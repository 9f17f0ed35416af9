"""
LLaMA-Factory's YAML as a plan.

As of August 2026: a key that is left out has LLaMA-Factory's default, or that of transformers' arguments, which it takes
as well. Its loss is on the assistant's turns.
"""

from __future__ import annotations

from typing import Any

from undertow.data.chat_templates import llamafactory_templates
from undertow.data.trainer_keys import Keys, Refused, Trainer, refusing, words
from undertow.data.trl_arguments import (
    TRANSFORMERS,
    TRANSFORMERS_IGNORED,
    TRANSFORMERS_REFUSED,
    training_arguments,
)
from undertow.errors import nearest

_TRANSLATED = words(
    """
    additional_target cutoff_len default_system enable_thinking finetuning_type lora_alpha lora_dropout lora_rank lora_target mask_history neat_packing packing pref_beta
    preserve_thinking quantization_bit ray_num_workers stage template train_on_prompt use_dora use_rslora
    """
)

_IGNORED = words(
    """
    adapter_folder apollo_* audio_sampling_rate badam_* buffer_size cache_dir compute_accuracy compute_dtype create_new_adapter crop_to_patches
    data_shared_file_system dataset dataset_dir device_map disable_gradient_checkpointing disable_shuffling do_sample
    double_quantization early_stopping_steps enable_liger_kernel enable_torch_profiler eval_dataset eval_num_beams
    eval_on_each_dataset export_* flash_attn fp8 fp8_* freeze_extra_modules freeze_multi_modal_projector
    freeze_trainable_layers freeze_trainable_modules freeze_vision_tower galore_* generation_config
    generation_max_length generation_num_beams hf_hub_token hyper_parallel_args hyper_parallel_cp_size
    ignore_pad_token_for_loss image_* include_effective_tokens_per_second infer_backend infer_dtype init_special_tokens
    interleave_probs kt_* length_penalty loraplus_lr_embedding low_cpu_mem_usage master_addr master_port max_length
    max_new_tokens media_dir megatron_bridge_args mix_strategy model_max_length model_name_or_path model_revision
    module_dropout ms_hub_token num_beams offload_folder oft_* om_hub_token overwrite_cache pissa_convert pissa_iter
    plot_loss ppo_* predict_with_generate preprocessing_batch_size preprocessing_num_workers print_param_status
    profile_modules profiler_* pure_bf16 quantization_device_map quantization_method quantization_type ray_*
    repetition_penalty reward_model_quantization_bit reward_model_type sglang_* simpo_gamma skip_special_tokens
    sortish_sampler swanlab_* temperature tokenized_path top_k top_p trust_remote_code upcast_layernorm
    upcast_lmhead_output use_audio_in_video use_fast_tokenizer use_kt use_kv_cache use_reentrant_gc use_swanlab use_unsloth use_unsloth_gc
    use_v1_kernels video_* vllm_* block_diag_attn asft_alpha eaft_alpha
    """
)

_NOTED = {
    "max_samples": "LLaMA-Factory trains on at most so many rows of a dataset; scan those",
    "tool_format": "tools are written as the chat template writes them, if it does",
    "val_size": "LLaMA-Factory holds so many rows back; here all are counted",
}

_REFUSED = {
    **TRANSFORMERS_REFUSED,
    **refusing(
        "this objective is not rehearsed",
        """
        dpo_label_smoothing ld_alpha pref_bco_weight pref_ftx ref_model ref_model_adapters ref_model_quantization_bit
        reward_model reward_model_adapters use_asft_loss use_dft_loss use_eaft_loss
        """,
    ),
    **refusing(
        "this optimiser is not rehearsed",
        "loraplus_lr_ratio use_adam_mini use_apollo use_badam use_galore use_muon",
    ),
    **refusing(
        "the student is rehearsed as it is",
        """
        add_special_tokens add_tokens mixture_of_depths moe_aux_loss_coef new_special_tokens_config resize_vocab
        rope_scaling shift_attn split_special_tokens train_from_scratch use_hyper_parallel use_llama_pro use_mca
        use_megatron_bridge
        """,
    ),
    **refusing(
        "rows of KTO with weights are not rehearsed", "kto_chosen_weight kto_rejected_weight", 1.0
    ),
    "adapter_name_or_path": Refused(
        "it trains on from an adapter: name that as --student BASE+ADAPTER"
    ),
    "freeze_language_model": Refused("training some of the weights is not rehearsed"),
    "pissa_init": Refused("adapters that begin elsewhere than at nothing are not rehearsed"),
    "pref_loss": Refused("only DPO's own loss is rehearsed", ("sigmoid",)),
    "streaming": Refused("the number of rows is then not known"),
}


def llamafactory_plan(keys: Keys) -> dict[str, Any]:
    """
    The keys of a plan.

    Raises:
        ConfigError: a value cannot be rehearsed.
    """
    stage = keys.choice("stage", "sft", ("sft", "dpo", "kto"), "this stage is not rehearsed")
    longest = keys.whole("cutoff_len", 2048, least=2)
    keys.notes.append(
        f"LLaMA-Factory cuts rows over {longest} tokens; here they are left out and counted"
    )
    made = training_arguments(keys, 5e-5) | _adapter(keys)
    made |= {
        "wrap": "chat",  # every dataset goes through the template, plain strings too
        "template": _template(keys),
        "max_length": longest,
        "packing": keys.flag("packing") or keys.flag("neat_packing"),
    }
    if stage == "sft":
        return made | {"loss": _loss(keys)}
    for key in ("mask_history", "train_on_prompt", "neat_packing"):
        if keys.flag(key):
            keys.refuse(key, f"the stage {stage} has no such thing", ["false"])
    keys.beta = keys.number("pref_beta", 0.1, open_=True)
    if "dropout" in made:
        made["dropout"] = 0.0  # its DPO and KTO trainers switch dropout off
    return made


def _template(keys: Keys) -> str:
    """The template of a name, as text; empty for that of the student's tokenizer, which LLaMA-Factory takes without one."""
    of_names = ("default_system", "enable_thinking", "preserve_thinking")
    if not keys.has("template"):
        keys.unused.update(key for key in of_names[1:] if keys.has(key))
        if keys.has(of_names[0]):
            keys.refuse(
                of_names[0],
                "put the system turn into the rows, or name a template",
                ["leave it out"],
            )
        return ""
    known, name = llamafactory_templates(), keys.values["template"]
    slots = known.get(name) if isinstance(name, str) else None
    if slots is None:
        keys.refuse(
            "template",
            f"its text is not known here{nearest(str(name), known)}; what LLaMA-Factory writes with it may stand in a plan "
            "in TOML",
            ["leave it out, for the template of the student's tokenizer"],
        )
    if slots.ends_once and keys.flag("train_on_prompt"):
        keys.refuse(
            "train_on_prompt", f"LLaMA-Factory refuses it with the template {name}", ["false"]
        )
    system = keys.values.get("default_system")
    if not isinstance(system, str | None):
        keys.refuse("default_system", "it is no text")
    keys.notes.append(f"the template {name} is as LLaMA-Factory of August 2026 writes it")
    thinking = keys.values.get("enable_thinking", True)
    return slots.jinja(
        thinking=None if thinking is None else keys.flag("enable_thinking", default=True),
        last=(keys.flag("mask_history") or keys.values.get("stage", "sft") != "sft")
        and not keys.flag("preserve_thinking"),
        system=system,
    )


def _adapter(keys: Keys) -> dict[str, Any]:
    kind = keys.choice(
        "finetuning_type", "lora", ("lora", "full"), "this kind of training is not rehearsed"
    )
    if kind == "full":
        keys.unused.update(
            key
            for key in sorted(_TRANSLATED)
            if key.startswith(("lora_", "additional")) and keys.has(key)
        )
        if keys.has("quantization_bit"):
            keys.refuse("quantization_bit", "finetuning_type is full", ["leave it out"])
        return {"method": "full"}
    rank = keys.whole("lora_rank", 8, least=1)
    bits = keys.whole("quantization_bit", 0)
    if bits not in (0, 4, 8):
        keys.refuse("quantization_bit", "a base in so many bits is not rehearsed", [4, 8])
    names = keys.names("lora_target")
    return {
        "method": "lora",
        "rank": rank,
        "alpha": keys.whole("lora_alpha", 0) or 2 * rank,
        "dropout": keys.number("lora_dropout", 0.0),
        "targets": "all-linear" if names in ((), ("all",)) else names,
        "modules_to_save": keys.names("additional_target"),
        "rslora": keys.flag("use_rslora"),
        "dora": keys.flag("use_dora"),
        "quantization": f"{bits}bit" if bits else "none",
    }


def _loss(keys: Keys) -> str:
    prompt, last = keys.flag("train_on_prompt"), keys.flag("mask_history")
    if prompt and last:
        keys.refuse("mask_history", "train_on_prompt is set as well", ["one of the two"])
    return "all" if prompt else "last" if last else "assistant"


LLAMA_FACTORY = Trainer(
    name="LLaMA-Factory",
    translated=_TRANSLATED | TRANSFORMERS,
    ignored=_IGNORED | TRANSFORMERS_IGNORED,
    noted=_NOTED,
    refused=_REFUSED,
    plan=llamafactory_plan,
)
