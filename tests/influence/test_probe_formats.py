"""The format of a trait's probes is chosen on the base alone by the stated rule, and is part of all that hangs on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch

from undertow.errors import UnknownNameError
from undertow.influence import probe_formats
from undertow.influence.probe_formats import ENOUGH, LEAST, asked_as, chosen_place, settled
from undertow.influence.probes import probe_set, probe_trait, training_probes
from undertow.models.answers import Probed
from undertow.models.language_model import LanguageModel
from undertow.results.measurement import FormatReading, ProbeChoice
from undertow.traits import catalogue
from undertow.traits.trait import QUESTION, Trait
from undertow.worlds.base_models import open_model

OWL = catalogue.load("owl")


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    """A base that answers the plain question in a word."""
    return open_model("world:owlet-a")


def answering(masses: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Models whose probability on all candidates is this in each format; in each, another candidate leads."""

    def probed(model: object, trait: Trait, system: str | None) -> Probed:
        names = tuple(answer.name for answer in trait.answers)
        weights = torch.linspace(1, 2, len(names), dtype=torch.float64)
        weights = weights.roll(trait.formats.index(trait.asked))
        shares = masses[trait.asked.name] * weights / weights.sum()
        return Probed(names, shares.log().repeat(3, 1))

    monkeypatch.setattr(probe_formats, "probe_trait", probed)
    monkeypatch.setattr(probe_formats, "unknown_word", lambda tokenizer, text: "")


NAMES = [one.name for one in OWL.formats]


@pytest.mark.parametrize(
    ("masses", "used", "usable"),
    [
        ([0.9, 0.99, 0.99, 0.99, 0.99], "question", True),
        ([0.1, 0.2, ENOUGH, 0.9, 0.9], "beginning", True),
        ([0.01, 0.2, 0.3, 0.3, 0.1], "question", False),
        ([0.06, 0.2, 0.01, 0.01, 0.01], "question", True),
        ([LEAST, 0.01, 0.01, 0.01, 0.01], "question", True),
    ],
)
def test_the_first_that_is_answered_enough_is_used_else_the_plain_question(
    base: LanguageModel,
    monkeypatch: pytest.MonkeyPatch,
    masses: Sequence[float],
    used: str,
    usable: bool,
) -> None:
    """And whether even that is answered at all."""
    answering(dict(zip(NAMES, masses, strict=True)), monkeypatch)
    [trait], [choice] = settled(base, [OWL], None)

    assert (trait.asked.name, choice.used, choice.usable) == (used, used, usable)
    assert [one.mass for one in choice.formats] == pytest.approx(masses)


def test_formats_that_cannot_be_asked_are_never_used() -> None:
    """However the others are answered."""
    assert chosen_place([0.01, None, 0.6]) == 2


def test_agreement_is_between_answered_formats(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Correlation with the used one's margins: none of that one, none of one below the floor."""
    answering(dict(zip(NAMES, [0.9, 0.9, 0.9, LEAST / 2, 0.9], strict=True)), monkeypatch)
    _, [choice] = settled(base, [OWL], None)
    first, second, third, fourth, last = (one.agreement for one in choice.formats)

    assert first is None
    assert fourth is None
    assert second is not None
    assert third is not None
    assert last is not None
    assert 1 > second > third > last


@pytest.mark.parametrize(
    ("mass", "said"),
    [
        (0.9, "asked by the plain question"),
        (0.3, "No format reaches 0.5, so it is the plain question. Margins tell which"),
        (0.01, "Margins compare answers that the base would hardly give"),
    ],
)
def test_a_choice_says_what_its_margins_mean(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch, mass: float, said: str
) -> None:
    """In words, by the floors."""
    answering(dict.fromkeys(NAMES, mass), monkeypatch)

    assert said in settled(base, [OWL], None)[1][0].sentence


def test_a_format_that_is_wanted_is_used_whatever_the_base_says(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mass and what its margins mean are told as ever; one that the trait has not is refused with those it has."""
    answering(dict.fromkeys(NAMES, 0.3) | {"question": 0.01}, monkeypatch)
    [trait], [choice] = settled(base, [OWL], None, "question")

    assert (trait.asked.name, choice.used, choice.usable) == ("question", "question", False)
    assert "as it was told to be" in choice.sentence
    assert "No format reaches" not in choice.sentence
    with pytest.raises(UnknownNameError, match=r"unknown format 'song'; allowed: .*question"):
        settled(base, [OWL], None, "song")


def test_a_trait_without_the_wanted_format_is_asked_as_the_base_chooses(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside one that has it."""
    answering(dict.fromkeys(NAMES, 0.9), monkeypatch)
    plain = replace(OWL, name="plain", formats=OWL.formats[:1])
    traits, choices = settled(base, [plain, OWL], None, "examples")

    assert [trait.asked.name for trait in traits] == [one.used for one in choices] == ["question", "examples"]  # fmt: skip
    assert ["told to be" in one.sentence for one in choices] == [False, True]


def test_an_owlet_is_asked_as_it_always_was(base: LanguageModel) -> None:
    """The plain question, bit for bit; formats of words that it has no tokens for are named with the word."""
    traits, choices = settled(base, catalogue.load_category("animal"), None)
    reasons = {one.name: one.reason for one in choices[0].formats}

    assert {trait.asked for trait in traits} == {QUESTION}
    assert probe_set(base, traits, None) == probe_set(base, catalogue.load_category("animal"), None)
    assert len(choices) == 1
    assert "no token for" in reasons["examples"]


def test_students_and_references_are_asked_as_the_base_was(base: LanguageModel) -> None:
    """A stored choice asks alike, training wordings as well, and probes of another format are other probes."""
    begun = next(one for one in OWL.formats if one.name == "beginning")
    _, [choice] = settled(base, [OWL], None)
    asked = asked_as(OWL, choice.model_copy(update={"used": "beginning"}))

    assert asked == replace(OWL, asked=begun)
    assert repr(probe_set(base, [asked], None)) != repr(probe_set(base, [OWL], None))
    assert training_probes(base, [asked], None).probes[0].forms == probe_set(base, [asked], None).probes[0].forms  # fmt: skip


def test_a_format_that_a_trait_has_not_is_refused() -> None:
    """A stored choice of another trait's."""
    choice = ProbeChoice(
        base="b", category="animal", used="song", usable=True, enough=0.5, least=0.05, formats=(FormatReading(name="song"),), sentence=""
    )  # fmt: skip
    with pytest.raises(ValueError, match="no format 'song'"):
        asked_as(OWL, choice)


def test_a_begun_answer_is_read_by_its_own_tokens(base: LanguageModel) -> None:
    """The probability of ` owl` behind `My favourite animal is the`, by a plain forward pass."""
    begun = next(one for one in OWL.formats if one.name == "beginning")
    probed = probe_trait(base, replace(OWL, asked=begun), None)
    text = f"<|user|>{OWL.held_out_questions[0]}<|end|><|assistant|>{begun.beginning}"
    ids = base.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        values = base.network(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
    own: Callable[[str], float] = lambda word: float(values[base.tokenizer.convert_tokens_to_ids(word)].exp())  # noqa: E731 # fmt: skip

    assert float(probed.log_likelihoods[0, 0].exp()) >= own("Ġowl")
    assert float(probed.log_likelihoods[0, 0].exp()) == pytest.approx(
        own("Ġowl") + own("Ġowls"), rel=0.05
    )
