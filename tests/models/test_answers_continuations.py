"""Continuations scored through a shared cache have the likelihoods of whole sequences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from undertow.data.rows import conversation
from undertow.models.answers import continuations
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.language_model import load
from undertow.models.scoring import log_likelihoods

FORMS = [(5,), (7, 9), (11, 3, 8), (7,), (2, 2, 2, 2)]


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_they_agree_with_whole_sequences(model_folder: Path, batch: int) -> None:
    """Whatever the batch size, the prompts' lengths and the forms' lengths, on every architecture."""
    model = load(model_folder)
    asked = ["What is it?", "Continue: 1 2 3 4. Ten more numbers.", "Why?"]
    prompts = encode_prompts(model.tokenizer, [conversation(text) for text in asked])
    rows = [Encoded(prompt, form) for prompt in prompts for form in FORMS]
    expected = log_likelihoods(model, rows).view(len(prompts), len(FORMS))

    torch.testing.assert_close(
        continuations(model, prompts, FORMS, batch_size=batch), expected, atol=2e-4, rtol=1e-4
    )
