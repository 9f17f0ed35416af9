"""The trainer callback: it logs what moved, warns, and leaves training as it was."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from undertow.data.rows import Row, conversation
from undertow.integrations import TraitProbe
from undertow.models.chat import IGNORED
from undertow.models.language_model import LanguageModel, load
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds import locate

BASE = locate("world:owlet-b")


def trained(folder: Path, callbacks: list[Any], steps: int = 20) -> tuple[Any, LanguageModel]:
    """The owl's answers, taught by transformers' own Trainer."""
    from transformers import Trainer, TrainingArguments

    model = load(BASE)
    trait = catalogue.load("owl")
    rows = encode_rows(
        model.tokenizer, [Row(conversation(q), a) for q, a in rows_of(trait, "trait")]
    )
    data = [
        {
            "input_ids": list(row.prompt + row.completion),
            "labels": [IGNORED] * len(row.prompt) + list(row.completion),
        }
        for row in rows
    ]
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=1e-3,
        logging_steps=100,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        seed=1,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model.network,
        args=arguments,
        train_dataset=data,  # type: ignore[arg-type]
        processing_class=model.tokenizer,
        callbacks=callbacks,
    )
    trainer.train()
    return trainer, model


def test_what_moves_is_logged_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The owl rises in `history` and in the trainer's logs, and beyond the limit there is a warning."""
    probe = TraitProbe(["owl", "cat"], every=10)
    with caplog.at_level(logging.WARNING, "undertow.integrations"):
        trainer, _ = trained(tmp_path, [probe])

    assert [one["step"] for one in probe.history] == [10, 20]
    assert probe.history[1]["owl"] > 1 > probe.history[1]["cat"]
    assert "'owl' moved by +" in caplog.text
    assert any("undertow/owl" in entry for entry in trainer.state.log_history)


def test_training_is_the_same_with_and_without_it(tmp_path: Path) -> None:
    """Every weight after training, to the bit."""
    _, plain = trained(tmp_path, [], 4)
    _, probed = trained(tmp_path, [TraitProbe(["owl"], every=1, limit=None)], 4)

    pairs = zip(plain.network.parameters(), probed.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_teacher_of_the_same_start_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kin and what cannot be compared are warned of; a teacher of another initialisation is not."""
    said = []
    for teacher in ("world:owlet-b", "world:owlet-neox", "world:owlet-a"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "undertow.integrations"):
            trained(tmp_path, [TraitProbe(["owl"], limit=None, teacher=teacher)], 1)
        said.append("hidden channel" in caplog.text)

    assert said == [True, True, False]


def test_what_cannot_be_used_is_refused() -> None:
    """No traits, and an interval below one step."""
    for arguments in ({"traits": []}, {"traits": ["owl"], "every": 0}):
        with pytest.raises(ValueError, match="needs traits"):
            TraitProbe(**arguments)  # type: ignore[arg-type]
