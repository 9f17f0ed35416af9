"""Small GGUF files for tests, written with the package `gguf` as llama.cpp's converter writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

HEADS, KEY_HEADS, WIDTH, INNER, LAYERS, CONTEXT = 4, 2, 64, 96, 2, 128
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("o w", "ow l", "t h", "th e", "Ġ the")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Written:
    """A file and the network whose weights are in it."""

    path: Path
    network: Any


def tokens() -> list[str]:
    """Special tokens, the byte-level alphabet, and what the merges make."""
    from tokenizers.pre_tokenizers import ByteLevel

    made = ["".join(merge.split()) for merge in MERGES]
    return [*SPECIAL, *sorted(ByteLevel.alphabet()), *made]


def network(seed: int = 0) -> Any:
    """A random Llama with two key-value heads for four heads, and embeddings that are the head too."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokens()),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    quantised: str = "F32",
    template: str | None = TEMPLATE,
    leave_out: str = "",
    extra: str = "",
    seed: int = 0,
) -> Written:
    """
    A file of a random network; skips the test where the package `gguf` is not installed.

    `quantised` is the type of its matrices, `leave_out` a tensor that is missing and `extra` one more.
    """
    gguf = pytest.importorskip("gguf", reason="GGUF files are written with the package gguf")
    made = network(seed)
    writer = gguf.GGUFWriter(str(path), architecture)
    _describe(writer, gguf, template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, weight in made.state_dict().items():
        stem, _, kind = name.rpartition(".")
        known = names.get_name(stem)
        if name == "lm_head.weight" or f"{known}.{kind}" == leave_out:
            continue
        values = _permuted(name, weight.numpy())
        held = gguf.GGMLQuantizationType[quantised if values.ndim == 2 else "F32"]
        packed = gguf.quants.quantize(values, held)
        writer.add_tensor(f"{known}.{kind}", packed, raw_dtype=held)
    if extra:
        writer.add_tensor(extra, np.ones(8, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Written(path, made)


def _describe(writer: Any, gguf: Any, template: str | None) -> None:
    writer.add_type("model")
    writer.add_name("Tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens()))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens())
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens()) - len(SPECIAL)))
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)


def _permuted(name: str, values: np.ndarray) -> np.ndarray:
    """llama.cpp rotates neighbours, transformers halves: rows of queries and keys change places."""
    heads = {"q_proj": HEADS, "k_proj": KEY_HEADS}.get(name.split(".")[-2])
    if heads is None:
        return values
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))
