"""Settings that are tried are the reported experiment with a few keys changed, on another seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.real import tuning
from bench.real.tuning import HERE, MOST, SEED, merged, settings
from undertow.lab.experiment import Experiment, load_as


def reported() -> Experiment:
    """The experiment whose figures are reported."""
    return load_as(Experiment, str(HERE / "owl.toml"))


def test_no_reported_seed_is_tuned_on() -> None:
    """Every setting has the tuning seed, and one replicate of it."""
    assert reported().seed != SEED
    assert {(one.seed, one.replicates) for one in settings().values()} == {(SEED, 1)}


def test_a_setting_changes_what_it_names_and_nothing_else() -> None:
    """A table is changed key by key."""
    base = {"teacher": {"kl": 0.1, "plan": {"rank": 8, "epochs": 2}}, "replicates": 6}
    own = {"teacher": {"plan": {"rank": 4}}, "replicates": 1}
    expected = {"teacher": {"kl": 0.1, "plan": {"rank": 4, "epochs": 2}}, "replicates": 1}
    assert merged(base, own) == expected
    assert base["replicates"] == 6


def test_a_thirteenth_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as were allowed beforehand, and no more."""
    (tmp_path / "owl.toml").write_bytes((HERE / "owl.toml").read_bytes())
    names = "".join(f"[setting-{i}]\n" for i in range(MOST + 1))
    (tmp_path / "tuning.toml").write_text(names, encoding="utf-8")
    monkeypatch.setattr(tuning, "HERE", tmp_path)
    with pytest.raises(ValueError, match="13 settings"):
        settings()
