"""A training that was killed goes on from its checkpoint as if it had not been, or says why it begins anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.conftest import tiny
from tests.models.dying import Dying, Killed
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.engines.work_progress import Announcement, Told, listening
from undertow.models import adapters
from undertow.models.language_model import load
from undertow.models.objectives import Distillation, train_on_pairs
from undertow.models.training import Trained, fine_tune
from undertow.models.training_checkpoint import LiveTraining, TrainingCheckpoint
from undertow.models.training_sequences import encode_rows

ROWS = [Row(conversation(f"Continue: {n}."), f"{n} 7 {n} 9") for n in range(16)]
PAIRS = [Row(conversation(f"Continue: {n}."), "7 7 7 7", rejected=f"{n} 9 {n} 9") for n in range(8)]
PLAN = TrainingPlan(
    rank=2,
    learning_rate=1e-2,
    batch_size=4,
    micro_batch_size=2,
    epochs=3,
    dropout=0.3,
    warmup_steps=3,
    schedule="cosine",
)

Train = Callable[[Any, TrainingPlan, TrainingCheckpoint | None], Trained]


def rows(student: Any, plan: TrainingPlan, checkpoint: TrainingCheckpoint | None) -> Trained:
    """A training on rows."""
    encoded = encode_rows(student.tokenizer, ROWS)
    return fine_tune(student, encoded, plan, np.random.default_rng(1), checkpoint=checkpoint)


def logits(student: Any, plan: TrainingPlan, checkpoint: TrainingCheckpoint | None) -> Trained:
    """A training on a teacher's probabilities."""
    encoded = encode_rows(student.tokenizer, ROWS)
    teacher = load(student.ref)
    with torch.no_grad():
        teacher.network.get_output_embeddings().weight.mul_(3)
    loss = Distillation(teacher, encoded)
    rng = np.random.default_rng(1)
    return fine_tune(student, encoded, plan, rng, loss=loss, checkpoint=checkpoint)


def pairs(student: Any, plan: TrainingPlan, checkpoint: TrainingCheckpoint | None) -> Trained:
    """A training on preference pairs."""
    pytest.importorskip("trl")
    return train_on_pairs(student, PAIRS, plan, 0.1, 1, checkpoint=checkpoint)


def whole(folder: Path, train: Train, plan: TrainingPlan) -> tuple[list[torch.Tensor], Trained]:
    """Weights and account of a training that nothing stops."""
    student = adapters.trainable(load(folder), plan, 5)
    done = train(student, plan, None)
    return [weight.detach().clone() for weight in adapters.trained_weights(student)], done


def killed(folder: Path, train: Train, plan: TrainingPlan, path: Path, *kills: int) -> Any:
    """Weights, account and what was told of one that is killed at each of these steps of its sittings."""
    for number, step in enumerate(kills):
        student = adapters.trainable(load(folder), plan, 5)
        with pytest.raises(Killed):
            train(student, plan, Dying(path, step, written=number % 2 == 0))
    told: list[Told] = []
    student = adapters.trainable(load(folder), plan, 5)
    with listening(told.append):
        done = train(student, plan, TrainingCheckpoint(path))
    return (
        adapters.trained_weights(student),
        done,
        [t.text for t in told if isinstance(t, Announcement)],
    )


@pytest.fixture(scope="module")
def folder(tokenizer: Any, tmp_path_factory: Any) -> Path:
    """A saved random model."""
    path: Path = tmp_path_factory.mktemp("kept")
    tiny("llama", tokenizer).save_pretrained(str(path))
    tokenizer.save_pretrained(str(path))
    return path


@pytest.mark.parametrize(
    "train", [rows, logits, pytest.param(pairs, marks=pytest.mark.long, id="pairs")]
)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_training_ends_as_one_that_was_not(
    folder: Path, tmp_path: Path, train: Train, method: str
) -> None:
    """Killed after a checkpoint and between two, in warm-up, in an epoch and at its end: the same weights and losses, bit for bit."""
    lora = PLAN.model_dump() | {"method": method, "dropout": 0.3 if method == "lora" else 0.0}
    plan = TrainingPlan.model_validate(lora)
    weights, done = whole(folder, train, plan)
    again, resumed, told = killed(folder, train, plan, tmp_path / "kept", 2, 2, 1, 2)

    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    assert (resumed.steps, resumed.tokens, resumed.losses) == (done.steps, done.tokens, done.losses)
    assert told == []


@pytest.mark.parametrize("optimizer", ["adafactor", "sgd", "rmsprop", "adagrad"])
def test_any_optimiser_goes_on(folder: Path, tmp_path: Path, optimizer: str) -> None:
    """Whatever its state is made of, and with a schedule that restarts."""
    schedule = {"schedule": "cosine_with_restarts", "schedule_arguments": {"num_cycles": 2}}
    plan = TrainingPlan.model_validate(PLAN.model_dump() | {"optimizer": optimizer} | schedule)
    weights, done = whole(folder, rows, plan)
    again, resumed, told = killed(folder, rows, plan, tmp_path / "kept", 3, 5)

    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    assert (resumed.losses, told) == (done.losses, [])


def test_16_bit_weights_go_on(folder: Path, tmp_path: Path) -> None:
    """Moments are put back in the bits that they had."""

    def narrow(student: Any, plan: TrainingPlan, checkpoint: TrainingCheckpoint | None) -> Trained:
        student.network.bfloat16()
        return rows(student, plan, checkpoint)

    weights, done = whole(folder, narrow, PLAN)
    again, resumed, _ = killed(folder, narrow, PLAN, tmp_path / "kept", 4)

    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    assert resumed.losses == done.losses


def test_a_training_that_was_at_its_end_takes_no_step_again(folder: Path, tmp_path: Path) -> None:
    """Pairs too: the weights are put back."""
    for train, last in ((rows, 12), (pairs, 6)):
        weights, done = whole(folder, train, PLAN)
        again, resumed, _ = killed(folder, train, PLAN, tmp_path / train.__name__, last)

        assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
        assert resumed.losses == done.losses


def test_a_state_of_other_things_is_said_and_not_kept(folder: Path, tmp_path: Path) -> None:
    """A set in an optimiser's state is neither a tensor nor a plain value."""
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], 0.1)
    optimizer.state[weight]["seen"] = {1}
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    checkpoint, told = TrainingCheckpoint(tmp_path / "kept", every=0), []
    with listening(told.append):
        for _ in range(2):
            checkpoint.offer("it", LiveTraining([weight], optimizer, schedule), lambda: ({}, {}))

    assert [told.text for told in told] == [
        "no checkpoints of this training are made: the optimiser or schedule keeps a set; a kill repeats it whole"
    ]
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("damage", ["cut", "other", "text"])
def test_an_unusable_checkpoint_is_said_and_the_training_begins_anew(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    """Cut off, of another training or of something else: dropped, and the result is that of a whole training."""
    path = tmp_path / "kept"
    weights, _ = whole(folder, rows, PLAN)
    plan = PLAN.model_copy(update={"learning_rate": 1.0}) if damage == "other" else PLAN
    student = adapters.trainable(load(folder), plan, 5)
    with pytest.raises(Killed):
        rows(student, plan, Dying(path, 3, written=True))
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-9], "other": content, "text": b"weights"}[damage])
    again, _, told = killed(folder, rows, PLAN, path)

    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    assert len(told) == 1
    assert told[0].endswith("this training begins anew")


def test_a_checkpoint_is_made_every_half_minute_and_at_a_late_end(tmp_path: Path) -> None:
    """Steps of a second: at 30 and 60; the end is kept if it is 5 seconds later, and no sooner."""
    now = [0.0]
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], 0.1)
    live = LiveTraining([weight], optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer))
    checkpoint, made = TrainingCheckpoint(tmp_path / "kept", clock=lambda: now[0]), []

    def offer(last: bool = False) -> None:
        checkpoint.offer("it", live, lambda: (made.append(now[0]) or {}, {}), last=last)  # type: ignore[func-returns-value]

    for second in range(1, 64):
        now[0] = float(second)
        offer()
    offer(last=True)
    now[0] = 65.0
    offer(last=True)

    assert made == [30.0, 60.0, 65.0]
