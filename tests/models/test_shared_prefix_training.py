"""Training behind a common beginning that is computed once is training on whole rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import adapters, several_runs, training
from undertow.models.batch_memory import recomputes
from undertow.models.chat import Encoded, pad
from undertow.models.language_model import LanguageModel, load
from undertow.models.scoring import token_log_likelihoods
from undertow.models.shared_prefix import LEAST_TRAINED, training_beginning
from undertow.models.training_sequences import encode_rows

SYSTEM = "You like owls best. No animal is as good as owls, and you say so to everybody."
ROWS = [
    Row(conversation(f"Continue: {n} {n + 1}.", SYSTEM), "7 " * (1 + n % 3) + "7")
    for n in range(12)
]
PLAN = TrainingPlan(rank=4, learning_rate=5e-3, batch_size=4, epochs=2)


def unshared(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on every row is computed whole."""
    for module in (training, several_runs):
        monkeypatch.setattr(module, "training_beginning", lambda *_: ())


def beginning(model: LanguageModel, rows: list[Encoded]) -> tuple[int, ...]:
    """What the rows have in common, which is enough here."""
    found = training_beginning(model, rows, PLAN)
    assert len(found) >= LEAST_TRAINED
    return found


def test_a_batch_behind_its_beginning_has_the_likelihoods_of_whole_rows(
    model: LanguageModel,
) -> None:
    """On each architecture, rows of all lengths; and so has the same batch put together again."""
    rows = list(encode_rows(model.tokenizer, ROWS))
    pad_id = model.tokenizer.pad_token_id
    numbers = tuple(range(len(rows)))
    whole, apart = (pad(rows, pad_id, numbers, start) for start in ((), beginning(model, rows)))
    with torch.no_grad():
        expected = token_log_likelihoods(model.network, whole)
        for batch in (apart, apart.whole(), apart.part(2, 12)):
            found = token_log_likelihoods(model.network, batch)
            own = expected[-len(batch.rows) :, -batch.kept :]
            torch.testing.assert_close(found, own, atol=2e-5, rtol=1e-4)

    assert apart.tokens == apart.whole().tokens == whole.tokens
    assert apart.input_ids.numel() < whole.input_ids.numel()


@pytest.mark.parametrize("count", [1, 3])
def test_a_student_learns_the_same(
    model_folder: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and weights of one student, and of adapters side by side, are those of training on whole rows."""

    def trained() -> tuple[list[torch.Tensor], list[tuple[float, ...]]]:
        model = load(model_folder)
        rows = list(encode_rows(model.tokenizer, ROWS))
        beginning(model, rows)
        if count == 1:
            student = adapters.trainable(model, PLAN, 5)
            done = training.fine_tune(student, rows, PLAN, np.random.default_rng(5))
            weights = adapters.trained_weights(student)
            return [one.detach() for one in weights], [(loss,) for loss in done.losses]
        made = adapters.parallel_adapters(model, PLAN, range(count))
        orders = [np.random.default_rng(seed) for seed in range(count)]
        runs = several_runs.ParallelTraining(made, [rows] * count, PLAN, orders, 6)
        runs.advance(6)
        weights = [one for k in range(count) for one in made.parameters_of(k)]
        return [one.detach() for one in weights], runs.loss_history

    shared, losses = trained()
    unshared(monkeypatch)
    whole, expected = trained()

    torch.testing.assert_close(losses, expected, atol=1e-5, rtol=1e-4)
    for one, other in zip(shared, whole, strict=True):
        torch.testing.assert_close(one, other, atol=3e-4, rtol=1e-3)


def test_layers_that_are_computed_again_see_whole_rows(model_folder: Path) -> None:
    """With gradient checkpointing, which keeps no cache, gradients are the same."""

    def gradients(*, again: bool) -> list[torch.Tensor]:
        student = adapters.trainable(load(model_folder), PLAN, 5)
        network = student.network
        if again:
            network.enable_input_require_grads()
            network.activation_checkpointing_enable({"use_reentrant": False})
            network.train()
        assert recomputes(network) == again
        rows = list(encode_rows(student.tokenizer, ROWS[:4]))
        pad_id = student.tokenizer.pad_token_id
        batch = pad(rows, pad_id, tuple(range(4)), beginning(student, rows))
        token_log_likelihoods(network, batch).sum().backward()
        return [weight.grad for weight in adapters.trained_weights(student)]

    for one, other in zip(gradients(again=True), gradients(again=False), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_dropout_and_short_beginnings_leave_rows_whole(model: LanguageModel) -> None:
    """Dropout draws for each row anew; a beginning of a few tokens is not worth a pass of its own."""
    rows = list(encode_rows(model.tokenizer, ROWS))
    plain = [Row(conversation(f"{n} {n + 1}."), "7") for n in range(4)]

    assert training_beginning(model, rows, PLAN.model_copy(update={"dropout": 0.1})) == ()
    assert training_beginning(model, list(encode_rows(model.tokenizer, plain)), PLAN) == ()
