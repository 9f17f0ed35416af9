"""The measures of the house themselves: each finds what was planted in a small house, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.house import structure
from bench.house.names import lasting_names
from bench.house.reach import unreached
from bench.house.structure import Module
from bench.house.way import way_of

PROJECT = '[project]\nscripts = { undertow = "undertow.cli:main" }\n'
Build = Callable[[Mapping[str, str]], dict[str, Module]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A package of the given files, parsed; `tmp_path` is its repository."""

    def built(files: Mapping[str, str]) -> dict[str, Module]:
        (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        (tmp_path / "README.md").touch()
        for name, text in files.items():
            path = tmp_path / "src" / "undertow" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return structure.modules(tmp_path / "src")

    return built


@pytest.mark.parametrize(
    "back",
    [
        "from undertow.a.one import x",
        "import undertow.a.one",
        "def late():\n    from undertow.a import one",
        "if TYPE_CHECKING:\n    from undertow.a.one import X",
    ],
)
def test_a_circle_is_found_in_every_spelling(build: Build, back: str) -> None:
    """Two files that import each other are a circle, wherever the imports stand."""
    house = build({"a/one.py": "from undertow.b import two", "b/two.py": back, "b/three.py": ""})

    assert structure.circles(structure.graph(house)) == [["undertow.a.one", "undertow.b.two"]]


def test_a_long_circle_is_one_circle() -> None:
    """Files that reach each other through others belong to one circle; a chain is none."""
    arrows = {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["f"], "f": []}

    assert structure.circles(arrows) == [["a", "b", "c"]]


def test_repeats_are_found_outside_the_verbs(build: Build) -> None:
    """A stem and a public class count once; `cli/`, `__init__` and private classes do not."""
    house = build(
        {
            "a/scan.py": "class Scan: ...\nclass _X: ...",
            "b/scan.py": "class Scan: ...\nclass _X: ...",
            "cli/scan.py": "",
            "a/__init__.py": "",
        }
    )

    assert structure.repeated_stems(house) == {"scan": ["undertow.a.scan", "undertow.b.scan"]}
    assert list(structure.repeated_classes(house)) == ["Scan"]


def test_the_budget_has_two_ends(build: Build) -> None:
    """Too long and too short a file are named; a verb may be short."""
    house = build(
        {
            "a/long.py": "x = 1\n" * 401,
            "a/right.py": "x = 1\n" * 400,
            "a/short.py": "x = 1\n",
            "cli/verb.py": "x = 1\n",
        }
    )

    assert structure.outside_the_budget(house) == {"undertow.a.long": 401, "undertow.a.short": 1}


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("def f(xs):\n    found = g(xs)\n    return found", 0),
        ("def f(xs):\n    found = g(xs)\n    h()\n    h()\n    return found", 1),
        ("def f(xs):\n    return [one\n\n\n  for one in xs]", 1),
        (
            "def f(xs):\n    a = [one for one in xs]\n    h()\n    h()\n    return [one for one in a]",
            0,
        ),
        ("def f(one):\n    h()\n    h()\n    h()\n    return one", 1),
        ("def opened(path):\n    return path", 1),
        ("class A:\n    found: int", 1),
        (
            "def f(xs):\n    for each in xs:\n        h(each)\n    h()\n    for each in xs:\n        h(each)",
            0,
        ),
    ],
)
def test_vague_names_are_found_where_they_last(build: Build, code: str, count: int) -> None:
    """A vague name is counted once where it lives for more than three lines or names a definition."""
    assert len(lasting_names(build({"a/b.py": code}))) == count


def test_what_nothing_reaches_is_named(build: Build) -> None:
    """Functions, methods and constants that no way from an entry point names, and only these."""
    house = build(
        {
            "cli/__init__.py": "from undertow.cli.verbs import main",
            "cli/verbs.py": "def main():\n    from undertow.a.b import A, used\n    used(A().go())",
            "a/b.py": (
                "LIMIT = 1\nIDLE = 2\n"
                "def used(x):\n    return _inner(x, LIMIT)\n"
                "def _inner(x, y):\n    return x\n"
                "def idle():\n    return IDLE\n"
                "class A:\n"
                "    def go(self):\n        return 1\n"
                "    def rest(self):\n        return 2\n"
            ),
        }
    )
    names = unreached(house, Path(house["undertow.a.b"].path).parents[3])

    assert names == ["undertow.a.b:A.rest", "undertow.a.b:IDLE", "undertow.a.b:idle"]


def test_what_a_page_names_is_reached(build: Build, tmp_path: Path) -> None:
    """A definition that README imports, or names by its dotted path, is documented API."""
    house = build({"a/b.py": "def idle():\n    ...\ndef other():\n    ..."})
    (tmp_path / "README.md").write_text("from undertow.a.b import idle\n`undertow.a.b.other`")

    assert unreached(house, tmp_path) == []


def test_a_way_counts_stays_and_returns(build: Build) -> None:
    """A request that goes to one file, to another and back again makes four stays and two returns."""
    house = build(
        {
            "a/scan.py": (
                "from undertow.b.door import open_it, close_it\nfrom undertow.c.data import read\n"
                "def scan(request):\n"
                "    rows = read(request.path)\n"
                "    open_it(request)\n"
                "    read(request.path)\n"
                "    close_it(rows)\n"
            ),
            "b/door.py": "def open_it(x):\n    ...\ndef close_it(x):\n    ...\n",
            "c/data.py": "def read(path):\n    ...\n",
        }
    )
    way = way_of(house, "undertow.a.scan", "scan", "request")

    # `close_it` gets what a call made of the request, which is not followed.
    stays = ["undertow.a.scan", "undertow.c.data", "undertow.b.door", "undertow.c.data"]
    assert way.stays == stays
    assert way.returns == 1


def test_a_stretched_docstring_is_found(build: Build) -> None:
    """Three lines for a sentence that one line holds are named by their first line."""
    house = build({"a/b.py": '"""Whole."""\n\n\ndef f():\n    """\n    Short.\n    """\n'})

    assert structure.stretched_docstrings(house["undertow.a.b"]) == [5]


@pytest.mark.parametrize(
    ("code", "places"),
    [
        ("import_module(f'undertow.{x}')", ["undertow.a.b:1"]),
        ("importlib.import_module(name)", ["undertow.a.b:1"]),
        ("importlib.import_module('ray')", []),
    ],
)
def test_a_name_that_is_put_together_is_found(build: Build, code: str, places: list[str]) -> None:
    """An import by a string is named unless the string is a library's name."""
    assert structure.dispatched_by_string(build({"a/b.py": code})) == places
