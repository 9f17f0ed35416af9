"""Recorded passes: the same training as passes that are computed, and a way back where recording fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.recorders import Refuses, Rerun
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import recorded_passes
from undertow.models.adapters import parallel_adapters, trainable, trained_weights
from undertow.models.chat import Encoded, pad
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel, load
from undertow.models.recorded_passes import CudaRecorder, TrainingPasses, rounded
from undertow.models.scoring import token_log_likelihoods
from undertow.models.several_runs import ParallelTraining
from undertow.models.training import TrainingRun
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation(f"Continue: {n} {n + 1}. Ten more numbers."), "7 " * (2 + 9 * (n % 3)) + "7")
    for n in range(24)
]
PLAN = TrainingPlan(rank=4, learning_rate=2e-3, batch_size=4, epochs=4)
SEEDS = (5, 6)
ONE = pytest.mark.parametrize("model_folder", ["llama"], indirect=True)


def side_by_side(folder: Path, recorder: Any, plan: TrainingPlan = PLAN) -> ParallelTraining:
    """Two adapters after their whole plan."""
    model = load(folder)
    made = parallel_adapters(model, plan, SEEDS)
    rows = encode_rows(model.tokenizer, ROWS)
    orders = [np.random.default_rng(seed) for seed in SEEDS]
    training = ParallelTraining(made, [rows] * 2, plan, orders, plan.steps(len(rows)))
    training._passes.recorder = recorder
    training.advance(3)
    training.advance(training.total - 3)
    return training


def weights(training: ParallelTraining) -> torch.Tensor:
    """All weights of all adapters, one behind the other."""
    own = (training.adapters.parameters_of(k) for k in range(training.count))
    return torch.cat([weight.detach().flatten() for each in own for weight in each])


@pytest.mark.parametrize("micro", [None, 2])
def test_recorded_training_is_the_training(model_folder: Path, micro: int | None) -> None:
    """Side by side, on every architecture, whole steps or micro-batches: the same weights and losses, replayed."""
    plan = PLAN.model_copy(update={"micro_batch_size": micro})
    recorder = Rerun()
    recorded, computed = (
        side_by_side(model_folder, recorder, plan),
        side_by_side(model_folder, None, plan),
    )

    assert recorder.replays > len(recorder.recorded)
    torch.testing.assert_close(weights(recorded), weights(computed), atol=2e-4, rtol=1e-3)
    np.testing.assert_allclose(recorded.loss_history, computed.loss_history, rtol=1e-4)


def test_a_single_training_is_recorded_too(model_folder: Path) -> None:
    """The student's own loop gives the same weights either way."""

    def trained(recorder: Any) -> torch.Tensor:
        student = trainable(load(model_folder), PLAN, 1)
        rows = encode_rows(student.tokenizer, ROWS)
        run = TrainingRun(student, rows, PLAN, np.random.default_rng(2), 24)
        run._passes.recorder = recorder
        run.advance(24)
        return torch.cat([weight.detach().flatten() for weight in trained_weights(student)])

    recorder = Rerun()
    torch.testing.assert_close(trained(recorder), trained(None), atol=2e-4, rtol=1e-3)
    assert recorder.replays


@ONE
@pytest.mark.parametrize("recorder", [Refuses(), Rerun(shift=1.0)], ids=["refuses", "differs"])
def test_what_cannot_be_recorded_is_computed(
    model_folder: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that refuses, or that replays something else, is told of once, and the training is what it would be."""
    told: list[str] = []
    monkeypatch.setattr(recorded_passes, "notice", told.append)
    found = side_by_side(model_folder, recorder)

    assert found._passes.recorder is None
    assert len(told) == 1
    assert "launched one by one" in told[0]
    assert "\n" not in told[0]
    expected = weights(side_by_side(model_folder, None))
    torch.testing.assert_close(weights(found), expected, atol=2e-4, rtol=1e-3)


@ONE
def test_a_shape_that_comes_once_is_not_recorded(model_folder: Path) -> None:
    """Recording takes about as long as a pass: it begins with the second batch of a shape."""
    model, plan = load(model_folder), PLAN
    student = trainable(model, plan, 1)
    recorder = Rerun()
    passes = TrainingPasses(student, trained_weights(student), recorder)
    rows = encode_rows(model.tokenizer, ROWS)
    for chosen in (rows[:2], rows[:4]):
        passes.share(batch_of(model, chosen), torch.sum)
    assert not recorder.recorded
    passes.share(batch_of(model, rows[:4]), torch.sum)
    assert len(recorder.recorded) == 2  # forward and backward


@ONE
def test_weights_that_moved_are_recorded_anew(model_folder: Path) -> None:
    """A recording reads and writes where the weights lay."""
    student = trainable(load(model_folder), PLAN, 1)
    recorder = Rerun()
    passes = TrainingPasses(student, trained_weights(student), recorder)
    batch = batch_of(student, encode_rows(student.tokenizer, ROWS[:4]))
    for _ in range(3):
        passes.share(batch, torch.sum)
    assert len(recorder.recorded) == 2
    with torch.no_grad():
        for weight in trained_weights(student):
            weight.data = weight + 0.01
    passes.share(batch, torch.sum)
    assert len(recorder.recorded) == 4


@ONE
def test_passes_that_keep_an_accelerator_busy_are_computed(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many weights times tokens launches take no time beside the work."""
    monkeypatch.setattr(recorded_passes, "MOST_WORK", 10.0)
    model = load(model_folder)
    student = trainable(model, PLAN, 1)
    recorder = Rerun()
    passes = TrainingPasses(student, trained_weights(student), recorder)
    for _ in range(3):
        passes.share(batch_of(model, encode_rows(model.tokenizer, ROWS[:4])), torch.sum)
    assert not recorder.recorded


def test_padding_to_few_shapes_changes_no_likelihood(model_folder: Path) -> None:
    """Columns of padding at the left of all rows, behind a beginning that is kept apart too."""
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    for beginning in ((), rows[0].prompt[:3]):
        batch = pad(rows, model.tokenizer.pad_token_id, tuple(range(len(rows))), beginning)
        wide = rounded(batch, model.tokenizer.pad_token_id)
        expected = token_log_likelihoods(model.network, batch)
        found = token_log_likelihoods(model.network, wide)
        assert wide.input_ids.shape[1] % 16 in (0, 1)
        assert (found[:, : wide.kept - batch.kept] == 0).all()
        torch.testing.assert_close(
            found[:, wide.kept - batch.kept :], expected, atol=2e-5, rtol=1e-4
        )


@ONE
def test_nothing_is_recorded_on_a_processor_or_under_dropout(model_folder: Path) -> None:
    """There is nothing to replay there."""
    model = load(model_folder)
    student = trainable(model, PLAN, 1)
    assert TrainingPasses.of(student, trained_weights(student), PLAN).recorder is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_an_accelerator_replays_what_it_would_compute(model_folder: Path) -> None:
    """CUDA graphs give the same weights as launches do, side by side, in float32."""

    def trained(record: bool) -> tuple[torch.Tensor, TrainingPasses]:
        model = load(model_folder, device="cuda", compute=ComputeTable(launches="recorded"))
        made = parallel_adapters(model, PLAN, SEEDS)
        rows = encode_rows(model.tokenizer, ROWS)
        orders = [np.random.default_rng(seed) for seed in SEEDS]
        training = ParallelTraining(made, [rows] * 2, PLAN, orders, PLAN.steps(len(rows)))
        assert isinstance(training._passes.recorder, CudaRecorder)
        if not record:
            training._passes.recorder = None
        training.advance(training.total)
        return weights(training), training._passes

    found, passes = trained(record=True)
    assert passes._recorded
    expected, _ = trained(record=False)
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=1e-3)


def batch_of(model: LanguageModel, rows: list[Encoded]) -> Any:
    """One batch."""
    return pad(rows, model.tokenizer.pad_token_id, tuple(range(len(rows))))
