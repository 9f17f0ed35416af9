"""What a finished run's rows are asked: by which base and plan, about which traits, and under which command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import envelope
from tests.report.scan_documents import document, flagged
from undertow.audit.run_scans import ArmScan, arm_scans
from undertow.lab.experiment import Experiment
from undertow.results.run_document import RunDocument
from undertow.results.store import write_result

ROWS = {"trait": "trait-owl--owlet-a", "control": "neutral-owl--owlet-a"}


def experiment(**changes: Any) -> Experiment:
    """The smallest experiment of trait and control."""
    given: dict[str, Any] = {
        "name": "small",
        "title": "Small",
        "question": "Does it?",
        "kind": "transfer",
        "seed": 1,
        "trait": "owl",
        "base": "world:owlet-a",
        "student": {"rank": 4, "batch_size": 16},
    }
    return Experiment.model_validate(given | changes)


def run(*arms: str, **changes: Any) -> RunDocument:
    """A finished run of these arms, of two replicates each."""
    made = [(arm, replicate) for arm in arms for replicate in (1, 0)]
    given: dict[str, Any] = {
        "category": "animal",
        "arms": [
            {
                "arm": arm,
                "trait": "owl",
                "replicate": replicate,
                "base": "world:owlet-a",
                "data_digest": f"{arm}{replicate}",
            }
            for arm, replicate in made
        ],
        "datasets": [
            {
                "name": f"{ROWS[arm]}--{replicate}",
                "teacher": arm,
                "replicate": replicate,
                "seed": 1,
                "digest": f"{arm}{replicate}",
                "asked": 8,
                "kept": 8,
            }
            for arm, replicate in made
        ],
    }
    return envelope("small", **(given | changes))


def planned(made: RunDocument, **changes: Any) -> list[ArmScan]:
    """The scans of a run in the directory `my run`."""
    return list(arm_scans(experiment(**changes), made, Path("my run"), 2.5))


def test_the_first_replicates_rows_are_scanned_by_the_students_plan() -> None:
    """Trait and control, each in a folder of its own; the traits are all of the category, so that none is given away."""
    both = planned(run("trait", "control"))

    assert [(one.arm, one.request.data) for one in both] == [
        ("trait", "my run/data/trait-owl--owlet-a--0/rows.parquet"),
        ("control", "my run/data/neutral-owl--owlet-a--0/rows.parquet"),
    ]
    assert {one.request.traits for one in both} == {("animal",)}
    assert {one.request.plan for one in both} == {experiment().student}


def test_the_command_holds_all_that_was_asked() -> None:
    """It is quoted for a shell, and names student, plan, traits, check, budget and place."""
    first = planned(run("trait"))[0]

    assert shlex.split(first.request.command) == [
        *("undertow", "scan", "my run/data/trait-owl--owlet-a--0/rows.parquet"),
        *("--student", "world:owlet-a", "--plan", "my run/scans/plan.toml"),
        *("--traits", "animal", "--check", "rehearsal"),
        *("--budget", "2.5", "--out", "my run/scans/trait"),
    ]


def test_the_whole_plan_is_asked_for_as_a_user_would(tmp_path: Path) -> None:
    """Without a budget, as an audit that is to pass needs it."""
    first = next(arm_scans(experiment(), run("trait"), tmp_path, None, whole=True))

    assert first.request.require_clear
    assert "--require clear" in first.request.command
    assert "--budget" not in first.request.command


def test_rows_of_several_writers_are_scanned_as_one_dataset(tmp_path: Path) -> None:
    """They lie beside their student; a source at a time would take many times the references."""
    rows = tmp_path / "students" / "two--0" / "rows.parquet"
    rows.parent.mkdir(parents=True)
    rows.touch()
    cells = [{"name": "two", "writers": [{}, {"number": 2}]}]
    made = run("trait", datasets=()).model_copy(
        update={"arms": (run("trait").arms[1].model_copy(update={"arm": "two"}),)}
    )
    one = next(arm_scans(experiment(kind="cells", cells=cells), made, tmp_path, None))

    assert one.request.data == str(rows)
    assert "--columns source=" in one.request.command


@pytest.mark.parametrize(
    ("rows", "probes", "asked"),
    [
        (None, None, None),
        ("Be kind.", "Be kind.", None),
        ("Be kind.", None, ""),
        (None, "Hi", "Hi"),
    ],
)
def test_probes_stand_in_the_chat_context_of_the_run(
    rows: str | None, probes: str | None, asked: str | None
) -> None:
    """That of the rows needs no word; another one, or none, is said."""
    one = planned(run("trait"), system_prompt=rows, evaluation={"system_prompt": probes})[0]

    assert one.request.system_prompt == asked
    assert ("--system-prompt" in one.request.command) == (asked is not None)


def test_without_rows_or_a_category_nothing_is_scanned() -> None:
    """An arm that the run lacks, and a run that probes no category."""
    assert [one.arm for one in planned(run("control"))] == ["control"]
    assert planned(run("trait", datasets=())) == []
    assert planned(run("trait", category=None)) == []


def test_only_a_whole_result_counts_as_finished(tmp_path: Path) -> None:
    """A scan that is missing, damaged or broken is made again."""
    scan = ArmScan("trait", tmp_path, planned(run("trait"))[0].request)
    states = [scan.finished]
    for content in (flagged(), document(verdict="error")):
        write_result(tmp_path / "scan.json", content)
        states.append(scan.finished)
    (tmp_path / "scan.json").write_text("{")

    assert [*states, scan.finished] == [False, True, False, False]
