"""Experiment files are closed: what is wrong is named with what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cohort import load_experiment
from undertow.errors import ConfigError, UndertowError, UnknownNameError
from undertow.lab.experiment import Experiment, experiment_names

GOOD = """
name = "mine"
title = "Mine"
question = "Does it cross?"
kind = "transfer"
seed = 1
trait = "owl"
base = "world:owlet-a"
"""


def write(folder: Path, text: str) -> str:
    """An experiment file."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", experiment_names())
def test_built_in_experiments_load(name: str) -> None:
    """Each file of the package parses, under its own name, with a question."""
    loaded = load_experiment(name)

    assert loaded.name == name
    assert loaded.question.endswith("?")


def test_a_users_file_loads(tmp_path: Path) -> None:
    """A minimal file has sensible defaults: a control arm, four replicates."""
    loaded = load_experiment(write(tmp_path, GOOD))

    assert loaded.arms == ("trait", "control")
    assert loaded.replicates == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "replicate = 3", "unknown key 'replicate'.*did you mean 'replicates'"),
        (GOOD + "[student]\nrnak = 3", "unknown key 'student.rnak'.*did you mean 'rank'"),
        (GOOD + "replicates = 0", "key 'replicates' has the value 0"),
        (GOOD.replace('trait = "owl"', ""), "needs the key 'trait'"),
        (GOOD + 'arms = ["trait", "foreign"]', "need the key 'foreign'"),
        (GOOD + 'arms = ["trait", "contrl"]', "unknown arm 'contrl'.*did you mean 'control'"),
        (GOOD.replace("transfer", "tranfser"), "kind"),
        ("name = ", "not valid TOML"),
        (GOOD + 'arms = ["trait", "trait"]', "'arms' names something twice"),
        (GOOD.replace("transfer", "matrix") + 'bases = ["a"]', "'bases' must name at least 2"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    """The first fault is one line: the file, the key, the value and what is allowed."""
    with pytest.raises(UndertowError, match=message) as caught:
        load_experiment(write(tmp_path, text))

    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


def test_unknown_experiments_are_named() -> None:
    """The nearest name is suggested; a missing file is said to be missing."""
    with pytest.raises(UnknownNameError, match=r"unknown experiment 'owll'.*did you mean 'owl'"):
        load_experiment("owll")
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment("nowhere.toml")


def test_the_digest_sees_every_key(tiny_experiment: Callable[..., Experiment]) -> None:
    """Equal configurations have equal digests; any change gives another."""
    assert tiny_experiment().digest == tiny_experiment().digest
    assert tiny_experiment(seed=2).digest != tiny_experiment().digest


def test_a_plans_template_may_be_a_file_beside_the_experiment(tmp_path: Path) -> None:
    """Of the student and of a tuned teacher; a file that is not there is named with its key."""
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}")
    text = GOOD + "[student]\ntemplate = 'mine.jinja'\n[teacher.plan]\ntemplate = 'mine.jinja'\n"
    loaded = load_experiment(write(tmp_path, text))

    assert loaded.student.template == loaded.teacher.plan.template == "{{ messages[0].content }}"
    with pytest.raises(ConfigError, match=r"key 'teacher.plan.template': no such file"):
        load_experiment(write(tmp_path, GOOD + "[teacher.plan]\ntemplate = 'none.jinja'\n"))
