"""Students of an experiment whose plan has a chat template are trained and asked in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cohort import Ground, probes_of
from tests.lab.conftest import TINY_STUDENT
from undertow.influence.probe_formats import asked_as
from undertow.influence.probes import probe_trait
from undertow.lab import students
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel, load
from undertow.results.store import read_run
from undertow.traits import catalogue

TEMPLATE = (
    "{% for m in messages %}{{ '<|user|>' if m.role == 'assistant' else '<|assistant|>' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|user|>{% endif %}"
)
"""Answers are written as what users say."""


def test_students_are_trained_and_asked_in_the_plans_template(
    tiny_experiment: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rows are learnt behind its header, and the untrained base is probed behind it too."""
    trained: list[tuple[LanguageModel, list[Encoded]]] = []

    def told(student: LanguageModel, rows: list[Encoded], *more: Any, **named: Any) -> Any:
        trained.append((student, rows))
        return fine_tune(student, rows, *more, **named)

    fine_tune = students.fine_tune
    monkeypatch.setattr(students, "fine_tune", told)
    experiment = tiny_experiment(
        student={**TINY_STUDENT, "template": TEMPLATE, "loss": "assistant"}
    )
    document = read_run(run_experiment(experiment, tmp_path / "run", engine="inprocess"))
    base = load(experiment.base or "").in_template(TEMPLATE)
    before = probe_trait(base, asked_as(catalogue.load("owl"), document.probes[0]), None)

    assert len(trained) == 2
    for student, rows in trained:
        texts = [student.tokenizer.decode(row.prompt) for row in rows]
        assert all(t.startswith("<|assistant|>") and t.endswith("<|user|>") for t in texts)
    [untrained] = [arm for arm in document.arms if arm.arm == "base"]
    assert untrained.logit_margin == pytest.approx(before.margins["owl"], abs=1e-5)


def test_a_cohort_is_probed_in_the_plans_template(
    tiny_experiment: Callable[..., Experiment],
) -> None:
    """What calibrates a screen asks as the screen asks."""
    plain, given = (
        Ground(tiny_experiment(student=student), ("owl",))
        for student in (TINY_STUDENT, {**TINY_STUDENT, "template": TEMPLATE})
    )
    model = load(given.experiment.base or "")
    behind = [probes_of(model, ground).read(model).margins[0] for ground in (plain, given)]
    asked = probe_trait(model.in_template(TEMPLATE), catalogue.load("owl"), None)

    assert behind[1] == pytest.approx(asked.margins["owl"], abs=1e-5)
    assert behind[0] != behind[1]
