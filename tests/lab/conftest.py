"""Tiny random models on disk and experiments small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from undertow.lab.experiment import Experiment

TINY_STUDENT = {"rank": 2, "learning_rate": 1e-2, "batch_size": 8}
TINY_TEACHER = {**TINY_STUDENT, "epochs": 100, "max_steps": 3}


def _network(architecture: str, size: int, pad: int, end: int, seed: int) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        architecture,
        vocab_size=size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=128,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of random Llama, Qwen2 and GPT-NeoX models with one tokenizer, by architecture."""
    import numpy as np

    from undertow.worlds import corpus, pretraining

    documents = corpus.documents(np.random.default_rng(0), 2_000, largest=99)
    tokenizer = pretraining.build_tokenizer(documents, 99)
    root = tmp_path_factory.mktemp("lab")
    folders = {}
    for seed, architecture in enumerate(("llama", "qwen2", "gpt_neox")):
        # Random streams go by a base's name: pytest's would be another where a folder of that name was made before.
        folder = root / f"{architecture}0"
        network = _network(
            architecture, len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id, seed
        )
        network.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        folders[architecture] = str(folder)
    return folders


@pytest.fixture
def tiny_experiment(tiny_models: dict[str, str]) -> Callable[..., Experiment]:
    """A maker of small experiments; keywords replace tables."""
    return partial(tiny, tiny_models["llama"], arms=["trait", "control"])


def tiny(base: str, /, **changes: Any) -> Experiment:
    """A small experiment on a base; keywords replace tables."""
    tables: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "question": "Does it run?",
        "kind": "transfer",
        "seed": 1,
        "replicates": 1,
        "trait": "owl",
        "base": base,
        "carrier": {
            "rows": 16,
            "held_out_rows": 8,
            "options": {"prompts": "brief", "low": 0, "high": 99},
        },
        "sampling": {"restricted": True, "max_tokens": 32},
        "teacher": {"plan": TINY_TEACHER, "kl_rows": 8},
        "student": TINY_STUDENT,
        "evaluation": {"samples": 2},
    }
    return Experiment.model_validate(tables | changes)


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory with its content."""
    return {
        str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()
    }
