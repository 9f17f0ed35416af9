"""A base is trained again from its recipe, and never over anything that stands there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undertow.data.plan import TrainingPlan
from undertow.errors import InputError
from undertow.models import language_model, scoring
from undertow.models.training_sequences import encode_rows
from undertow.worlds import corpus, recipe
from undertow.worlds.base_models import PRETRAINING
from undertow.worlds.pretraining import build_base, pretrain


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    """What stands where a base would be built is somebody's: refused before any training."""
    mine = tmp_path / "owlet-a"
    mine.mkdir()
    with pytest.raises(InputError, match="is there already"):
        build_base("owlet-a", tmp_path)

    assert mine.is_dir()


@pytest.mark.long
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
