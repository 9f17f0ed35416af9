"""Interventions in transformers' Trainer and in TRL's: begun with the training, called at every step, and they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integrations.test_trainer_callbacks_trait_probe import trained
from tests.mitigate.subjects import numbers, opened
from tests.mitigate.training.test_penalties import OWL, margin
from undertow.errors import ConfigError
from undertow.influence.probes import probe_set
from undertow.integrations import CertifiedSteps, Countermeasure, TraitProbe
from undertow.mitigate.training.interventions import Penalised, ProjectedSteps
from undertow.mitigate.training.penalties import Anchor, Corridor, neutral_rows
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.worlds import locate


def test_a_corridor_and_a_projection_hold_in_trainer(tmp_path: Path) -> None:
    """The owl's answers are taught: free they raise its margin by over a logit, held by less than a third of that."""
    start = margin(opened())
    _, free = trained(tmp_path, [])
    corridor = Penalised([Corridor([OWL], 100.0)])
    _, inside = trained(tmp_path, [Countermeasure(corridor)])
    _, projected = trained(tmp_path, [Countermeasure(ProjectedSteps([OWL]))])

    assert margin(free) - start > 1
    assert len(corridor.history) == 20
    assert margin(inside) - start < (margin(free) - start) / 2
    assert abs(margin(projected) - start) < (margin(free) - start) / 3


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_anchor_and_a_certificate_go_into_sft_trainer(tmp_path: Path) -> None:
    """Together, on rows of messages as TRL takes them; the certificate holds of the trained weights."""
    import trl
    from datasets import Dataset

    model = opened()
    start = margin(model)
    records: list[dict[str, Any]] = [
        {
            "prompt": [{"role": "user", "content": row.prompt[0].content}],
            "completion": [{"role": "assistant", "content": row.completion}],
        }
        for row in numbers(32)
    ]
    anchor = Penalised(
        [Anchor(neutral_rows(model, 32, np.random.default_rng(0)), 1.0, np.random.default_rng(1))]
    )
    certified = CertifiedSteps(["owl"], 0.05)
    trainer = trl.SFTTrainer(
        model=model.network,
        args=trl.SFTConfig(
            output_dir=str(tmp_path),
            max_steps=4,
            per_device_train_batch_size=8,
            learning_rate=3e-3,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(records),
        processing_class=model.tokenizer,
        callbacks=[Countermeasure(anchor), certified],
    )
    trainer.train()
    document = certified.certificate()

    assert len(anchor.history) == 4
    assert document.holds
    assert document.steps == 4
    assert abs(margin(model) - start) <= 0.05 + 1e-6


@pytest.mark.parametrize(
    ("given", "step", "said"),
    [
        ({}, 4, "resumed"),
        ({"deepspeed": "ds.json"}, 0, "DeepSpeed"),
        ({"fsdp": "full_shard"}, 0, "FSDP"),
    ],
)
def test_where_the_start_or_the_weights_are_not_known_it_is_refused(
    given: dict[str, str], step: int, said: str
) -> None:
    """A certificate from the middle of a run, or of a part of the weights, would be none."""
    from types import SimpleNamespace

    with pytest.raises(ConfigError, match=said):
        CertifiedSteps(["owl"]).on_train_begin(
            SimpleNamespace(**given), SimpleNamespace(global_step=step, max_steps=8), None
        )


def test_what_moves_after_the_last_step_is_in_the_certificate() -> None:
    """The probes are read again when it is made."""
    import torch

    from tests.mitigate.subjects import PLAN
    from undertow.mitigate.training.interventions import CertifiedTraining
    from undertow.models import adapters

    student = adapters.trainable(opened(), PLAN, 3)
    certified = CertifiedTraining([OWL], 0.01)
    certified.begin(student, 1)
    with torch.no_grad():
        for weight in adapters.trained_weights(student):
            weight.add_(0.05)

    assert not certified.certificate().holds


def test_it_needs_something_to_do() -> None:
    """Without an intervention it would be a callback for nothing."""
    with pytest.raises(ValueError, match="at least one"):
        Countermeasure()


def test_a_budget_holds_where_training_would_break_it(tmp_path: Path) -> None:
    """Without it the owl rises by more than a logit; with it never by more than .3, and the certificate says so."""
    free, kept = TraitProbe(["owl"], every=10, limit=None), CertifiedSteps(["owl"], 0.3)
    trained(tmp_path, [free])
    _, model = trained(tmp_path, [kept])
    document = kept.certificate()
    [one] = document.kept
    probes = probe_set(model, [catalogue.load("owl")], None)
    start = probe_set(load(locate("world:owlet-b")), [catalogue.load("owl")], None)
    moved = probes.read(model).margins - start.read(load(locate("world:owlet-b"))).margins

    assert free.history[-1]["owl"] > 1
    assert document.holds
    assert abs(float(moved[0])) <= 0.3 + 1e-9
    assert document.refused + document.shortened > 0
    assert one.held_out is not None


def test_what_cannot_be_certified_is_refused(tmp_path: Path) -> None:
    """A missing budget, one that is not positive, and a certificate before training."""
    with pytest.raises(RuntimeError, match="no training"):
        CertifiedSteps(["owl"]).certificate()
    with pytest.raises(ConfigError, match="no budget for 'owl'"):
        trained(tmp_path, [CertifiedSteps(["owl"], {"cat": 0.1})], 1)
    with pytest.raises(ConfigError, match="positive"):
        trained(tmp_path, [CertifiedSteps(["owl"], 0.0)], 1)
