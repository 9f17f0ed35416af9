"""What a package offers is what its `__all__` says, no more and no less."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

import undertow

ROOT = Path(undertow.__file__).parent
PACKAGES = sorted(ROOT.rglob("__init__.py"))
MODULES = sorted(ROOT.rglob("*.py"))


def _in(root: Path) -> Callable[[Path], str]:
    return lambda path: str(path.relative_to(root))


def declared(tree: ast.Module) -> list[str]:
    """The names in `__all__`; none where the module has no such list."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def defined(tree: ast.Module) -> set[str]:
    """The public names that a package's `__init__` defines itself."""
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def imported(tree: ast.Module) -> set[str]:
    """The names that a package's `__init__` imports from undertow, for type checkers too."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("undertow")
        for alias in node.names
    }


@pytest.mark.parametrize("path", PACKAGES, ids=_in(ROOT))
def test_all_lists_the_public_names(path: Path) -> None:
    """A package lists in `__all__` what it defines; one that defines nothing, all that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    listed = declared(tree)
    own, others = defined(tree), imported(tree)
    if path.parent == ROOT:
        # What is imported at the first use only is written down for type checkers beside it.
        others |= imported(ast.parse(path.with_suffix(".pyi").read_text(encoding="utf-8")))

    assert len(listed) == len(set(listed))
    assert own <= set(listed) <= own | others
    assert own or set(listed) == others


@pytest.mark.parametrize("path", MODULES, ids=_in(ROOT))
def test_a_module_says_what_lives_in_it(path: Path) -> None:
    """Every module opens with a docstring whose first paragraph is a sentence."""
    page = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert page is not None
    assert page.split("\n\n")[0].endswith((".", "?", ":"))
