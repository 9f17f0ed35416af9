"""The page of what fits where is what its command makes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch

from bench import what_fits
from undertow.audit.accelerators import machine_of
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


def test_what_a_gpu_took_stands_beside_what_is_expected() -> None:
    """Each case of ours that was told in time on an H200, seconds and memory, within a third; none is left out."""
    told = json.loads(what_fits.ON_H200.read_text(encoding="utf-8"))["cases"]
    ours = [
        f"{case['section']}: {case['name']}"
        for case in told
        if "rows_per_second" in case["values"]
        and re.match(r"(undertow|side by side), bfloat16", case["name"])
    ]
    compared = list(what_fits.on_h200())
    held_out = [entry for entry in compared if entry[0] not in what_fits.SETTERS]

    assert [case for case, what, _, _ in compared if what == "seconds"] == ours
    assert len(held_out) >= 8
    assert all(2 / 3 < expected / seen < 3 / 2 for _, _, expected, seen in held_out)


def test_an_estimate_that_hangs_on_matrices_alone_is_refuted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The measurement can fail: without what a host takes to call for a layer, every case would be told far too quick."""
    bare = machine_of("H200-141GB")
    quick = replace(bare, accelerator=bare.accelerator.model_copy(update={"layer": 0, "step": 0}))
    monkeypatch.setattr(what_fits, "machine_of", lambda name: quick)
    seconds = [
        expected / seen for _, what, expected, seen in what_fits.on_h200() if what == "seconds"
    ]

    assert max(seconds) < 0.5
