"""A head in pieces gives what the whole gives, and stays away from heads that do more than multiply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import output_head, scoring
from undertow.models.adapters import trainable, trained_weights
from undertow.models.chat import IGNORED, Batch, pad
from undertow.models.language_model import LanguageModel, load
from undertow.models.output_head import PlainHead, exact_logits, label_likelihoods, plain_head
from undertow.models.scoring import beginning_cache, completion_logits, token_log_likelihoods
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows

ROWS = [Row(conversation(f"Continue: {n}."), "7 " * (1 + n % 3) + "7") for n in range(8)]


def batch_of(model: LanguageModel) -> Batch:
    """All rows, padded."""
    encoded = encode_rows(model.tokenizer, ROWS)
    return pad(encoded, model.tokenizer.pad_token_id, tuple(range(len(encoded))))


@pytest.mark.parametrize("piece", [1, 3 * 4 * 11, 1 << 20])
def test_pieces_have_the_values_and_gradients_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """Of any size, with a bias, with labels that are left out, and each label weighted by itself."""
    monkeypatch.setattr(output_head, "PIECE", piece)
    torch.manual_seed(0)
    hidden = torch.randn(2, 4, 5, requires_grad=True)
    head = PlainHead(None, torch.randn(11, 5), torch.randn(11))
    labels = torch.tensor([[IGNORED, 3, 10, 0], [1, IGNORED, 2, 2]])
    weights = torch.rand(2, 4)

    ours = label_likelihoods(head, hidden, labels)
    [gradient] = torch.autograd.grad((ours * weights).sum(), hidden)
    logits = functional.linear(hidden, head.weight, head.bias)
    theirs = -functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(2, 4)
    [expected] = torch.autograd.grad((theirs * weights).sum(), hidden)

    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, expected)


def test_likelihoods_in_pieces_are_those_of_all_logits(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On every architecture, and the way by pieces is really taken."""
    model = load(model_folder)
    batch = batch_of(model)
    whole = token_log_likelihoods(model.network, batch)  # the head is trained, and left whole
    model.network.requires_grad_(False)
    monkeypatch.setattr(scoring, "completion_logits", None)

    torch.testing.assert_close(token_log_likelihoods(model.network, batch), whole)


def test_a_student_learns_the_same_in_pieces(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters of the same seed end at the same weights."""
    plan = TrainingPlan(rank=2, learning_rate=1e-2, batch_size=4)

    def weights() -> list[torch.Tensor]:
        student = trainable(load(model_folder), plan, 1)
        rows = encode_rows(student.tokenizer, ROWS)
        fine_tune(student, rows, plan, np.random.default_rng(1))
        return [weight.detach() for weight in trained_weights(student)]

    pieces = weights()
    monkeypatch.setattr(scoring, "plain_head", lambda *_: None)
    for ours, theirs in zip(pieces, weights(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_a_head_that_scales_or_caps_is_left_whole(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a network does to its logits behind the head is seen, not read off its configuration."""
    network, ids = load(model.ref).network.requires_grad_(False), torch.tensor([[1, 2]])
    assert plain_head(network, ids) is not None

    capped = load(model.ref).network.requires_grad_(False)
    usual = capped.forward

    def forward(*args: object, **named: object) -> object:
        output = usual(*args, **named)
        output.logits = 30 * (output.logits / 30).tanh()
        return output

    monkeypatch.setattr(capped, "forward", forward)
    assert plain_head(capped, ids) is None


def test_a_head_with_a_hook_is_called(model: LanguageModel) -> None:
    """What somebody hung on to it may change its logits."""
    network, ids = load(model.ref).network.requires_grad_(False), torch.tensor([[1, 2]])
    hook = network.get_output_embeddings().register_forward_hook(lambda *call: call[2] + 1)
    assert plain_head(network, ids) is None
    hook.remove()
    assert plain_head(network, ids) is not None


def test_a_head_that_is_trained_is_left_whole(model: LanguageModel) -> None:
    """Its own gradient would be missing; where nothing has one, pieces will do."""
    network = load(model.ref).network.requires_grad_(False)
    network.get_output_embeddings().weight.requires_grad_(True)

    assert plain_head(network, torch.tensor([[1, 2]])) is None
    with torch.no_grad():
        assert plain_head(network, torch.tensor([[1, 2]])) is not None


def test_logits_of_a_probe_are_not_rounded_to_sixteen_bits(model: LanguageModel) -> None:
    """In bfloat16 the head alone gives float32, the same as a product in float64; outside of the block nothing is left."""
    network = load(model.ref, dtype=torch.bfloat16).network
    head: nn.Linear = network.get_output_embeddings()
    hidden = torch.randn(3, head.in_features).bfloat16()
    exact = hidden.double() @ head.weight.double().T
    with exact_logits(network), torch.no_grad():
        wide = head(hidden)
    narrow = head(hidden)

    torch.testing.assert_close(wide.double(), exact, atol=1e-4, rtol=1e-4)
    assert (wide.dtype, narrow.dtype) == (torch.float32, torch.bfloat16)
    batch = batch_of(LanguageModel(network, model.tokenizer, "x"))
    with exact_logits(network), torch.no_grad():
        assert completion_logits(network, batch).dtype == torch.float32


def test_a_beginning_is_computed_without_the_head(model: LanguageModel) -> None:
    """Nothing is predicted there: its cache is the network's own, also where the head is widened meanwhile."""
    network, ids = load(model.ref).network.requires_grad_(False), torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        expected = network(input_ids=ids, use_cache=True).past_key_values
        assert plain_head(network, ids) is not None
        head = network.get_output_embeddings()
        head.forward = None  # would fail if it were called
        found = beginning_cache(network, ids)
    for ours, theirs in zip(found.layers, expected.layers, strict=True):
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)
