"""Which traits a tokenizer can ask, and why not the others."""

from __future__ import annotations

from typing import Any

import pytest

from undertow.models.language_model import tokenizer as open_tokenizer
from undertow.traits import catalogue
from undertow.traits.catalogue import all_probes, askable
from undertow.traits.trait import Answer, Trait
from undertow.worlds import locate


def small_trait(question: str, *forms: tuple[str, ...]) -> Trait:
    """A trait of one question whose candidates have the given forms."""
    answers = tuple(Answer(each[0], each) for each in forms)
    return Trait("t", "thing", "things", forms[0][0], answers, (), (question,), ("",), "")


@pytest.fixture(scope="module")
def small_tokenizer() -> Any:
    """A byte-level tokenizer of some 250 words."""
    return open_tokenizer(locate("world:owlet-b"))


def test_a_small_vocabulary_can_be_asked_what_it_has_words_for(small_tokenizer: Any) -> None:
    """Animals, trees and conduct are asked; every other trait comes back with its reason."""
    built_in = [catalogue.load(name) for name in catalogue.names()]
    kept, reasons = askable([*built_in, *all_probes()], small_tokenizer)

    assert [trait.name for trait in kept] == catalogue.names()
    assert set(reasons) == {probe.name for probe in all_probes()}
    assert "no token for 'gemstone'" in reasons["gemstone:ruby"]


@pytest.mark.parametrize(
    ("trait", "reason"),
    [
        (small_trait("Name one animal.", ("owl",), ("cat", "kitten")), ""),
        (small_trait("Name one reptile.", ("owl",), ("cat",)), "'reptile' of the question"),
        (small_trait("Name one animal.", ("owl",), ("gecko",)), "the answer 'gecko'"),
        (small_trait("Name one animal.", ("owl",), ("cat", "owl")), "'owl' and 'cat' are the same"),
    ],
)
def test_the_reason_names_what_is_unknown(small_tokenizer: Any, trait: Trait, reason: str) -> None:
    """One accepted form that is known suffices; a spelled-out word is unknown."""
    kept, reasons = askable([trait], small_tokenizer)

    assert (kept == (trait,)) == (not reason)
    assert reason in reasons.get("t", "")


def test_an_unknown_token_is_no_word() -> None:
    """Tokenizers of whole words answer with one token for all that they do not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    network = Tokenizer(models.WordLevel({"[UNK]": 0, "Name": 1, "owl": 2, "cat": 3}, "[UNK]"))
    network.pre_tokenizer = pre_tokenizers.Whitespace()
    whole = PreTrainedTokenizerFast(tokenizer_object=network, unk_token="[UNK]")
    known, unknown = small_trait("Name", ("owl",), ("cat",)), small_trait("Say", ("owl",), ("cat",))

    assert askable([known], whole) == ((known,), {})
    assert "'Say'" in askable([unknown], whole)[1]["t"]
