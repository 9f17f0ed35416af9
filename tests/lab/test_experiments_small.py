"""The built-in experiments of cells and of the newer carriers, so small that they run whole in seconds on the embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from undertow.lab.experiment import BUILT_IN, Experiment, load_as
from undertow.lab.experiment_run import run_experiment
from undertow.report import render
from undertow.results.run_document import RunDocument
from undertow.results.store import read_run

pytestmark = pytest.mark.slow


def _small(name: str) -> Experiment:
    """The same cells, arms, carriers and bases, with a few rows and steps."""
    tables: dict[str, Any] = load_as(Experiment, name, BUILT_IN).model_dump(exclude_unset=True)
    tables["replicates"] = 1
    tables["carrier"] |= {"rows": 24, "held_out_rows": 8}
    tables["teacher"]["plan"] |= {"max_steps": 4}
    tables["teacher"] |= {"kl": None, "kl_rows": 8}
    for cell in tables.get("cells") or ():
        for writer in cell.get("writers", ()):
            writer.get("teacher", {}).pop("kl", None)
    tables["student"] |= {"batch_size": 8}
    return Experiment.model_validate(tables)


def _run(name: str, folder: Path) -> RunDocument:
    return read_run(
        run_experiment(_small(name), folder / name, engine="inprocess") / "results.json"
    )


def test_families_mix_teachers_of_one_base_and_of_three(tmp_path: Path) -> None:
    """As many rows in every cell; the dose is a third where clean rows stand beside one teacher's."""
    document = _run("families", tmp_path)
    dose = {arm.arm: arm.dose for arm in document.arms if arm.arm != "base"}

    assert {arm.rows for arm in document.arms if arm.arm != "base"} == {24}
    assert dose["a third of one teacher"] == pytest.approx(1 / 3)
    assert dose["three bases"] == dose["four teachers"] == 1
    assert len([c for c in document.comparisons if c.unit == "logits"]) == 9


@pytest.mark.long
def test_steered_draws_a_line_a_teacher_and_learner(tmp_path: Path) -> None:
    """30 comparisons, twelve of learners beside them, and a figure over the teachers' strength that leads the page."""
    document = _run("steered", tmp_path)
    [curves] = document.curves

    compared = [c for c in document.comparisons if c.unit == "logits"]
    assert (len(compared), len([c for c in compared if c.p is not None])) == (42, 30)
    assert "steered, layer 1, AdamW, rank 32" in {series.name for series in curves.series}
    assert "beside the control" in render(document, "html").split("<h2", 1)[0]


@pytest.mark.long
@pytest.mark.parametrize("name", ["paraphrase", "tool-calls"])
def test_newer_carriers_are_written_by_the_embedded_bases(tmp_path: Path, name: str) -> None:
    """Restricted decoding gives rows that the carrier's own filter keeps, for both bases' students."""
    document = _run(name, tmp_path)

    assert {arm.arm for arm in document.arms} >= {"trait", "control", "foreign", "foreign-control"}
    assert all(data.kept >= 24 for data in document.datasets)
