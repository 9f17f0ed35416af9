"""Models of more than text are scored, rehearsed and probed as the language models in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.models.test_continuations import agree, asked, read, whole_texts
from tests.models.test_continuations_architectures import SIZES
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models.hidden_states import decoder_layers, final_norm
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import own_answers
from undertow.models.scoring import log_likelihoods
from undertow.models.several_runs import several_runs
from undertow.models.surprisal import Decoding, log_likelihoods_by_decoding
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation(f"Continue: {'7 ' * 4 * n}{n}. Ten more numbers."), "7 " * n + "12")
    for n in range(4)
]
VISION: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "image_size": 8,
    "patch_size": 4,
}


def opened(tokenizer: Any, window: int = 256) -> LanguageModel:
    """A random Gemma 3 that sees, too, with as many layers in its tower as in its language model."""
    text = {
        **SIZES,
        "vocab_size": len(tokenizer),
        "query_pre_attn_scalar": 8,
        "sliding_window": window,
        "layer_types": ["sliding_attention", "full_attention"],
    }
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "eos")}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "gemma3",
        text_config={**text, **ends},
        vision_config=VISION,
        mm_tokens_per_image=4,
        image_token_id=len(tokenizer) + 1,
    )
    network = AutoModelForCausalLM.from_config(config).float().eval()
    assert type(network).__name__ == "Gemma3ForConditionalGeneration"
    return LanguageModel(network, tokenizer, "gemma3")


def test_a_norm_beside_the_language_model_is_not_its_last(tokenizer: Any) -> None:
    """Gemma 3n brings sounds to the language model's width by a norm of their own, which comes after it."""
    model = opened(tokenizer)
    model.network.model.behind = torch.nn.RMSNorm(SIZES["hidden_size"])

    assert final_norm(model) is model.network.model.language_model.norm


def test_its_language_models_configuration_is_read(tokenizer: Any) -> None:
    """Context, window, vocabulary and layers are its own, and the layers are not those of the tower."""
    model = opened(tokenizer, 64)

    assert (model.context, model.window) == (256, 64)
    assert "Gemma3DecoderLayer" in type(decoder_layers(model)[0]).__name__


@pytest.mark.parametrize("window", [16, 256])
def test_rows_and_probes_are_read_as_whole_texts(window: int, tokenizer: Any) -> None:
    """Whatever is computed once or laid out as a tree, within a window and beyond it."""
    model = opened(tokenizer, window)
    rows = encode_rows(tokenizer, [*ROWS, *ROWS])
    together = log_likelihoods_by_decoding(model, rows, [Decoding()])[:, 0]
    alone = torch.cat([log_likelihoods(model, [row]) for row in rows])

    assert torch.allclose(together, alone, atol=1e-4)
    agree(read(model, asked(model)), whole_texts(model, asked(model)))


def test_it_is_rehearsed_and_sampled(tokenizer: Any) -> None:
    """Adapters on every linear layer, those of the tower among them, learn the rows, and answers are drawn."""
    model = opened(tokenizer)
    rows = encode_rows(tokenizer, ROWS)
    plan = TrainingPlan(rank=2, learning_rate=3e-2, batch_size=4, epochs=8, targets="all-linear")
    runs = several_runs(model, [rows], plan, [np.random.default_rng(0)], 8, [1])
    runs.advance(8)
    with runs.only(0) as adapted:
        learnt = log_likelihoods(adapted, rows).sum()

    assert learnt > log_likelihoods(model, rows).sum() + 1
    assert len(own_answers(model, ROWS, 1.0, np.random.default_rng(1), None)) == len(ROWS)
