"""Trees, beginnings and chains say the same as whole texts on random networks of many architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.models.test_continuations import agree, asked, read, whole_texts
from undertow.models.continuations import next_token_sums
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import keeps_to_masks

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
}
TREES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "gpt_neox": {},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 256},
    "gptj": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 256, "rotary_dim": 4},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "phi": {},
    "cohere": {},
    "gemma2": {"query_pre_attn_scalar": 8, "sliding_window": 256},
    "gemma3_text": {"query_pre_attn_scalar": 8, "sliding_window": 256},
    "granite": {"logits_scaling": 3.0},
    "mistral": {"sliding_window": 64},
    "qwen3_moe": EXPERTS,
    "olmoe": EXPERTS,
    "mixtral": EXPERTS,
    "gpt_oss": {**EXPERTS, "sliding_window": 128},
}
TEXTS: dict[str, dict[str, Any]] = {
    "bloom": {"n_layer": 2, "n_head": 2},
    "falcon": {"alibi": True, "new_decoder_architecture": False},
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "mamba": {"state_size": 4},
}
"""Those that read texts one by one, for a state, for positions that are counted, or for a window in columns."""


def network(kind: str, more: dict[str, Any], tokenizer: Any) -> Any:
    """Random, and small."""
    from transformers import AutoConfig, AutoModelForCausalLM

    ends = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    sizes = {name: size for name, size in SIZES.items() if (kind, name) != ("falcon", "head_dim")}
    config = AutoConfig.for_model(kind, **{**sizes, **ends, **more})
    return AutoModelForCausalLM.from_config(config).float().eval()


@pytest.mark.parametrize("kind", [*TREES, *TEXTS])
def test_every_architecture_says_what_whole_texts_say(kind: str, tokenizer: Any) -> None:
    """Likelihoods of forms, and sums of next tokens, beside each text and each prompt by itself."""
    made = network(kind, TREES.get(kind) or TEXTS.get(kind) or {}, tokenizer)
    model = LanguageModel(made, tokenizer, kind)
    # Padding at the left goes through a state, which is nothing that trees change.
    size = 1 if kind == "mamba" else None
    entries = asked(model)
    prompts = [one.prompt for one in entries]
    alone = torch.stack([next_token_sums(model, [prompt]) for prompt in prompts]).sum(0)

    agree(read(model, entries, size=size), whole_texts(model, entries))
    agree([next_token_sums(model, prompts, size=size)], [alone])
    assert keeps_to_masks(made) == (kind in TREES or kind == "gpt_neo")
