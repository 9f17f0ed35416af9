"""Imports point down the rooms of the house, and heavy libraries stay behind one door."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import undertow

ROOMS = (
    "errors",
    "stats",
    "data",
    "results",
    "traits",
    "carriers",
    "sandbox",
    "filters",
    "judges",
    "review",
    "engines",
    "models",
    "worlds",
    "provenance",
    "influence",
    "mitigate",
    "checks",
    "lab",
    "studies",
    "audit",
    "policy",
    "report",
    "integrations",
    "cli",
)
"""From the ground up: a room may import those before it."""

DOOR = "models"
"""The one room that may import heavy libraries when it is itself imported."""

HEAVY = frozenset(
    [
        "accelerate",
        "datasets",
        "inspect_ai",
        "openai",
        "peft",
        "ray",
        "sklearn",
        "tokenizers",
        "torch",
        "transformers",
        "trl",
        "vllm",
    ]
)
NOT_FOR_HELP = HEAVY | {"jinja2", "numpy", "pyarrow", "pydantic", "rich", "scipy"}
NAMES_OF_KINDS = {
    "base",
    "common",
    "core",
    "data_models",
    "helpers",
    "manager",
    "misc",
    "services",
    "utils",
}
LARGEST_MODULE = 400

ROOT = Path(undertow.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
every_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(ROOT))
)


def room_of(path: Path) -> str:
    """The room that a file lives in; `__init__` and `__main__` for the two files beside the rooms."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_by(tree: ast.AST, package: str) -> Iterator[str]:
    """
    Every dotted name that the code imports anywhere: in functions, under TYPE_CHECKING, by a string.

    `package` is the package of the module, which relative imports start from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = [*parents, node.module] if node.level else [node.module]
            yield from (".".join([*filter(None, start), alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"}:
            yield from _beginning(node.args)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _beginning(arguments: list[ast.expr]) -> Iterator[str]:
    first = arguments[0] if arguments else None
    if isinstance(first, ast.JoinedStr) and first.values:
        first = first.values[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value


def imported_at_once(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The import statements that run when the module is imported: not in functions, not for type checkers."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imported_at_once(node.orelse)
        else:
            children = list(ast.iter_child_nodes(node))
            blocks = [child for child in children if isinstance(child, ast.stmt)]
            handlers = [child for child in children if isinstance(child, ast.ExceptHandler)]
            yield from imported_at_once(blocks + [line for each in handlers for line in each.body])


def package_of(path: Path) -> str:
    """The dotted package of a module's file."""
    return ".".join(["undertow", *path.relative_to(ROOT).parent.parts])


def rises(path: Path, tree: ast.AST) -> list[str]:
    """What the module imports from rooms above its own."""
    room = room_of(path)
    # `__main__` stands above the cli; `__init__` below the ground: everything imports it first.
    height = {"__init__": -1, "__main__": len(ROOMS)}.get(room)
    height = ROOMS.index(room) if height is None else height
    parts = (name.split(".") for name in imported_by(tree, package_of(path)))
    targets = (part for part in parts if part[0] == "undertow" and len(part) > 1)
    return [
        ".".join(part) for part in targets if part[1] in ROOMS and ROOMS.index(part[1]) > height
    ]


def heavy_at_once(tree: ast.Module) -> set[str]:
    """The heavy libraries that importing the module would import."""
    code = ast.Module(list(imported_at_once(tree.body)), [])
    return {name.split(".")[0] for name in imported_by(code, "undertow")} & HEAVY


def test_every_room_is_in_the_plan() -> None:
    """No file and no folder stands beside the rooms that the layering knows."""
    found = {room_of(path) for path in MODULES}

    assert found - {"__init__", "__main__"} <= set(ROOMS)


@every_module
def test_imports_point_down(path: Path) -> None:
    """A module imports its own room and the ones below it, wherever the import stands."""
    assert rises(path, ast.parse(path.read_text(encoding="utf-8"))) == []


@every_module
def test_relative_imports_are_not_used(path: Path) -> None:
    """Imports are absolute, so that a search for a module's name finds its users."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))

    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(path) != DOOR],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_heavy_libraries_are_imported_late(path: Path) -> None:
    """Outside models/ a heavy library is imported by the function that needs it, never with the module."""
    assert heavy_at_once(ast.parse(path.read_text(encoding="utf-8"))) == set()


@every_module
def test_files_are_small_and_named_for_what_they_know(path: Path) -> None:
    """No module outgrows a few screens, and none is named for its kind."""
    assert path.stem not in NAMES_OF_KINDS
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LARGEST_MODULE


@pytest.mark.parametrize(
    "code",
    [
        "import undertow.lab",
        "from undertow import lab",
        "from undertow.lab import run_experiment",
        "from ..lab import run_experiment",
        "def late():\n    import undertow.lab.runs",
        "if TYPE_CHECKING:\n    from undertow.lab import Experiment",
        "import importlib\nimportlib.import_module('undertow.lab')",
        "importlib.import_module(f'undertow.lab.{name}')",
    ],
)
def test_an_upward_import_is_seen_in_every_spelling(code: str) -> None:
    """The layer test itself: each way to import a higher room from `stats` is found."""
    assert rises(ROOT / "stats" / "interval.py", ast.parse(code))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch.nn", {"torch"}),
        ("try:\n    pass\nexcept ImportError:\n    from peft import X", {"peft"}),
        ("class A:\n    import ray", {"ray"}),
        ("if TYPE_CHECKING:\n    import torch", set()),
        ("def late():\n    import torch", set()),
    ],
)
def test_a_heavy_import_is_seen_where_it_runs_at_once(code: str, found: set[str]) -> None:
    """The heavy test itself: what runs on import is found, what runs later or never is not."""
    assert heavy_at_once(ast.parse(code)) == found


@pytest.mark.parametrize(
    "code",
    [
        "import undertow",
        "from undertow.cli import main; main(['--help'])",
        "from undertow.cli import main; main(['run', '--help'])",
        "from undertow.cli import main; main(['--version'])",
        "from undertow.cli import main; main(['no-such-verb'])",
    ],
)
def test_starting_up_is_cheap(code: str) -> None:
    """Importing undertow, its help and its errors need click and the standard library, nothing more."""
    script = f"import sys; {code}; print('\\n', *sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert set(done.stdout.splitlines()[-1].split()) & NOT_FOR_HELP == set()
