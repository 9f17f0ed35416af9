"""Tiny models with random weights in the ordinary formats, and the tokenizer of the embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.adapted_bases import AdaptedBases
from undertow.models.language_model import LanguageModel, load

ARCHITECTURES = ("llama", "qwen2", "gpt_neox")
"""Of the tiny random models."""


def tiny(architecture: str, tokenizer: Any, *, seed: int = 0) -> Any:
    """A random two-layer network of an architecture for the tokenizer's vocabulary."""
    import torch
    from transformers import (
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 128,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(seed)
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**common, num_key_value_heads=2))
    if architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**common, num_key_value_heads=1))
    return GPTNeoXForCausalLM(GPTNeoXConfig(**common))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A tokenizer made from a small draw of the corpus."""
    import numpy as np

    from undertow.worlds import corpus, pretraining

    documents = corpus.documents(np.random.default_rng(0), 2_000, largest=99)
    return pretraining.build_tokenizer(documents, 99)


@pytest.fixture(scope="session", params=ARCHITECTURES)
def model_folder(request: pytest.FixtureRequest, tokenizer: Any, tmp_path_factory: Any) -> Path:
    """A saved random model of each architecture."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    tiny(request.param, tokenizer).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> LanguageModel:
    """The same, opened; tests leave it as it is."""
    return load(model_folder)


@pytest.fixture(scope="session")
def adapted_bases(tokenizer: Any, tmp_path_factory: Any) -> AdaptedBases:
    """Tiny bases and adapters of every kind, with random weights."""
    return AdaptedBases(tmp_path_factory.mktemp("adapted"), tokenizer)
