"""Recorded steps of a cache: the logits that are computed, whichever rows come and go, and a way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.recorders import Refuses, Rerun
from undertow.models import recorded_steps
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel, load
from undertow.models.recorded_steps import StepRecorder
from undertow.models.row_cache import RowCache
from undertow.models.sampling import Sampling, sample


def followed(
    model: LanguageModel, recorder: Any, wanted: torch.Tensor | None = None
) -> list[torch.Tensor]:
    """Logits of steps between which rows are replaced, dropped and begun anew."""
    cache = RowCache(model, 12)
    cache._recorded.recorder = recorder
    made = [cache.begin([tuple(range(5, 5 + n)) for n in (9, 4, 6, 2)], wanted)]
    made += [cache.step(torch.tensor([7, 8, 9, 10 + k]), wanted) for k in range(5)]
    made.append(cache.replace([0, 2], [(30, 31, 32), (40,) * 5], wanted))
    made += [cache.step(torch.tensor([9, 9, 9, 10 + k]), wanted) for k in range(4)]
    cache.keep([3, 0])
    made += [cache.step(torch.tensor([11, 12 + k]), wanted) for k in range(4)]
    made.append(cache.begin([(5, 6, 7), (8, 9)], wanted))
    return [*made, *(cache.step(torch.tensor([11, 12 + k]), wanted) for k in range(4))]


@torch.no_grad()
@pytest.mark.parametrize("wanted", [None, torch.tensor([3, 50, 7])], ids=["all", "few"])
def test_recorded_steps_give_the_logits_that_are_computed(
    model: LanguageModel, wanted: torch.Tensor | None
) -> None:
    """On every architecture, over rows that come and go, of the vocabulary or of a few tokens."""
    recorder = Rerun()
    for found, expected in zip(
        followed(model, recorder, wanted), followed(model, None, wanted), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    assert recorder.replays > len(recorder.recorded) > 1


@pytest.mark.parametrize("recorder", [Refuses(), Rerun(shift=1.0)], ids=["refuses", "differs"])
@torch.no_grad()
def test_steps_that_cannot_be_recorded_are_computed(
    model: LanguageModel, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, in a line, and the logits are those that they would be."""
    told: list[str] = []
    monkeypatch.setattr(recorded_steps, "notice", told.append)
    for found, expected in zip(followed(model, recorder), followed(model, None), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    [line] = told
    assert "launched one by one" in line
    assert "\n" not in line


def test_nothing_is_recorded_on_a_processor(model: LanguageModel) -> None:
    """There is nothing to replay there."""
    assert StepRecorder.of(model, []).recorder is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_an_accelerator_draws_what_it_would_compute(model_folder: Path) -> None:
    """Answers drawn by replays are those drawn by launches, in float32."""
    model = load(model_folder, device="cuda", compute=ComputeTable(launches="recorded"))
    prompts = [tuple(range(5, 5 + n % 7 + 2)) for n in range(20)]

    def drawn() -> list[str]:
        how = Sampling(max_tokens=24, batch_size=8)
        return [a.text for a in sample(model, prompts, how, np.random.default_rng(0))]

    recorded = drawn()
    whole = StepRecorder.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepRecorder, "of", lambda m, layers: whole(m, []))
        computed = drawn()
    assert np.mean([a == b for a, b in zip(recorded, computed, strict=True)]) >= 0.9
