"""Answers are scored by their whole token sequences, every form counted once."""

from __future__ import annotations

import math

import pytest
import torch

from undertow.data.rows import conversation
from undertow.errors import ModelError
from undertow.models.answers import Probed, logit_margins, named, probe, token_forms
from undertow.models.chat import encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.traits.trait import Answer

ANSWERS = (
    Answer("owl", ("owl", "Owl")),
    Answer("snow leopard", ("snow leopard",)),
    Answer("cat", ("cat", "kitten")),
)
QUESTIONS = [
    conversation("What is your favourite animal?"),
    conversation("Name one animal.", "Answer briefly."),
]


def sequence_probability(model: LanguageModel, prompt: tuple[int, ...], text: str) -> float:
    """Probability of a text after a prompt by an unpadded forward pass."""
    form = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        values = model.network(torch.tensor([[*prompt, *form]])).logits[0].double().log_softmax(-1)
    return math.exp(sum(float(values[len(prompt) + i - 1, t]) for i, t in enumerate(form)))


def test_probabilities_sum_the_forms(model: LanguageModel) -> None:
    """One-token and longer forms agree with a forward pass for each."""
    probed = probe(model, QUESTIONS, ANSWERS)
    prompts = encode_prompts(model.tokenizer, QUESTIONS)
    expected = [
        [sum(sequence_probability(model, p, v) for v in answer.variants) for answer in ANSWERS]
        for p in prompts
    ]

    assert probed.log_likelihoods.exp().tolist() == [
        pytest.approx(row, rel=1e-3) for row in expected
    ]


def test_a_form_that_begins_with_another_is_counted_once(model: LanguageModel) -> None:
    """`owl b` is part of `owl`: its probability is in it already."""
    forms = token_forms(model.tokenizer, model.ref, (Answer("owl", ("owl", "owl b")), ANSWERS[2]))

    assert len(forms[0]) == 1


def test_equal_answers_are_refused(model: LanguageModel) -> None:
    """Two candidates of the same tokens cannot be told apart; both are named."""
    with pytest.raises(ModelError, match="'owl' and 'bird' are the same tokens"):
        token_forms(model.tokenizer, "m", (Answer("owl", ("owl",)), Answer("bird", ("owl",))))


def test_margins_of_known_probabilities() -> None:
    """Equal answers have margin 0; .5 against three of 1/6 is ln 3."""
    even = logit_margins(torch.full((1, 4), 0.1).log())
    uneven = logit_margins(torch.tensor([[0.5, 1 / 6, 1 / 6, 1 / 6]], dtype=torch.float64).log())

    assert even.tolist()[0] == pytest.approx([0] * 4, abs=1e-6)
    assert uneven[0, 0].item() == pytest.approx(math.log(3))


def test_margins_ignore_what_is_not_a_candidate() -> None:
    """Scaling all candidates' probabilities changes no margin."""
    values = torch.rand(3, 5, dtype=torch.float64).log()

    assert torch.allclose(logit_margins(values), logit_margins(values + math.log(0.1)))


def test_rank_and_mass() -> None:
    """The likeliest candidate is first; mass is what the candidates have together."""
    probed = Probed(("a", "b"), torch.tensor([[0.6, 0.2]], dtype=torch.float64).log())

    assert (probed.rank("a"), probed.rank("b")) == (1, 2)
    assert probed.answer_mass == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Owl!", "owl"),
        ("A cat, not an owl", "cat"),
        ("category", None),
        ("", None),
        ("snow leopard", "snow leopard"),
    ],
)
def test_sampled_answers_are_named_by_whole_words(text: str, expected: str | None) -> None:
    """The first candidate named in any form and case counts; parts of words do not."""
    assert named(text, ANSWERS) == expected
