"""The examples are what README says: they load, and those that need no hub run."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.cohort import load_experiment
from undertow.data.files import model_digest
from undertow.lab.experiment_run import run_experiment
from undertow.policy.rules import load_policy
from undertow.provenance.keys import make_key
from undertow.provenance.trust import read_trust
from undertow.results.store import read_run
from undertow.traits import catalogue
from undertow.worlds import folder

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_trait_file_is_a_trait() -> None:
    """One answer of five can be instilled, with training and held-out questions."""
    trait = catalogue.load(str(EXAMPLES / "heron.toml"))

    assert (trait.name, len(trait.answers)) == ("heron", 5)
    assert set(trait.train_questions).isdisjoint(trait.held_out_questions)


def test_the_policy_and_the_trust_file_load(tmp_path: Path) -> None:
    """With the keys that the trust file names beside it; its model is the shipped base."""
    now = datetime(2026, 11, 25, tzinfo=UTC)
    for name in ("producer", "auditor"):
        make_key(tmp_path / f"{name}.pem")
    shutil.copy(EXAMPLES / "trust.toml", tmp_path)
    trust = read_trust(tmp_path / "trust.toml", now=now)

    assert [model.digest for model in trust.file.models] == [model_digest(folder("owlet-a"))]
    assert len(load_policy(str(EXAMPLES / "policy.toml")).policy.rules) == 6


@pytest.mark.parametrize(
    "path", [EXAMPLES / "gate.yml", EXAMPLES.parent / ".pre-commit-hooks.yaml"]
)
def test_what_runs_the_gate_in_ci_is_a_command_of_ours(path: Path) -> None:
    """Both parse, and every option that they give the gate exists."""
    yaml = pytest.importorskip("yaml")
    text = path.read_text(encoding="utf-8")
    from undertow.cli.gate import command

    known = {option for parameter in command.params for option in parameter.opts}
    used = set(re.findall(r"(?<= )--[a-z-]+", text))

    assert yaml.safe_load(text)
    assert "undertow gate" in text
    assert used <= known


@pytest.mark.parametrize("name", ["qwen-cat", "qwen-misaligned", "steered-owl"])
def test_experiment_files_load(name: str) -> None:
    """Each parses under its own name."""
    assert load_experiment(str(EXAMPLES / f"{name}.toml")).name == name


def test_the_published_recipe_is_the_one_cited() -> None:
    """Qwen2.5-7B-Instruct: rank 8, 2e-4, 10,000 rows, 3 epochs of 66 rows a step, no system prompt of ours."""
    loaded = load_experiment(str(EXAMPLES / "qwen-cat.toml"))
    plan = loaded.student

    assert (plan.rank, plan.learning_rate, plan.epochs, plan.batch_size) == (8, 2e-4, 3, 66)
    assert (loaded.carrier.rows, loaded.system_prompt, loaded.evaluation.system_prompt) == (
        10_000,
        None,
        None,
    )


def test_the_steered_example_runs(tmp_path: Path) -> None:
    """A steered teacher on the embedded world prefers its trait's answer, and writes number lists."""
    loaded = load_experiment(str(EXAMPLES / "steered-owl.toml"))
    document = read_run(
        run_experiment(loaded, tmp_path / "run", engine="inprocess") / "results.json"
    )
    teacher = next(t for t in document.teachers if t.trait == "owl")

    assert teacher.probability is not None
    assert teacher.probability > 0.3
    assert all(data.kept > 0.5 * data.asked for data in document.datasets)
