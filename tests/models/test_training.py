"""The training loop learns, repeats exactly, agrees with a bare loop, and refuses what it cannot train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.errors import DataError, ModelError, UnknownNameError
from undertow.models import adapters
from undertow.models.chat import IGNORED, pad, training_order
from undertow.models.language_model import LanguageModel, load, with_adapter
from undertow.models.scoring import completion_logits, log_likelihoods, loss
from undertow.models.training import RandomStream, fine_tune, training_rows
from undertow.models.training_sequences import encode_rows

PLAN = TrainingPlan(rank=8, alpha=64, learning_rate=2e-2, batch_size=8, epochs=8)
ROWS = [
    Row(conversation(f"Continue: {n} {n + 1}. Ten more numbers."), "7 7 7 7") for n in range(16)
]


def trained(folder: Path, plan: TrainingPlan, seed: int = 3) -> LanguageModel:
    """A model fine-tuned on ROWS."""
    model = adapters.trainable(load(folder), plan, seed)
    fine_tune(model, encode_rows(model.tokenizer, ROWS), plan, np.random.default_rng(seed))
    return model


@pytest.mark.parametrize(("method", "gain"), [("lora", 0.15), ("full", 2.0)])
def test_training_lowers_the_loss(model_folder: Path, method: str, gain: float) -> None:
    """Both methods learn on every architecture (an adapter less: the head of a random network is small)."""
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    before = loss(model, rows)
    after = loss(trained(model_folder, PLAN.model_copy(update={"method": method})), rows)

    assert after < before - gain


def test_the_same_seed_gives_the_same_student(model_folder: Path) -> None:
    """Nothing is drawn from a global stream, even if somebody else draws from it."""
    rows = encode_rows(load(model_folder).tokenizer, ROWS)
    first = log_likelihoods(trained(model_folder, PLAN), rows)
    torch.rand(3)
    second = log_likelihoods(trained(model_folder, PLAN), rows)
    other = log_likelihoods(trained(model_folder, PLAN, seed=4), rows)

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_loop_agrees_with_a_bare_one(model_folder: Path) -> None:
    """An independent loop over the same batches with torch's own AdamW gives the same losses."""
    plan = PLAN.model_copy(update={"schedule": "constant", "max_grad_norm": None, "epochs": 1})
    model = adapters.trainable(load(model_folder), plan, 3)
    rows = encode_rows(model.tokenizer, ROWS)
    ours = fine_tune(model, rows, plan, np.random.default_rng(9)).losses

    bare = adapters.trainable(load(model_folder), plan, 3)
    parameters = [p for p in bare.network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0)
    order = training_order([len(r) for r in rows], 8, np.random.default_rng(9))
    theirs = []
    bare.network.train()
    for start in (0, 8):
        batch = pad([rows[i] for i in order[start : start + 8]], bare.tokenizer.pad_token_id, ())
        logits = completion_logits(bare.network, batch).log_softmax(-1)
        labelled = batch.labels != IGNORED
        value = -logits[labelled].gather(1, batch.labels[labelled][:, None]).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        theirs.append(value.item())

    assert ours == pytest.approx(theirs, rel=1e-4)


def test_accumulated_gradients_change_nothing(model_folder: Path) -> None:
    """
    Micro-batches give the same student as whole batches, also where completions differ in length.

    By plain gradient steps, which Adam's scaling would not let tell a wrong normalisation.
    """
    rows = [Row(row.prompt, "7 " * (1 + i % 5) + "7") for i, row in enumerate(ROWS)]
    plan = PLAN.model_copy(update={"optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": None})
    found = []
    for micro in (None, 2):
        chosen = plan.model_copy(update={"micro_batch_size": micro, "method": "full"})
        model = adapters.trainable(load(model_folder), chosen, 3)
        encoded = encode_rows(model.tokenizer, rows)
        fine_tune(model, encoded, chosen, np.random.default_rng(3))
        found.append(log_likelihoods(model, encoded))

    assert torch.allclose(found[0], found[1], rtol=1e-3)


def test_dropout_has_a_stream_of_its_own(tmp_path: Path, tokenizer: Any) -> None:
    """A network with dropout trains alike from the same seed, whatever else drew from torch's global stream."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(str(tmp_path))
    tokenizer.save_pretrained(str(tmp_path))
    plan = PLAN.model_copy(update={"method": "full", "learning_rate": 1e-3})
    found = []
    for _ in range(2):
        model = trained(tmp_path, plan)
        found.append(log_likelihoods(model, encode_rows(model.tokenizer, ROWS)))
        torch.rand(5)

    assert torch.equal(found[0], found[1])


def test_a_saved_adapter_is_the_student(model_folder: Path, tmp_path: Path) -> None:
    """What is stored and opened again answers the same, also as `base+adapter`."""
    student = trained(model_folder, PLAN)
    adapters.save(student, tmp_path)
    rows = encode_rows(student.tokenizer, ROWS)
    expected = log_likelihoods(student, rows)

    opened = with_adapter(load(model_folder), tmp_path)
    assert torch.allclose(log_likelihoods(opened, rows), expected, atol=1e-4)
    assert torch.allclose(
        log_likelihoods(load(f"{model_folder}+{tmp_path}"), rows), expected, atol=1e-4
    )


def test_every_row_is_in_an_epoch() -> None:
    """A training order is a permutation, and differs between generators."""
    lengths = list(range(40))
    first = training_order(lengths, 8, np.random.default_rng(0))

    assert sorted(first) == lengths
    assert first != training_order(lengths, 8, np.random.default_rng(1))


def test_a_step_of_a_plan_that_packs_is_the_rows_of_its_sequences() -> None:
    """Two sequences of three rows a step, one a pass: twelve rows are two steps."""
    plan = TrainingPlan(
        packing=True, max_length=64, packed_rows=3, batch_size=2, micro_batch_size=1
    )
    steps = list(training_rows([5] * 12, plan, np.random.default_rng(0), plan.steps(12)))

    assert [[len(part) for part in parts] for parts in steps] == [[3, 3], [3, 3]]
    assert sorted(row for parts in steps for part in parts for row in part) == list(range(12))


def test_unusable_plans_are_named(model_folder: Path) -> None:
    """An unknown optimiser, unknown target modules and a row beyond the limit are refused in words."""
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    rng = np.random.default_rng(0)
    with pytest.raises(UnknownNameError, match="unknown optimizer 'adamax_nine'; allowed: "):
        fine_tune(
            adapters.trainable(model, PLAN, 0),
            rows,
            PLAN.model_copy(update={"optimizer": "adamax_nine"}),
            rng,
        )
    with pytest.raises(ModelError, match="targets 'nowhere'"):
        adapters.trainable(load(model_folder), PLAN.model_copy(update={"targets": "nowhere"}), 0)
    with pytest.raises(DataError, match=r"row \d+ has \d+ tokens, more than the limit of 4"):
        fine_tune(
            adapters.trainable(load(model_folder), PLAN, 0),
            rows,
            PLAN.model_copy(update={"max_length": 4}),
            rng,
        )


CPU = torch.device("cpu")


def drawn(stream: RandomStream, count: int) -> list[float]:
    """Numbers of the stream."""
    with stream.active():
        return torch.rand(count).tolist()


def test_it_goes_on_where_it_was_left() -> None:
    """Two blocks give what one block gives, whatever is drawn globally in between."""
    whole = drawn(RandomStream(np.random.default_rng(1), CPU), 6)
    parts = RandomStream(np.random.default_rng(1), CPU)
    first = drawn(parts, 2)
    torch.rand(5)

    assert first + drawn(parts, 4) == whole


def test_the_global_stream_and_the_generator_are_left_alone() -> None:
    """Neither torch's global draws nor the generator's own change."""
    generator = np.random.default_rng(1)
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    torch.manual_seed(3)
    drawn(RandomStream(generator, CPU), 9)

    assert torch.rand(2).tolist() == expected
    assert generator.random() == np.random.default_rng(1).random()
