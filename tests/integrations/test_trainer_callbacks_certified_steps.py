"""Certified steps in transformers' own Trainer: the budget holds at every step, and what it does not cover is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integrations.test_trainer_callbacks_trait_probe import trained
from undertow.errors import ConfigError
from undertow.influence.probes import probe_set
from undertow.integrations import CertifiedSteps, TraitProbe
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.worlds import locate


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
