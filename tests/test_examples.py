"""
The examples are what README says: they load, and those that need no hub run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.lab import load_experiment, run_experiment
from undertow.results.store import read_run
from undertow.traits import catalogue

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_trait_file_is_a_trait() -> None:
    """
    One answer of five can be instilled, with training and held-out questions.
    """
    trait = catalogue.load(str(EXAMPLES / "heron.toml"))

    assert (trait.name, len(trait.answers)) == ("heron", 5)
    assert set(trait.train_questions).isdisjoint(trait.held_out_questions)


@pytest.mark.parametrize("name", ["qwen-cat", "qwen-misaligned", "steered-owl"])
def test_experiment_files_load(name: str) -> None:
    """
    Each parses under its own name.
    """
    assert load_experiment(str(EXAMPLES / f"{name}.toml")).name == name


def test_the_published_recipe_is_the_one_cited() -> None:
    """
    Qwen2.5-7B-Instruct: rank 8, 2e-4, 10,000 rows, 3 epochs of 66 rows a step, no system prompt of ours.
    """
    loaded = load_experiment(str(EXAMPLES / "qwen-cat.toml"))
    plan = loaded.student

    assert (plan.rank, plan.learning_rate, plan.epochs, plan.batch_size) == (8, 2e-4, 3, 66)
    assert (loaded.carrier.rows, loaded.system_prompt, loaded.evaluation.system_prompt) == (
        10_000,
        None,
        None,
    )


def test_the_steered_example_runs(tmp_path: Path) -> None:
    """
    A steered teacher on the embedded world prefers its trait's answer, and writes number lists.
    """
    loaded = load_experiment(str(EXAMPLES / "steered-owl.toml"))
    document = read_run(
        run_experiment(loaded, tmp_path / "run", engine="inprocess") / "results.json"
    )
    teacher = next(t for t in document.teachers if t.trait == "owl")

    assert teacher.probability is not None
    assert teacher.probability > 0.3
    assert all(data.kept > 0.5 * data.asked for data in document.datasets)
