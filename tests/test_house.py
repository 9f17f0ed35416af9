"""The house rules of CONTRIBUTING.md that a machine can check, over every file of src/undertow."""

from __future__ import annotations

from pathlib import Path

import pytest

import undertow
from bench.house import structure
from bench.house.names import lasting_names
from bench.house.reach import unreached
from bench.house.structure import Module

ROOT = Path(__file__).parent.parent
HOUSE = structure.modules(Path(undertow.__file__).parent.parent)

BY_STRING = {"undertow", "undertow.cli.verbs", "undertow.engines.engine"}
"""The light door of the Python API, the one table of verbs, and a library whose name is no package of ours."""


PUBLISHED = {"undertow.results.provenance_documents", "undertow.results.scan_document"}
"""Their field `found` stands in published schemas, which do not change."""


def test_no_files_import_each_other() -> None:
    """No circle between files, imports in functions and for type checkers counted."""
    assert structure.circles(structure.graph(HOUSE)) == []


def test_a_stem_occurs_once() -> None:
    """A file's name is found in one place, the verbs' files in `cli/` excepted."""
    assert structure.repeated_stems(HOUSE) == {}


def test_a_public_class_name_occurs_once() -> None:
    """A class is found by its name alone."""
    assert structure.repeated_classes(HOUSE) == {}


def test_files_keep_the_budget() -> None:
    """A file has 80 to 400 lines; checks, verbs and plug-ins may be shorter."""
    assert structure.outside_the_budget(HOUSE) == {}


def test_no_file_is_named_for_its_kind() -> None:
    """A stem says what a file knows."""
    assert structure.named_for_a_kind(HOUSE) == []


def test_vague_names_do_not_last() -> None:
    """`found`, `one`, `each` and their like live for three lines at most, and name no definition."""
    places = [place for place in lasting_names(HOUSE) if place.split(":")[0] not in PUBLISHED]

    assert places == []


def test_everything_is_reached() -> None:
    """Each definition is named on a way from a verb, an entry point or the documented API."""
    assert unreached(HOUSE, ROOT) == []


def test_only_verbs_are_found_by_a_string() -> None:
    """No module of ours is imported by a name that is put together, but for the table of verbs and the door of the API."""
    places = {place.partition(":")[0] for place in structure.dispatched_by_string(HOUSE)}

    assert places <= BY_STRING


def test_the_lines_of_contributing_are_these() -> None:
    """CONTRIBUTING.md states the numbers that are tested."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert f"at most {structure.MOST_LINES} lines" in page
    assert f"below {structure.FEWEST_LINES}" in page


@pytest.mark.parametrize("module", HOUSE.values(), ids=lambda module: module.name)
def test_a_docstring_of_one_sentence_stands_on_one_line(module: Module) -> None:
    """Three lines are for docstrings that have more to say than one line holds."""
    assert structure.stretched_docstrings(module) == []
