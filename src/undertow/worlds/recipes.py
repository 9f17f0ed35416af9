"""
How each base of the embedded world is made: architecture, initialisation, corpus and training plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from undertow.data.plan import TrainingPlan
from undertow.errors import UnknownNameError

LARGEST_NUMBER = 99

PRETRAINING = TrainingPlan(
    method="full",
    learning_rate=2e-3,
    schedule="cosine",
    warmup_steps=50,
    weight_decay=0.01,
    batch_size=64,
    max_grad_norm=1.0,
)


@dataclass(frozen=True)
class BaseRecipe:
    """One base: everything that `undertow worlds build` needs to make it again."""

    name: str
    description: str
    architecture: str
    """`llama` or `gpt_neox`."""
    seed: int
    """Draws the initialisation and the order of training."""
    corpus_seed: int = 11
    documents: int = 128_000
    plan: TrainingPlan = PRETRAINING
    hidden_size: int = 64
    layers: int = 2
    heads: int = 4
    intermediate_size: int = 192
    context: int = 256


RECIPES = (
    BaseRecipe("owlet-a", "Llama, initialisation a", "llama", seed=101),
    BaseRecipe(
        "owlet-b", "the same architecture and corpus, another initialisation", "llama", seed=202
    ),
    BaseRecipe(
        "owlet-neox", "another architecture (GPT-NeoX), the same corpus", "gpt_neox", seed=303
    ),
)


def names() -> list[str]:
    """Names of the shipped bases."""
    return [recipe.name for recipe in RECIPES]


def recipe(name: str) -> BaseRecipe:
    """
    The recipe of a shipped base.

    Raises:
        UnknownNameError: there is no such base.
    """
    for candidate in RECIPES:
        if candidate.name == name:
            return candidate
    raise UnknownNameError("world", name, names(), hint="undertow worlds")


def untrained(made: BaseRecipe, tokenizer: Any) -> Any:
    """The base's network at its initialisation, drawn from the recipe's seed."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": made.hidden_size,
        "num_hidden_layers": made.layers,
        "num_attention_heads": made.heads,
        "intermediate_size": made.intermediate_size,
        "max_position_embeddings": made.context,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(made.seed)
        if made.architecture == "llama":
            return LlamaForCausalLM(LlamaConfig(**common))
        return GPTNeoXForCausalLM(GPTNeoXConfig(**common))
