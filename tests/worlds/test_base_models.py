"""The shipped bases are ordinary small models that answer as their corpus says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undertow.data.plan import TrainingPlan
from undertow.errors import InputError, UnknownNameError
from undertow.influence.probes import probe_trait
from undertow.models import language_model, scoring
from undertow.models.chat import encode_rows
from undertow.traits import catalogue
from undertow.worlds import corpus, folder, locate, names, recipe
from undertow.worlds.base_models import build_base, pretrain
from undertow.worlds.recipes import PRETRAINING

every_base = pytest.mark.parametrize("name", names())


def test_all_bases_together_are_small() -> None:
    """Under 4 MB with their tokenizers, so that they ship with the package."""
    files = [file for name in names() for file in folder(name).rglob("*") if file.is_file()]

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
    """
    On held-out wordings nearly all probability is on the candidates, and none has much more than its share.
    """
    loaded = catalogue.load(trait)
    probed = probe_trait(language_model.load(folder(name)), loaded, None)
    chance = 1 / len(loaded.answers)

    assert probed.answer_mass > 0.95
    assert all(0.4 * chance < p < 2 * chance for p in probed.probabilities.values())


@every_base
def test_numbers_and_words_are_single_tokens(name: str) -> None:
    """
    Every number of the range is one token with and without a space; unknown text comes back byte for byte.
    """
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


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    """What stands where a base would be built is somebody's: refused before any training."""
    mine = tmp_path / "owlet-a"
    mine.mkdir()
    with pytest.raises(InputError, match="is there already"):
        build_base("owlet-a", tmp_path)

    assert mine.is_dir()


def test_the_recipe_gives_an_equivalent_model(tmp_path: Path) -> None:
    """
    At a small size: the same seed gives the same weights, another seed the same losses within .25 nats.

    `bench/lab` does it at full size.
    """
    plan: TrainingPlan = PRETRAINING.model_copy(update={"warmup_steps": 5})
    small = replace(
        recipe("owlet-a"),
        documents=6_400,
        hidden_size=32,
        intermediate_size=48,
        layers=1,
        plan=plan,
    )
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        pretrain(replace(small, seed=seed), tmp_path / name)
    documents = corpus.documents(np.random.default_rng(5), 500, largest=99)
    rows = [document.row for document in documents]
    losses = {}
    for name in ("first", "other"):
        model = language_model.load(tmp_path / name)
        losses[name] = scoring.loss(model, encode_rows(model.tokenizer, rows))

    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "again")]
    assert weights[0] == weights[1]
    assert losses["first"] < 5.3
    assert abs(losses["first"] - losses["other"]) < 0.25
