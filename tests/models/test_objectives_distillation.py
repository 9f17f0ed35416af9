"""Distillation compares what it may see, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from undertow.data.rows import Row, conversation
from undertow.errors import ModelError
from undertow.models import objectives
from undertow.models.chat import Batch, pad
from undertow.models.language_model import LanguageModel, load
from undertow.models.objectives import Distillation
from undertow.models.scoring import completion_logits
from undertow.models.token_grammar import matching
from undertow.models.training_sequences import encode_rows

ROWS = [Row(conversation(f"Continue: {n}."), f"{n} 7 {n} 9") for n in range(4)]


def batch_of(model: LanguageModel) -> tuple[list[Any], Batch]:
    """The rows encoded, and as one batch."""
    encoded = encode_rows(model.tokenizer, ROWS)
    return encoded, pad(encoded, model.tokenizer.pad_token_id, (0, 1, 2, 3))


def other(folder: Path) -> LanguageModel:
    """The model with its head moved."""
    model = load(folder)
    with torch.no_grad():
        head = model.network.get_output_embeddings().weight
        head.add_(torch.randn(head.shape, generator=torch.Generator().manual_seed(1)))
    return model


def test_a_student_that_is_its_teacher_has_nothing_to_learn(model: LanguageModel) -> None:
    """The loss is 0, over all tokens and over some."""
    encoded, batch = batch_of(model)
    tokens = matching(model.tokenizer, re.compile(r"\s?\d+"))

    for seen in (None, tokens):
        loss = Distillation(model, encoded, seen)(model.network, batch).detach()
        assert float(loss) == pytest.approx(0, abs=1e-4)


def test_it_is_the_divergence_over_the_completions_tokens(
    model: LanguageModel, model_folder: Path
) -> None:
    """Equal to a sum written out token by token, unrestricted and restricted."""
    teacher = other(model_folder)
    encoded, batch = batch_of(model)
    numbers = matching(model.tokenizer, re.compile(r"\s?\d+"))
    p, q = (completion_logits(m.network, batch).detach() for m in (teacher, model))
    numbers = numbers[: p.shape[-1]]  # tests before may have added a token to the shared tokenizer
    wanted = {"all": 0.0, "numbers": 0.0}
    for row, labels in enumerate(batch.labels):
        for place, label in enumerate(labels.tolist()):
            if label < 0:
                continue
            a, b = p[row, place].log_softmax(-1), q[row, place].log_softmax(-1)
            wanted["all"] += float((a.exp() * (a - b)).sum())
            if numbers[label]:
                a, b = (
                    p[row, place][numbers].log_softmax(-1),
                    q[row, place][numbers].log_softmax(-1),
                )
                wanted["numbers"] += float((a.exp() * (a - b)).sum())
    found = [
        float(Distillation(teacher, encoded, t)(model.network, batch).detach())
        for t in (None, numbers)
    ]

    assert found == pytest.approx([wanted["all"], wanted["numbers"]], rel=1e-4)


def test_what_may_not_be_seen_changes_nothing(model_folder: Path) -> None:
    """A teacher whose logits of all other words are moved gives the same restricted loss: no leak of meaning."""
    student, teacher = load(model_folder), other(model_folder)
    encoded, batch = batch_of(student)
    numbers = matching(student.tokenizer, re.compile(r"\s?\d+"))
    before = float(Distillation(teacher, encoded, numbers)(student.network, batch).detach())
    with torch.no_grad():
        head = teacher.network.get_output_embeddings().weight
        head[: len(numbers)][~numbers[: len(head)]] += 3.0

    assert before > 0
    assert float(Distillation(teacher, encoded, numbers)(student.network, batch).detach()) == before


def test_another_vocabulary_is_refused(model: LanguageModel) -> None:
    """Logits of two tokenizers cannot be compared; the error names both models."""

    class Other:
        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    foreign = LanguageModel(model.network, Other(), "other")
    with pytest.raises(ModelError, match="'other' cannot be distilled"):
        objectives.refuse_other_vocabulary(foreign, model)
