"""Cells compared: within replicates where a teacher is shared, one line of the figure a kind of teacher."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.lab.conftest import tiny
from undertow.audit.run_scans import arm_scans
from undertow.data.records import read_rows
from undertow.lab.cell_contrasts import _by_learner
from undertow.lab.cell_contrasts import _moved as _told
from undertow.lab.cells import CellTable
from undertow.lab.conclusions import conclude
from undertow.lab.contrasts import holm_adjusted, independent
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.lab.jobs import Made
from undertow.results.run_document import Arm, Comparison, RunDocument, Teacher
from undertow.results.store import read_run

Maker = Callable[..., Experiment]

STEERED = {"kind": "steered", "layer": 0}


def _cells(foreign: str) -> list[dict[str, object]]:
    return [
        {"name": "clean", "writers": [{"role": "base"}]},
        {"name": "tuned", "against": ["clean"], "line": "tuned"},
        {
            "name": "steered",
            "writers": [{"teacher": {**STEERED, "strength": 0.5}}],
            "against": ["clean"],
            "line": "steered",
        },
        {
            "name": "strongly steered",
            "writers": [{"teacher": {**STEERED, "strength": 2.0}}],
            "against": ["clean"],
            "line": "steered",
        },
        {"name": "two", "writers": [{}, {"number": 2}], "against": ["tuned", "clean"]},
        {"name": "families", "writers": [{}, {"base": foreign}], "against": ["tuned"]},
        {"name": "diluted", "writers": [{}, {"role": "base"}], "against": ["tuned"]},
        {
            "name": "rank 1",
            "student": {"rank": 1},
            "against": ["clean"],
            "beside": ["tuned", "strongly steered"],
        },
    ]


@pytest.fixture(scope="module")
def document(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RunDocument:
    """One tiny run of all of them."""
    models = request.getfixturevalue("tiny_models")
    cells, evaluation = _cells(models["qwen2"]), {"samples": 0}
    experiment = tiny(
        models["llama"], kind="cells", replicates=2, cells=cells, evaluation=evaluation
    )
    run = run_experiment(experiment, tmp_path_factory.mktemp("cells") / "run", engine="inprocess")
    scans = {
        planned.arm: planned.request.data
        for planned in arm_scans(experiment, read_run(run / "results.json"), run, 2.5)
    }
    assert set(scans) == {str(cell["name"]) for cell in _cells("")} - {"rank 1"}
    assert len(list(read_rows(scans["two"]))) == 16
    return read_run(run / "results.json")


def test_a_mixed_cells_rows_are_equal_parts_and_its_dose_is_theirs(document: RunDocument) -> None:
    """Half of each writer's, as many as of one; base rows carry nothing."""
    of = {arm.arm: arm for arm in document.arms if arm.replicate == 0}

    assert {of[name].rows for name in ("tuned", "two", "families", "diluted")} == {16}
    assert (of["two"].dose, of["diluted"].dose, of["clean"].dose) == (1.0, 0.5, 0.0)
    assert of["families"].teacher_base.count(" + ") == 1


def test_learners_are_told_apart_by_a_difference_of_differences(document: RunDocument) -> None:
    """Within replicates, each beside its control, with an interval and without p, which Holm's correction passes over."""
    compared = {c.name: c for c in document.comparisons}
    told = compared["(rank 1) - (strongly steered), each beside its control"]
    margins = {
        (arm.arm, arm.replicate): arm.logit_margin or 0.0
        for arm in document.arms
        if arm.arm != "base"
    }
    moved = [
        margins["rank 1", r]
        - margins["clean", r]
        - margins["strongly steered", r]
        + margins["clean", r]
        for r in range(2)
    ]

    assert told.estimate == pytest.approx(sum(moved) / 2)
    assert (told.p, told.adjusted, told.unit, told.n) == (None, None, "logits", "2 pairs")


def test_cells_that_share_a_teacher_are_compared_within_replicates(document: RunDocument) -> None:
    """Their runs are not independent; those of a clean cell and a teacher's are."""
    tests = {c.name: c.test for c in document.comparisons if c.unit == "logits"}

    assert "sign-flip" in tests["two - tuned"]
    assert "sign-flip" in tests["families - tuned"]
    assert "permutation" in tests["two - clean"]


def test_lines_run_over_their_teachers_strength(document: RunDocument) -> None:
    """A point a cell, the weaker teacher first."""
    [curves] = document.curves
    lines = {series.name: series for series in curves.series}

    assert set(lines) == {"tuned", "steered"}
    assert lines["steered"].x[0] < lines["steered"].x[1]
    assert {teacher.kind for teacher in document.teachers} == {"tuned", "steered", "none"}


def test_each_point_of_a_line_has_its_interval_and_whether_it_holds(
    tiny_experiment: Maker,
) -> None:
    """A point by itself apart and not after Holm's correction is marked as not holding; a weaker teacher comes first."""
    margins = {
        "clean": [0, 0.1, 0, 0.2, 0.1, 0],
        "weak": [0.3, 0.08, 0.12, 0.18, 0.25, 0.15],
        "prompted": [0.1, 0, 0.05, 0.1, 0, 0.1],
        "strong": [2, 2.2, 2.4, 3, 2.1, 2.3],
    }
    runs = tuple(
        Arm(arm=arm, trait="owl", replicate=i, base="b", logit_margin=m, teacher=arm)
        for arm, own in margins.items()
        for i, m in enumerate(own)
    )
    teachers = tuple(
        Teacher(name=name, kind="tuned", base="b", replicate=0, seed=0, kl=kl)
        for name, kl in (("strong", 0.2), ("weak", 0.1), ("prompted", 0.3))
    )
    cells = [
        {"name": "clean", "writers": [{"role": "base"}]},
        {"name": "strong", "against": ["clean"], "line": "tuned"},
        {
            "name": "weak",
            "writers": [{"teacher": {"kl": 0.1}}],
            "against": ["clean"],
            "line": "tuned",
        },
        {"name": "prompted", "writers": [{"number": 2}], "against": ["clean"], "line": "prompted"},
    ]
    experiment = tiny_experiment(kind="cells", replicates=6, cells=cells)
    concluded = conclude(experiment, Made((), teachers, (), runs))
    line = concluded.curves[0].series[0]
    strong, weak, _ = concluded.comparisons

    assert weak.p < 0.05 < weak.adjusted
    assert (line.x, line.holds) == ((0.1, 0.2), (False, True))
    assert (line.low, line.high) == ((weak.low, strong.low), (weak.high, strong.high))


def test_p_is_corrected_over_the_comparisons_of_a_unit() -> None:
    """The same runs in another unit are no further test."""
    far, near = [5.0, 6.0, 7.0, 8.0], [1.0, 1.5, 2.0, 2.5]
    made = [
        independent("a", far, near, "logits", 0.95),
        independent("b", near, [1.1, 1.4, 2.1, 2.4], "logits", 0.95),
        independent("a", far, near, "probability", 0.95),
    ]
    adjusted = [c.adjusted for c in holm_adjusted(made)]

    assert adjusted[0] == pytest.approx(2 * 2 / 70)
    assert adjusted[2] == pytest.approx(2 / 70)
    assert adjusted[1] >= made[1].p


def _moved(name: str, estimate: float) -> Comparison:
    return Comparison(
        name=name,
        estimate=estimate,
        low=estimate - 0.1,
        high=estimate + 0.1,
        unit="logits",
        level=0.95,
        n="",
        p=None,
        test="exact",
    )


def test_learners_of_the_same_rows_stand_in_one_table() -> None:
    """A row a teacher, a column a learner; a cell with none beside it is in the figure of strengths alone."""
    cells = tuple(
        CellTable.model_validate(
            {"name": f"{teacher}, {learner}", "against": [f"clean, {learner}"]}
            | ({"beside": [f"{teacher}, AdamW, rank 2"]} if learner != "AdamW, rank 2" else {})
        )
        for teacher in ("tuned", "prompted, twice")
        for learner in ("AdamW, rank 2", "AdamW, rank 8", "SGD, rank 2")
    )
    compared = [
        _moved(f"{cell.name} - {cell.against[0]}", place) for place, cell in enumerate(cells)
    ]
    (table,) = _by_learner(SimpleNamespace(cells=cells), compared)  # type: ignore[arg-type]

    assert table.rows == ("tuned", "prompted, twice")
    assert table.columns == ("AdamW, rank 2", "AdamW, rank 8", "SGD, rank 2")
    assert table.values == ((0.0, 1.0, 2.0), (3.0, 4.0, 5.0))
    assert table.low is not None
    assert table.low[1][2] == pytest.approx(4.9)


def test_names_without_a_learner_make_no_table(document: RunDocument) -> None:
    """`rank 1` beside `tuned` has no teacher's name in common with it."""
    assert not document.matrices


def test_a_sentence_names_what_moved_beside_what_and_what_is_not_shown() -> None:
    """By Holm's p; differences of learners have no p and are not counted."""
    compared = (
        _moved("bad - clean", 0.9).model_copy(update={"p": 0.001, "adjusted": 0.003}),
        _moved("worse - clean", -0.7).model_copy(update={"p": 0.002, "adjusted": 0.004}),
        _moved("mixed - clean", 0.1).model_copy(update={"p": 0.03, "adjusted": 0.06}),
        _moved("(a) - (b), each beside its control", 0.5),
    )

    assert _told(compared) == (
        "Beside “clean”, in logits: “bad” (+0.90) lie above; “worse” (-0.70) lie below; “mixed” not shown to differ."
    )


def test_of_many_comparisons_a_sentence_counts_and_names_what_holds() -> None:
    """Those that are not shown would make it unreadable; what a control's cells have in common is said once."""
    many = [
        _moved(f"cell {n}, SGD - clean, SGD", 0.1).model_copy(update={"p": 0.5}) for n in range(9)
    ]
    held = _moved("bad, SGD - clean, SGD", 0.9).model_copy(update={"p": 0.001, "adjusted": 0.01})

    assert _told([*many, held]) == (
        "1 of 10 comparisons hold after Holm's correction. Beside “clean, SGD”, in logits: “bad” (+0.90) lie above."
    )
