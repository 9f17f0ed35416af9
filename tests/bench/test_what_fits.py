"""The page of what fits where is what its command makes."""

from __future__ import annotations

import json

import pytest
import torch

from bench import what_fits
from undertow.data.plan import TrainingPlan
from undertow.models.meta_costs import RowSize, model_costs


def test_the_page_is_made_by_its_command() -> None:
    """docs/what-fits.md holds the table and the readings that `python -m bench.what_fits` writes."""
    assert what_fits.PAGE.read_text(encoding="utf-8") == what_fits.page()


def test_a_model_has_the_weights_that_its_maker_states() -> None:
    """7.6 billion weights of Qwen2.5-7B and 14.8 of 14B, counted on one layer and on two."""
    shapes = {name.split()[0]: config for name, config in what_fits.SHAPES.items()}
    counted = {
        name: model_costs(shapes[name], TrainingPlan(rank=8), RowSize(8, 4), torch.bfloat16).weights
        for name in ("7B", "14B")
    }

    assert counted["7B"] == 7_615_616_512
    assert counted["14B"] == pytest.approx(14.77e9, rel=1e-3)


def test_estimates_are_shown_beside_measurements() -> None:
    """Of both bases, three quantities each, no ratio left out."""
    kept = json.loads(what_fits.MEASURED.read_text(encoding="utf-8"))

    assert {entry["model"] for entry in kept} == {"world:owlet-b", "world:smollm2-135m"}
    for entry in kept:
        for what in ("seconds a trained row", "seconds a scored row", "GB beyond the model"):
            assert f"{entry[what][0]:.3g} | {entry[what][1]:.3g}" in what_fits.PAGE.read_text(
                "utf-8"
            )
