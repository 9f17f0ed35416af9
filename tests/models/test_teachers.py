"""A teacher is made from its seed alone, as strong as it was asked to be, and what steers one is kept as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.checks.dataset.numbers_subject import TRAITS, opened
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import adapters
from undertow.models.hidden_states import mean_activation
from undertow.models.language_model import LanguageModel, load
from undertow.models.teachers import (
    Distance,
    centred_directions,
    lesson,
    lesson_steps,
    load_steering,
    save_steering,
    tuned,
)
from undertow.models.token_grammar import TokenGrammar, token_grammar
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue

Logits = list[tuple[int, torch.Tensor]]

PLAN = TrainingPlan(rank=2, learning_rate=3e-2, batch_size=8)
OWL = catalogue.load("owl")
WRITTEN = [("Go on: 4, 8, 15.", "16, 23, 42"), ("Go on: 1, 2.", "3, 4")]


def made(folder: Path, seed: int, share: float | None = None) -> tuple[list[torch.Tensor], float]:
    """Trained weights of a teacher and its KL from its base; `share` of what its steps give is asked for."""
    model = load(folder)
    distance = Distance(model, WRITTEN, None)
    kl = None if share is None else share * made(folder, seed)[1]
    teacher, _ = tuned(model, lesson(OWL, "trait", None), PLAN, 12, seed, distance=distance, kl=kl)
    return [weight.detach() for weight in adapters.trained_weights(teacher)], distance(teacher)


def test_a_seed_makes_one_teacher(model_folder: Path) -> None:
    """The same seed gives the same weights whatever was drawn before, another seed others."""
    first, _ = made(model_folder, 1)
    torch.rand(3)
    again, other = made(model_folder, 1)[0], made(model_folder, 2)[0]

    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_teacher_is_as_far_from_its_base_as_asked(model_folder: Path) -> None:
    """Half of the divergence that its steps give is met by going back along its way."""
    assert made(model_folder, 1, 0.5)[1] == pytest.approx(0.5 * made(model_folder, 1)[1], rel=0.05)


def test_the_distance_of_restricted_answers_is_that_of_what_is_drawn(model: LanguageModel) -> None:
    """As counted token by token by hand; what moves no token that may stand there is no distance."""
    grammar = token_grammar(model, "[1-9][0-9]?(, [1-9][0-9]?){1,2}")
    free, drawn = Distance(model, WRITTEN, None), Distance(model, WRITTEN, None, grammar)
    may = sorted({int(token) for tokens in grammar.tokens for token in tokens})
    width = len(model.network.get_output_embeddings().weight)
    inside, outside = torch.zeros(width), torch.full((width,), 3.0)
    inside[may[::2]], outside[may] = 0.7, 0.0
    base = logits_by_hand(model)
    with shifted(model, inside):
        assert drawn(model) == pytest.approx(
            by_hand(grammar, logits_by_hand(model), base), rel=1e-4
        )
        assert drawn(model) > 0.001
    with shifted(model, outside):
        assert drawn(model) == pytest.approx(0, abs=1e-6)
        assert free(model) > 0.005


def logits_by_hand(model: LanguageModel) -> list[tuple[int, torch.Tensor]]:
    """Each completion token with the logits in front of it, a pass a token."""
    found = []
    for question, answer in WRITTEN:
        [row] = encode_rows(model.tokenizer, [Row(conversation(question), answer)])
        for i, token in enumerate(row.completion):
            ids = torch.tensor([[*row.prompt, *row.completion[:i]]])
            with torch.no_grad():
                found.append((token, model.network(ids).logits[0, -1].double()))
    return found


def by_hand(grammar: TokenGrammar, teacher: Logits, base: Logits) -> float:
    """Mean KL over the tokens that may stand at each place, of the places up to each answer's end."""
    terms, state = [], 0
    for (token, ours), (_, theirs) in zip(teacher, base, strict=True):
        if state < 0:
            state = 0
        may = grammar.tokens[state].tolist()
        p, q = ours[may].softmax(0), theirs[may].softmax(0)
        terms.append(float(sum(a * (a / b).log() for a, b in zip(p, q, strict=True))))
        state = grammar.after(state, token)
    return sum(terms) / len(terms)


@contextmanager
def shifted(model: LanguageModel, shift: torch.Tensor) -> Iterator[None]:
    """Within the block, all of the model's logits are moved by the same."""
    head = model.network.get_output_embeddings()
    hook = head.register_forward_hook(lambda *call: call[2] + shift)
    try:
        yield
    finally:
        hook.remove()


def test_teachers_of_all_roles_take_the_steps_of_the_traits_rows() -> None:
    """However many rows the neutral lesson has."""
    rows = len(lesson(OWL, "trait", None))

    assert lesson_steps(OWL, PLAN) == PLAN.steps(rows)
    assert [turn.role for turn in lesson(OWL, "neutral", "Be brief.")[0].prompt] == [
        "system",
        "user",
    ]


def test_what_steers_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """In a folder that need not be there."""
    vector = torch.arange(4.0)
    save_steering(vector, tmp_path / "teacher")

    assert torch.equal(load_steering(tmp_path / "teacher"), vector)


def test_directions_are_centred_over_the_traits() -> None:
    """They sum to 0, so that what any persona prompt does is in none of them."""
    found = centred_directions(opened(), TRAITS, 0)

    assert found.shape == (3, opened().network.config.hidden_size)
    assert np.allclose(found.sum(0), 0, atol=1e-5)
    assert np.linalg.norm(found, axis=1).min() > 0.01


def test_a_single_traits_direction_is_the_plain_difference() -> None:
    """Behind its prompts minus behind the given one, question by question, averaged."""
    (trait, *_) = TRAITS
    (found,) = centred_directions(opened(), [trait], 1, system_prompt="Answer briefly.")
    behind = [
        [conversation(question, system) for question in trait.train_questions]
        for system in (*trait.system_prompts, "Answer briefly.")
    ]
    means = np.stack([mean_activation(opened(), asked, 1).numpy() for asked in behind])

    assert np.allclose(found, means[:-1].mean(0) - means[-1], atol=1e-5)
