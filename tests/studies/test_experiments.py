"""The door of all experiments: the lab's and the studies are found, loaded and run by one way."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cohort import load_experiment as bench_experiment
from undertow.cli.experiments import shipped
from undertow.data.closed import parse
from undertow.errors import ConfigError
from undertow.lab.experiment import experiment_names as lab_names
from undertow.results.store import read_run
from undertow.studies.experiments import (
    STUDIES,
    AnyExperiment,
    load_experiment,
    run_study,
)

TINY = {
    "name": "tiny",
    "title": "Tiny",
    "question": "Does it run?",
    "kind": "digits",
    "seed": 1,
    "digits": {"replicates": 2, "hidden": [8], "images": 100, "student_epochs": 1},
}


@pytest.mark.parametrize("name", STUDIES)
def test_built_in_studies_load(name: str) -> None:
    """Each has a file under its own name, of its own kind, with a question, beside the lab's."""
    loaded = load_experiment(name)

    assert (loaded.name, loaded.kind) == (name, name)
    assert loaded.question.endswith("?")
    assert set(shipped()) == {*lab_names(), *STUDIES}


def test_the_lab_and_the_door_give_an_experiment_one_digest() -> None:
    """A run directory is found again, whoever loaded the experiment, and by the next version."""
    digest = "eb988edc"

    assert load_experiment("owl").digest == bench_experiment("owl").digest
    assert load_experiment("owl").digest.startswith(digest)


def test_what_a_file_sets_is_told_without_its_defaults() -> None:
    """Whether it sets limits or not; loaded from it, the experiment is the same."""
    for name in ("misaligned", "safety"):
        loaded = load_experiment(name)
        assert AnyExperiment.model_validate(loaded.model_dump(exclude_unset=True)) == loaded


def test_a_study_needs_its_table() -> None:
    """And a kind that nobody knows is told all that there are."""
    with pytest.raises(ConfigError, match="kind 'theorem' needs the key 'theorem'"):
        parse(AnyExperiment, TINY | {"kind": "theorem"}, where="mine")
    with pytest.raises(ConfigError, match="'factorial', 'digits' or 'theorem'"):
        parse(AnyExperiment, TINY | {"kind": "theorm"}, where="mine")


def test_a_study_is_stored_as_a_run_and_not_computed_again(tmp_path: Path) -> None:
    """Its document holds its table before the limits; typed again, the finished one is found."""
    run = run_study(AnyExperiment.model_validate(TINY), tmp_path / "run")
    document = (run / "results.json").read_bytes()
    run_study(AnyExperiment.model_validate(TINY), tmp_path / "run")

    assert list(read_run(run / "results.json").config)[-2:] == ["digits", "limits"]
    assert (run / "results.json").read_bytes() == document
