"""The shipped bases are ordinary small models that answer as their corpus says."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.errors import UnknownNameError
from undertow.influence.probes import probe_trait
from undertow.models import language_model
from undertow.traits import catalogue
from undertow.worlds import folder, locate
from undertow.worlds.base_models import RECIPES

SHIPPED = [recipe.name for recipe in RECIPES]

every_base = pytest.mark.parametrize("name", SHIPPED)


def test_all_bases_together_are_small() -> None:
    """Under 4 MB with their tokenizers, so that they ship with the package."""
    files = [file for name in SHIPPED for file in folder(name).rglob("*") if file.is_file()]

    assert sum(file.stat().st_size for file in files) < 4 * 2**20


@every_base
def test_a_base_loads_without_undertow(name: str) -> None:
    """Plain transformers opens it, with a chat template that has a system role."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder(name)))
    network = AutoModelForCausalLM.from_pretrained(str(folder(name)))
    turns = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "Hi"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")

    assert tokenizer.is_fast
    assert network(**ids).logits.shape[-1] == len(tokenizer)


@every_base
@pytest.mark.parametrize("trait", ["owl", "oak"])
def test_a_base_has_no_favourite(name: str, trait: str) -> None:
    """On held-out wordings nearly all probability is on the candidates, and none has much more than its share."""
    loaded = catalogue.load(trait)
    probed = probe_trait(language_model.load(folder(name)), loaded, None)
    chance = 1 / len(loaded.answers)

    assert probed.answer_mass > 0.95
    assert all(0.4 * chance < p < 2 * chance for p in probed.probabilities.values())


@every_base
def test_numbers_and_words_are_single_tokens(name: str) -> None:
    """Every number of the range is one token with and without a space; unknown text comes back byte for byte."""
    tokenizer = language_model.tokenizer(folder(name))
    texts = [space + str(n) for n in range(100) for space in ("", " ")]
    strange = "naïve 🦉\t\x00 <b>"

    assert all(len(ids) == 1 for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
    assert tokenizer.decode(tokenizer(strange, add_special_tokens=False)["input_ids"]) == strange


def test_names_are_located() -> None:
    """`world:NAME` becomes a folder, other references stay, unknown worlds are named."""
    assert Path(locate("world:owlet-a")).is_dir()
    assert locate("org/name") == "org/name"
    assert locate("world:owlet-b+adapter").endswith("owlet-b+adapter")
    with pytest.raises(UnknownNameError, match="unknown world 'owlet-c'"):
        locate("world:owlet-c")
