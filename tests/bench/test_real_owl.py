"""The figures of the owl experiment on real weights, and its rows taken over by the foreign arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as oracle

from bench.real import owl
from bench.real.places import ASKED, Place
from undertow.results.run_document import Arm, Dataset

ANSWERS = {"owl": 0.0, "cat": 0.2, "dog": -0.2}


def student(arm: str, replicate: int, margin: float) -> dict[str, Any]:
    """The entry of a student whose margin of the trait is that."""
    entry = Arm(
        arm=arm,
        trait="owl",
        replicate=replicate,
        base="world:b",
        probability=0.5 + margin / 10,
        logit_margin=margin,
        margins=ANSWERS | {"owl": margin},
        held_out_loss=1.0,
        first_held_out_loss=2.0,
        seconds=60.0,
    )
    run = "foreign" if arm.startswith("foreign") else "trait"
    return {"run": run, "kind": "students", "entry": entry.model_dump(mode="json")}


def dataset(asked: int, kept: int, unfinished: int) -> dict[str, Any]:
    """The entry of a dataset."""
    entry = Dataset(
        name="trait-owl--b--0",
        teacher="t",
        replicate=0,
        seed=1,
        digest="0",
        asked=asked,
        kept=kept,
        removed={"unfinished": unfinished},
    )
    return {"run": "trait", "kind": "data", "entry": entry.model_dump(mode="json")}


def test_one_sided_p_is_that_of_scipys_permutation_test() -> None:
    """All sign patterns, ties counted, on differences of both signs."""
    rng = np.random.default_rng(1)
    for differences in (rng.normal(0.4, 1, 6), rng.normal(0, 1, 5).round(), np.arange(1.0, 7)):
        expected = oracle.permutation_test(
            (differences,), np.mean, permutation_type="samples", alternative="greater"
        )
        assert owl.one_sided(differences) == pytest.approx(float(expected.pvalue))


def test_pairs_of_replicates_are_tested_and_the_foreign_end_is_held_against_half() -> None:
    """Six pairs that all rise reach 1/64; three foreign pairs near 0 end below half of them."""
    readings = [dataset(100, 98, 2)]
    for r in range(6):
        readings += [student("trait", r, 1.0 + r / 10), student("control-base", r, 0.2)]
    for r in range(3):
        readings += [
            student("foreign", r, 0.02 * r),
            student("foreign-control-base", r, 0.02),
        ]
    made = {figure.name: figure for figure in owl.figures(readings)}
    p = made["owl: p of trait - control-base, one-sided sign-flip"]
    main = made["owl: trait - control-base"]
    foreign = made["foreign: foreign - foreign-control-base"]

    assert (p.value, p.met) == (1 / 64, True)
    assert main.value == pytest.approx(1.05)
    assert main.met
    assert main.low is not None
    assert main.low > 0
    assert foreign.met
    assert foreign.high is not None
    assert foreign.high < 1.05 / 2
    assert made["owl: finished rows that keep to the carrier's format"].value == 1.0
    assert {name for name in ASKED if name.startswith(("owl", "foreign"))} <= set(made)


def test_students_read_otherwise_are_compared_in_pairs() -> None:
    """Margins behind examples, of the replicates that have both; none without such readings."""
    lines = [
        {"kind": owl.OTHERWISE, "arm": arm, "replicate": r, "margins": {"owl": margin + r}}
        for arm, margin, count in (("trait", 0.5, 3), ("control-base", 0.25, 2))
        for r in range(count)
    ]
    both = [
        student(arm, r, margin + 2 * r)
        for arm, margin in (("trait", 0.5), ("control-base", 0.1))
        for r in range(2)
    ]
    name = "owl: trait - control-base, asked behind examples"

    [found] = [one for one in owl.figures([*both, *lines]) if one.name == name]
    assert found.value == 0.25
    assert found.note.startswith("2 pairs")
    scattered = [one.value for one in owl.figures([*both, *lines]) if "deviation" in one.name]
    assert scattered == pytest.approx([0.4 / 2**0.5, 0.25 / 0.5**0.5])
    assert name not in {one.name for one in owl.figures(both)}


def test_a_replicate_with_one_student_is_left_out_and_a_small_effect_is_missed() -> None:
    """Of two replicates one has a pair; a foreign arm that moves as the trait's does is not met."""
    readings = [
        student("trait", 0, 0.4),
        student("control-base", 0, 0.5),
        student("trait", 1, 9.0),
        *(student("foreign", r, 0.4) for r in (0, 1)),
        *(student("foreign-control-base", r, 0.1 * r) for r in (0, 1)),
    ]
    made = {figure.name: figure for figure in owl.figures(readings)}

    assert made["owl: trait - control-base"].value == pytest.approx(-0.1)
    assert made["owl: trait - control-base"].met is False
    assert made["foreign: foreign - foreign-control-base"].met is False


def test_rows_of_another_setting_are_not_taken_over(tmp_path: Path) -> None:
    """A carrier that differs is refused before anything is copied."""
    place = Place(runs=tmp_path, readings=tmp_path, tiny=True)
    made = place.experiment()
    other = place.experiment("foreign").model_copy(
        update={"carrier": made.carrier.model_copy(update={"rows": 64})}
    )
    with pytest.raises(ValueError, match="'carrier' differs"):
        owl.take_over(made, tmp_path / "made", other, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_both_runs_make_the_same_teachers_and_rows() -> None:
    """The foreign run's teachers and datasets are among those of the trait's run, seeds and all."""
    from undertow.lab.design import design

    place = Place()
    ours, theirs = design(place.experiment()), design(place.experiment("foreign"))

    assert len(theirs.datasets) == 6
    assert set(theirs.teachers) <= set(ours.teachers)
    assert set(theirs.datasets) <= set(ours.datasets)
