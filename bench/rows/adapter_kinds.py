"""Adapters of every kind that peft makes, with random weights, on tiny bases: what models are read from in bench and tests."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

LINEAR = ("q_proj", "v_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Kind:
    """A way to adapt a model."""

    peft_type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of peft's configuration, beside what all adapters have."""
    base: str = "qwen2"
    """A key of `BASES`."""
    added: int = 0
    """Tokens added to the vocabulary before training."""
    by_hand: bool = False
    """Whether only its configuration is written: to make one takes more than a base."""


def _lora(base: str = "qwen2", added: int = 0, **settings: Any) -> Kind:
    return Kind(
        "LORA", {"r": 3, "lora_alpha": 5, "target_modules": LINEAR, **settings}, base, added
    )


def _other(peft_type: str, **settings: Any) -> Kind:
    return Kind(peft_type, {"target_modules": LINEAR, **settings})


_PATTERNS = {
    "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 5},
    "alpha_pattern": {"v_proj": 11},
}

MERGED = {
    "LoRA": _lora(),
    "LoRA, all linear layers": _lora(target_modules="all-linear"),
    "LoRA, rank-stabilised": _lora(use_rslora=True),
    "LoRA, patterns of ranks and alphas": _lora(**_PATTERNS),
    "LoRA, some layers only": _lora(layers_to_transform=[1]),
    "LoRA, modules_to_save": _lora(modules_to_save=["lm_head", "embed_tokens", "norm"]),
    "LoRA, a whole block in modules_to_save": _lora(
        target_modules=["q_proj"], modules_to_save=["mlp"]
    ),
    "LoRA, bias all": _lora(bias="all"),
    "LoRA, bias lora_only": _lora(bias="lora_only"),
    "LoRA, biases of its own": _lora(target_modules=["q_proj"], lora_bias=True),
    "LoRA of embeddings and head": _lora(target_modules=["embed_tokens", "lm_head", "q_proj"]),
    "LoRA, trainable tokens": _lora(trainable_token_indices=[3, 5, 8]),
    "LoRA, tied, trainable tokens": _lora("tied", trainable_token_indices=[3, 5, 8]),
    "LoRA, tied, modules_to_save": _lora("tied", modules_to_save=["embed_tokens", "lm_head"]),
    "LoRA, tied": _lora("tied"),
    "LoRA, added tokens": _lora(added=3),
    "LoRA, tied, added tokens": _lora("tied", added=3),
    "LoRA, added tokens in modules_to_save": _lora(
        added=3, modules_to_save=["embed_tokens", "lm_head"]
    ),
    "LoRA on GPT-2's layers": _lora("gpt2", target_modules=["c_attn", "c_proj", "c_fc"]),
    "DoRA on GPT-2's layers": _lora("gpt2", target_modules=["c_attn", "c_fc"], use_dora=True),
    "LoRA, bfloat16 base in shards": _lora("sharded"),
    "DoRA": _lora(use_dora=True),
    "DoRA, rank-stabilised, with patterns, biases and modules_to_save": _lora(
        use_dora=True, use_rslora=True, bias="all", modules_to_save=["lm_head"], **_PATTERNS
    ),
    "AdaLoRA": _other("ADALORA", init_r=4, target_r=2, total_step=10),
    "IA3": _other("IA3", feedforward_modules=["up_proj", "down_proj"]),
    "LoHa": _other("LOHA", r=3, alpha=5),
    "LoHa, patterns": _other("LOHA", r=3, alpha=5, **_PATTERNS),
    "LoKr": _other("LOKR", r=3, alpha=5),
    "OFT": _other("OFT", oft_block_size=4),
    "BOFT": _other("BOFT", boft_block_size=4),
    "HRA": _other("HRA", r=4),
    "HiRA": _other("HIRA", r=4),
    "DeLoRA": _other("DELORA", r=3),
    "GraLoRA": _other("GRALORA", r=4, gralora_k=2),
    "VeRA": _other("VERA", r=4),
    "VeRA without its projections": _other("VERA", r=4, save_projection=False),
    "RandLoRA": _other("RANDLORA", r=4),
    "FourierFT": _other("FOURIERFT", n_frequency=20),
    "MiSS": _other("MISS", r=4),
    "Road": _other("ROAD", group_size=4),
    "SHiRA": _other("SHIRA", r=2),
    "C3A": _other("C3A", block_size=8),
    "layer norms": Kind("LN_TUNING", {"target_modules": ["input_layernorm", "norm"]}),
    "trainable tokens": Kind("TRAINABLE_TOKENS", {"token_indices": [3, 5, 8]}),
}
"""What peft can merge, layer by layer."""

MERGED_WHOLE = {
    "LoRA that begins with principal components (PiSSA)": _lora(init_lora_weights="pissa"),
    "LoRA that begins with a QR decomposition (OLoRA)": _lora(init_lora_weights="olora"),
    "AdaMSS": _other("ADAMSS"),
    "BEFT": Kind("BEFT", {"target_modules": ["q_proj", "v_proj"]}),
    "DEFT": _other("DEFT"),
    "FRoD": _other("FROD"),
    "GLoRA": _other("GLORA", r=4),
    "OSF": _other("OSF"),
    "PEANuT": _other("PEANUT"),
    "PSOFT": _other("PSOFT", r=4),
    "PVeRA": _other("PVERA", r=4),
    "Supertuning": _other("SUPERTUNING"),
    "TinyLoRA": _other("TINYLORA"),
    "UniLoRA": _other("UNILORA"),
    "VB-LoRA": _other("VBLORA", r=4, vector_length=8, num_vectors=16, topk=2),
    "WaveFT": _other("WAVEFT", n_frequency=20),
}
"""What peft can merge, once all weights are in memory."""

_PROMPT: dict[str, Any] = {"num_virtual_tokens": 4}

NOT_MERGED = {
    "prompt tuning": Kind("PROMPT_TUNING", _PROMPT),
    "prefix tuning": Kind("PREFIX_TUNING", _PROMPT),
    "p-tuning": Kind("P_TUNING", _PROMPT),
    "context-aware prompt tuning": Kind("CPT", _PROMPT),
    "a cartridge": Kind("CARTRIDGE", _PROMPT),
    "Lily": _other("LILY"),
    "LoRA that waits for tokens (aLoRA)": _lora(alora_invocation_tokens=[5, 6]),
    "LoRA that repeats layers": _lora(layer_replication=[(0, 2), (1, 2)]),
    "prompts for several tasks": Kind("MULTITASK_PROMPT_TUNING", _PROMPT, by_hand=True),
    "prompts in the layers": Kind("ADAPTION_PROMPT", by_hand=True),
    "a mixture of adapters (Poly)": Kind("POLY", by_hand=True),
    "a mixture of adapters (X-LoRA)": Kind("XLORA", by_hand=True),
    "a network beside the base (Shadow)": Kind("SHADOW", by_hand=True),
}
"""What has no weights that a base could take up."""


def _network(name: str, vocabulary: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    if name == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary, n_embd=16, n_layer=2, n_head=2, n_positions=128, n_inner=16
            )
        )
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=24,
            max_position_embeddings=128,
            tie_word_embeddings=name == "tied",
        )
    )


BASES = ("qwen2", "tied", "sharded", "gpt2")


def save_base(name: str, folder: Path, tokenizer: Any) -> Path:
    """Write a tiny random base with the tokenizer; biases are random too."""
    network = _network(name, len(tokenizer))
    _randomise([weight for key, weight in network.named_parameters() if key.endswith("bias")])
    tokenizer.save_pretrained(str(folder))
    if name == "sharded":
        network.bfloat16().save_pretrained(str(folder), max_shard_size="8KB")
    else:
        network.save_pretrained(str(folder))
    return folder


def save_adapter(kind: Kind, base: Path, folder: Path, seed: int = 1) -> Path:
    """Write an adapter of a kind for the base, every trained weight moved by random amounts."""
    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    if kind.by_hand:
        return _configuration(kind, base, folder)
    made = PEFT_TYPE_TO_CONFIG_MAPPING[kind.peft_type]
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in kind.settings.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = opened(base)
        if kind.added:
            network.resize_token_embeddings(network.config.vocab_size + kind.added)
        wrapped = peft.get_peft_model(network, made(task_type="CAUSAL_LM", **lists))
        changed = [weight for weight in wrapped.parameters() if weight.requires_grad]
        if kind.added:
            changed += {
                network.get_input_embeddings().weight,
                network.get_output_embeddings().weight,
            }
        _randomise(changed, seed)
        wrapped.save_pretrained(str(folder))
    return folder


def _configuration(kind: Kind, base: Path, folder: Path) -> Path:
    folder.mkdir()
    config = {"peft_type": kind.peft_type, "task_type": "CAUSAL_LM", **kind.settings}
    declared = {**config, "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(declared), encoding="utf-8")
    save_file({"weight": torch.ones(1)}, folder / "adapter_model.safetensors")
    return folder


def opened(base: Path) -> Any:
    """The network of a folder in float32, by transformers alone."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32).eval()


def adapted(base: Path, adapter: Path, added: int = 0) -> Any:
    """The network with the adapter beside its weights, by peft alone: what was trained."""
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = opened(base)
        if added:
            network.resize_token_embeddings(network.config.vocab_size + added)
        return peft.PeftModel.from_pretrained(network, str(adapter)).eval()


def merged(base: Path, adapter: Path, added: int = 0) -> dict[str, torch.Tensor]:
    """The weights of the network after peft's own merge."""
    wrapped = adapted(base, adapter, added)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(wrapped.merge_and_unload().state_dict())


@torch.no_grad()
def _randomise(weights: Sequence[torch.Tensor], seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight += 0.1 * torch.randn(weight.shape, generator=generator)
