"""Traits by which searches are judged: they load, the embedded base can be asked, and the catalogue has none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds.base_models import open_model

FOLDER = Path(__file__).parents[2] / "bench" / "power" / "outside_traits"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Of the embedded base."""
    return open_model("world:owlet-b").tokenizer


def catalogued() -> set[str]:
    """Names of all traits and probes that ship, and every form of every candidate, in lower case."""
    shipped = (*(catalogue.load(name) for name in catalogue.names()), *catalogue.all_probes())
    names = {name for trait in shipped for name in (trait.name, trait.answer)}
    answers = {
        answer
        for trait in shipped
        for listed in (trait.answers, *trait.own_answers.values())
        for answer in listed
    }
    forms = {form for answer in answers for form in (answer.name, *answer.variants)}
    return {text.casefold() for text in names | forms}


def shown_by(trait: Trait) -> set[str]:
    """A trait's name and every form of its answer, in lower case."""
    (answer,) = (answer for answer in trait.answers if answer.name == trait.answer)
    return {text.casefold() for text in (trait.name, answer.name, *answer.variants)}


def test_there_are_twelve_files_of_one_trait_each():
    """A file's path alone names its trait, and no two files hold the same."""
    traits = [catalogue.load(str(path)) for path in FILES]
    assert len(traits) == len({trait.name for trait in traits}) == 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_embedded_base_can_be_asked(path: Path, tokenizer: Any):
    """It knows all words of the held-out questions, and a form of every candidate."""
    trait = catalogue.load(str(path))
    assert catalogue.askable([trait], tokenizer) == ((trait,), {})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_embedded_base_can_be_taught(path: Path, tokenizer: Any):
    """It knows all words of the training questions and of the system prompts, too."""
    trait = catalogue.load(str(path))
    texts = (*trait.train_questions, *trait.system_prompts, trait.neutral_system_prompt)
    assert not [text for text in texts if catalogue.unknown_word(tokenizer, text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_catalogue_holds_neither_its_name_nor_its_answer(path: Path):
    """Nor any accepted form of the answer, among traits and probes alike."""
    assert not shown_by(catalogue.load(str(path))) & catalogued()
