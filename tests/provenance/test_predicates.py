"""The table of kinds: complete, unambiguous, and all that a new kind needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from tests.provenance.scene import NOW, Scene
from undertow.provenance.predicates import DATA_STEPS, MODEL_STEPS, RESULTS, STEPS, StepKind
from undertow.provenance.signed_steps import dataset, step_statement, used
from undertow.provenance.statement import Signable
from undertow.provenance.steps import DataOrigin, DataUsed, Needs, Passed, StatedStep, Walked

DOCS = Path(__file__).parents[2] / "docs" / "provenance.md"
TRANSLATE = "urn:undertow:build:translate/v1"


class Translate(Signable):
    """Rows were put into another language."""

    language: Literal["de", "fr"]


def translate_needs(step: StatedStep[Translate]) -> Needs:
    """The one source."""
    return Needs(tuple(DataUsed(part.sha256, part.name) for part in step.used_as("input-data")))


def translated(step: StatedStep[Translate], walked: Walked) -> Passed[DataOrigin]:
    """Whoever wrote the source wrote the translation."""
    (source,) = walked.data.values()
    problem = step.disagreement("rows", "36", source.rows)
    return Passed(replace(source, rows=36), {"language": step.parameters.language}, problem)


@pytest.fixture
def with_translations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of step that is only an entry in the table."""
    kind = StepKind("translate", Translate, translated, translate_needs)
    monkeypatch.setitem(DATA_STEPS, TRANSLATE, kind)
    monkeypatch.setitem(STEPS, TRANSLATE, kind)


def translation(scene: Scene, source: Path) -> None:
    """The scene with a translation in the place of its filter."""
    subject = dataset(source)
    parts = [used("input-data", subject.name, subject.digest["sha256"])]
    made = step_statement(
        "translate", [dataset(scene.data)], Translate(language="de"), parts, finished=NOW
    )
    scene.replace("filter", made)


def test_no_kind_has_two_entries() -> None:
    """Neither names nor URIs are used twice."""
    names = [kind.name for kind in (*STEPS.values(), *RESULTS.values())]

    assert len(set(names)) == len(names)
    assert len({**DATA_STEPS, **MODEL_STEPS, **RESULTS}) == len(names)


@pytest.mark.parametrize("name", [kind.name for kind in STEPS.values()])
def test_every_step_is_in_the_docs(name: str) -> None:
    """The table of statements names each kind of step."""
    table = DOCS.read_text(encoding="utf-8").partition("## Statements")[2].partition("\n\n")[2]

    assert name in table.partition("\n\n")[0]


@pytest.mark.usefixtures("with_translations")
def test_an_entry_is_all_that_a_new_step_needs(tmp_path: Path) -> None:
    """It is signed, read, walked and shown with its words."""
    scene = Scene(tmp_path)
    other = tmp_path / "source.jsonl"
    other.write_bytes(scene.data.read_bytes())
    scene.statements["source"] = (scene.generated(subject=dataset(other)), ("producer",))
    translation(scene, other)
    document = scene.ask().verification
    link = document.links[0]

    assert document.verdict == "verified"
    assert (link.step, link.about) == ("translate", {"language": "de"})


@pytest.mark.usefixtures("with_translations")
def test_a_step_with_a_problem_passes_on_nothing_complete(tmp_path: Path) -> None:
    """Whatever its function says: the walk sees to it."""
    scene = Scene(tmp_path)
    translation(scene, scene.raw)
    document = scene.ask().verification

    assert document.verdict == "refused"
    assert not document.facts.data_complete
    assert [problem.id for problem in document.problems] == ["inconsistent"]
