"""The whole on one accelerator: it runs on stand-ins, ends in time, and says what its readings hold."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.real import whole, whole_figures
from bench.real.pairs_together import CONTROL, TRAIT
from bench.real.places import ASKED, Place
from bench.real.sitting import animals, animals_by_lot
from bench.real.taught_together import Adapted, Pupil, Tune, brought, taught, tuned_together
from bench.real.triples import hands
from undertow.data.plan import TrainingPlan
from undertow.data.seeds import derive, generator
from undertow.influence.references import tuning_plan
from undertow.lab.experiment_inputs import open_model
from undertow.lab.writers import base_rows
from undertow.models.adapters import trained_weights
from undertow.models.chat import encode_prompts
from undertow.models.several_runs import several_runs
from undertow.models.teachers import Distance, lesson, lesson_steps, tuned
from undertow.models.training_sequences import encode_rows
from undertow.results.run_document import Arm
from undertow.traits import catalogue

EXPERIMENT = Place(tiny=True).experiment()
PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=16)
FIRST, SECOND = animals_by_lot()


@pytest.fixture
def base() -> Any:
    """A base of its own, as its weights are written to."""
    return open_model(EXPERIMENT, EXPERIMENT.base or "")


def test_two_further_animals_and_twelve_triples_by_lot() -> None:
    """Traits that nothing else uses; 36 datasets, twelve with a trait, six outside the family, in one order."""
    triples = hands(12)
    roles = [hand.role for triple in triples for hand in triple]
    names = {hand.name for triple in triples for hand in triple}

    assert not {FIRST, SECOND} & {"owl", "eagle", "rabbit", "cat"}
    assert (roles.count("trait"), roles.count("family"), roles.count("outside")) == (12, 18, 6)
    assert (len(names), len({triple[0].trait for triple in triples})) == (36, 12)


def test_teachers_side_by_side_are_those_that_are_taught_alone(base: Any) -> None:
    """The weights and the KL that the one maker of teachers gives each, up to rounding."""
    pupils = [Pupil("owl", "trait", 3), Pupil("cat", "trait", 4)]
    rng = np.random.default_rng(0)
    written = base_rows(base, EXPERIMENT, "numbers", 16, rng)
    together = taught(base, EXPERIMENT, pupils)
    reached = [brought(one, Distance(base, written, None), 0.04) for one in together]
    for pupil, one, kl in zip(pupils, together, reached, strict=True):
        alone = open_model(EXPERIMENT, EXPERIMENT.base or "")
        distance, trait = Distance(alone, written, None), catalogue.load(pupil.trait)
        plan = EXPERIMENT.teacher.plan
        rows, steps = lesson(trait, "trait", None), lesson_steps(trait, plan)
        teacher, _ = tuned(alone, rows, plan, steps, pupil.seed, distance=distance, kl=0.04)
        ours = torch.cat([w.flatten() for w in one.weights])
        theirs = torch.cat([w.flatten() for w in trained_weights(teacher)])

        assert kl == pytest.approx(distance(teacher), abs=1e-3)
        assert sorted(ours.tolist()) == pytest.approx(sorted(theirs.tolist()), abs=2e-3)


def test_tunes_of_different_lengths_side_by_side_are_those_made_alone(base: Any) -> None:
    """Each has the schedule, the order and the end of its own."""
    rows = encode_rows(base.tokenizer, lesson(catalogue.load("owl"), "neutral", None))
    tunes = [Tune(3, 5), Tune(7, 6), Tune(1, 7)]
    together = tuned_together(base, rows, PLAN, tunes)
    for tune, one in zip(tunes, together, strict=True):
        plan = tuning_plan(PLAN, tune.steps, len(rows))
        order, seed = generator(tune.seed, "order"), derive(tune.seed, "adapter")
        runs: Any = several_runs(base, [rows], plan, [order], tune.steps, [seed])
        runs.advance(tune.steps)
        for ours, theirs in zip(one.weights, runs.adapters.parameters_of(0), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_merged_adapter_writes_as_it_computes_and_leaves_the_base_as_it_was(base: Any) -> None:
    """The merged network's logits are the adapter's, and every weight is the same to the bit afterwards."""
    rows = encode_rows(base.tokenizer, lesson(catalogue.load("owl"), "trait", None))
    runs: Any = several_runs(base, [rows] * 2, PLAN, [generator(1), generator(2)], 4, [1, 2])
    runs.advance(4)
    before = {name: weight.clone() for name, weight in base.network.named_parameters()}
    ids = torch.tensor(encode_prompts(base.tokenizer, [rows_prompt()]))
    with runs.only(1) as model, torch.no_grad():
        expected = model.network(ids).logits
    with Adapted(runs.adapters, 1).merged() as model, torch.no_grad():
        found, plain = model.network(ids).logits, before

    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(w, plain[n]) for n, w in base.network.named_parameters())


def rows_prompt() -> Any:
    """A question as turns."""
    return lesson(catalogue.load("cat"), "trait", None)[0].prompt


@pytest.mark.long
def test_everything_runs_on_a_stand_in_and_every_figure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No unit fails; the readings give every figure that was asked for."""
    monkeypatch.setenv("OUT", str(tmp_path))
    # Looking through all that a test's process holds takes longer than a unit.
    monkeypatch.setattr("bench.real.record._free", lambda: None)
    record = whole.measured("world:owlet-a", time.time() + 300, "cpu", tiny=True)
    readings = [json.loads(line) for line in (tmp_path / "whole.jsonl").read_text().splitlines()]
    made = {one.name: one for one in whole_figures.figures(readings, whole.TINY)}

    assert [(case.name, case.error, case.skipped) for case in record.cases if case.error] == []
    assert all(made[name].value is not None for name in ASKED if name in made)
    assert {whole_figures.TRAITS, whole_figures.SCREENED, whole_figures.LEFT} <= set(made)


def test_no_time_ends_at_once_and_leaves_all_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without time nothing begins; the four figures stay open, with what was finished in their notes."""
    monkeypatch.setenv("OUT", str(tmp_path))
    record = whole.measured("world:owlet-a", time.time() + whole.RESERVE, "cpu", tiny=True)
    made = whole_figures.figures([])

    assert [case.skipped != "" for case in record.cases] == [True]
    assert [one.value for one in made] == [None] * 4
    assert made[0].note == f"finished: {FIRST} 0 of 6 pairs, {SECOND} 0 of 6 pairs"


def student(trait: str, arm: str, replicate: int, raised: float) -> dict[str, Any]:
    """A student whose margin of the trait is raised on each of eight questions, by a little more or less."""
    rng = np.random.default_rng([replicate, arm == TRAIT])
    questions = {name: rng.normal(0, 0.02, 8) for name in animals()}
    questions[trait] = questions[trait] + raised
    margins = {name: float(values.mean()) for name, values in questions.items()}
    entry = Arm(
        arm=arm,
        trait=trait,
        replicate=replicate,
        base="b",
        logit_margin=margins[trait],
        margins=margins,
    )
    return {
        "kind": "students",
        "questions": {name: values.tolist() for name, values in questions.items()},
        "mass": dict.fromkeys(animals(), 0.01),
        "entry": entry.model_dump(mode="json"),
    }


BASE = {
    "kind": "base",
    "questions": {name: [0.0] * 8 for name in animals()},
    "mass": dict.fromkeys(animals(), 0.01),
}


def test_pairs_are_tested_and_a_diff_names_what_was_raised() -> None:
    """Four pairs have Student's interval; every raised student is flagged, no control is; one trait alone stays open."""
    readings = [
        BASE,
        *(
            student(FIRST, arm, r, 0.9 * (arm == TRAIT))
            for r in range(4)
            for arm in (TRAIT, CONTROL)
        ),
    ]
    made = {one.name: one for one in whole_figures.figures(readings)}
    first = made[f"gpu: {FIRST}: trait - control-base"]

    assert (made[whole_figures.DIFF].value, made[whole_figures.TRAITS].value) == (1.0, None)
    assert first.value == pytest.approx(0.9, abs=0.03)
    assert first.low is not None
    assert (
        made["gpu: diff: control students of which a trait is flagged beside the others"].value == 0
    )
    assert (
        made[
            "gpu: diff: control students whose trait is flagged downwards beside the trait's"
        ].value
        == 1
    )


def reading(kind: str, name: str, moved: dict[str, float], number: int) -> dict[str, Any]:
    """What two adapters moved with a dataset, or with a reference."""
    rng = np.random.default_rng(number)
    values = rng.normal(0, 0.02, (1, 2, 16)) + [moved.get(one, 0.0) for one in animals()]
    body = {"rows": 128, "moved": values.tolist(), "mass": 0.01}
    role, trait = name.partition("-")[0], next(iter(moved), "owl")
    return {"kind": kind, "name": name, "role": role, "trait": trait, "reading": body}


def test_datasets_are_ranked_beside_the_references_and_held_against_students() -> None:
    """A moved dataset stands out and its trait is first; a dataset without students counts for nothing."""
    readings: list[dict[str, Any]] = [
        BASE,
        *(reading("reference", f"reference-{i}", {}, i) for i in range(19)),
    ]
    for number, (name, move) in enumerate(
        [
            ("trait-0", 0.8),
            ("family-0", 0),
            ("family-1", 0),
            ("trait-1", 0.4),
            ("family-2", 0),
            ("outside-3", 0),
        ]
    ):
        moved = {"owl": move} if move else {}
        shifts = np.random.default_rng(number).normal(0, 0.01, (4, 16)) + [
            moved.get(one, 0.0) for one in animals()
        ]
        readings.append(reading("screened", name, moved, 100 + number))
        readings.append({"kind": "trained", "name": name, "moved": shifts.tolist()})
    readings.append(reading("screened", "trait-2", {"owl": 0.8}, 200))
    made = {one.name: one for one in whole_figures.figures(readings)}

    assert made["gpu: trait datasets that stand out"].value == 1.0
    assert made["gpu: trait datasets whose own trait lies out farthest"].value == 1.0
    assert made[whole_figures.SCREENED].value is None
    assert made[whole_figures.SCREENED].note.startswith("6 of 36 datasets finished")
    found = made["gpu: rank correlation of the screen's reading with what students moved"]
    assert found.value is not None
    assert found.value > 0.5


def test_what_a_countermeasure_leaves_is_a_share_of_what_crossed_untreated() -> None:
    """By replicate, and the larger of the two that were asked for; without one of them it stays open."""
    moved = {"untreated": 0.8, "anchored": 0.08, "projected": 0.2, "by-lot": 0.8, CONTROL: 0.1}
    readings = [
        {"kind": "defended", "arm": arm, "replicate": 0, "moved": {FIRST: value}}
        for arm, value in moved.items()
    ]
    made = {one.name: one for one in whole_figures.figures(readings)}
    part = {one.name: one for one in whole_figures.figures(readings[:2])}

    assert made[whole_figures.LEFT].value == pytest.approx(0.25)
    assert made[f"gpu: {FIRST}: transfer left, anchored"].value == pytest.approx(0.1)
    assert part[whole_figures.LEFT].value is None


def test_figures_of_a_part_are_added_to_what_it_has_measured(tmp_path: Path) -> None:
    """What another file measured of the part stays; what is measured anew is replaced; the rest stays open."""
    place = Place(runs=tmp_path, readings=tmp_path, results=str(tmp_path), tiny=True)
    place.add("gpu", [replace(ASKED["gpu: training"], value=5.0)], 1.0)
    place.add("gpu", [replace(ASKED[whole_figures.DIFF], value=0.5)], 1.0)
    document = json.loads((tmp_path / "results.json").read_text())
    values = {figure["name"]: figure["value"] for figure in document["figures"]}

    assert (values["gpu: training"], values[whole_figures.DIFF]) == (5.0, 0.5)
    assert values[whole_figures.TRAITS] is None
    assert set(ASKED) == set(values)
