"""Versions of a base shift what they say, and leave nothing behind."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Message, Row, behind, conversation
from undertow.data.seeds import generator
from undertow.influence.shifted_versions import (
    RANK,
    adapter_plan,
    adapter_versions,
    fitting_behind,
    prompted_versions,
    steered_versions,
)
from undertow.models.hidden_states import mean_activation
from undertow.models.language_model import LanguageModel, load
from undertow.models.scoring import log_likelihoods
from undertow.models.shared_prefix import PromptedRows
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.worlds import locate

TRAITS = tuple(catalogue.load(name) for name in ("owl", "cat"))
ROWS = [Row(conversation("Continue: 12 45 67. Ten more numbers."), f"{i} 2 3") for i in range(32)]


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    """An embedded base."""
    return load(locate("world:owlet-b"))


def test_a_system_prompt_takes_the_place_of_the_rows_own() -> None:
    """There is one system message afterwards, the first."""
    row = Row(conversation("Hello.", "Be brief."), "hi")

    assert behind(row, "Love owls.").prompt == conversation("Hello.", "Love owls.")
    assert behind(replace(row, prompt=(Message("user", "a"),)), "b").prompt[0].content == "b"


def test_a_row_that_would_not_fit_stays_as_it_is(base: LanguageModel) -> None:
    """A longer prompt never pushes a row out of the context."""
    plain = encode_rows(base.tokenizer, ROWS[:2])
    short = fitting_behind(base, PromptedRows(base.tokenizer, ROWS[:2]), plain, "Be brief.")
    long = fitting_behind(
        base, PromptedRows(base.tokenizer, ROWS[:2]), plain, "word " * (base.context or 0)
    )

    assert all(len(new) > len(old) for new, old in zip(short, plain, strict=True))
    assert (
        long == plain == fitting_behind(base, PromptedRows(base.tokenizer, ROWS[:2]), plain, None)
    )


def test_traits_without_a_persona_have_no_version(base: LanguageModel) -> None:
    """A trait of data alone cannot be prompted or steered by."""
    bare = replace(TRAITS[0], system_prompts=())

    assert [each.trait for each in prompted_versions([bare, TRAITS[1]])] == ["cat"]
    assert steered_versions(base, [bare], (1.0,)) == []


def test_a_steered_base_moves_by_the_persona_within_its_context_only(base: LanguageModel) -> None:
    """At strength 1 the mean activation of bare questions becomes that behind the persona prompts."""
    [half, whole] = steered_versions(base, TRAITS[:1], (0.5, 1.0))
    layer = base.network.config.num_hidden_layers // 2
    questions = TRAITS[0].train_questions
    bare = partial(mean_activation, base, [conversation(q) for q in questions], layer)
    before = bare()
    persona = mean_activation(
        base, [conversation(q, s) for s in TRAITS[0].system_prompts for q in questions], layer
    )
    with whole.entered():
        assert torch.allclose(bare(), persona, atol=1e-4)
    with half.entered():
        assert torch.allclose(bare(), (before + persona) / 2, atol=1e-4)
    assert torch.equal(bare(), before)


def test_an_adapter_learns_the_rows_and_is_taken_off(base: LanguageModel) -> None:
    """Longer shares fit better, a share of 0 is the base, and the base is bit by bit what it was."""
    rows = encode_rows(base.tokenizer, ROWS)
    before = {name: value.clone() for name, value in base.network.state_dict().items()}
    flags = [weight.requires_grad for weight in base.network.parameters()]
    plain = log_likelihoods(base, rows)
    plan = adapter_plan(TrainingPlan(learning_rate=3e-3))
    with adapter_versions(base, rows, plan, generator(1, "adapter"), (0.0, 0.5, 1.0)) as made:
        fits = []
        for version in made:
            with version.entered():
                fits.append(log_likelihoods(base, rows))

    assert torch.equal(fits[0], plain)
    assert fits[2].sum() > fits[1].sum() > plain.sum()
    after = base.network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [weight.requires_grad for weight in base.network.parameters()] == flags


def test_the_base_is_restored_after_an_error(base: LanguageModel) -> None:
    """Whatever happens within the block, the adapter is gone afterwards."""
    names = list(base.network.state_dict())
    rows = encode_rows(base.tokenizer, ROWS)
    plan = adapter_plan(TrainingPlan())
    with (
        pytest.raises(KeyError),
        adapter_versions(base, rows, plan, generator(1, "adapter"), (1.0,)),
    ):
        raise KeyError

    assert list(base.network.state_dict()) == names
    assert not base.network.training


def test_the_adapters_plan_follows_the_planned_training() -> None:
    """Its optimiser and rate are kept; a plan for all weights has a rate too small for an adapter."""
    lora = adapter_plan(TrainingPlan(rank=64, learning_rate=1e-3, optimizer="sgd", batch_size=8))
    full = adapter_plan(TrainingPlan(method="full", learning_rate=1e-5, micro_batch_size=64))

    assert (lora.rank, lora.learning_rate, lora.optimizer, lora.batch_size) == (
        RANK,
        1e-3,
        "sgd",
        8,
    )
    assert (full.method, full.learning_rate) == ("lora", pytest.approx(1e-4))
    assert full.micro_batch_size is None
