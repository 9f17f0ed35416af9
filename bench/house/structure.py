"""The modules of a source tree, what each imports, and the rules about files that a machine can check."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "undertow"
MOST_LINES = 400
FEWEST_LINES = 80
LONGEST_LINE = 100
PLUG_INS = ("checks", "cli", "integrations")
"""Rooms whose files are checks, verbs or plug-ins: like pages, they may be shorter than `FEWEST_LINES`."""
STARTS = frozenset(["undertow.__main__"])
KINDS = frozenset(["base", "common", "core", "data_models", "helpers", "manager", "misc", "utils"])
"""Stems that name a kind of file instead of what it knows."""


@dataclass(frozen=True)
class Module:
    """One file of source, parsed."""

    name: str
    """Dotted; a package's `__init__` bears the name of the package."""
    path: Path
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        """The first folder below the package; the file's own stem if it lies beside the rooms."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def is_package(self) -> bool:
        """Whether it is an `__init__`."""
        return self.path.name == "__init__.py"


def modules(source: Path) -> dict[str, Module]:
    """Every module below `source`, the folder that holds the package, by its dotted name."""
    return {module.name: module for module in map(_module(source), _files(source))}


def _files(source: Path) -> list[Path]:
    return sorted((source / PACKAGE).rglob("*.py"))


def _module(source: Path):
    def read(path: Path) -> Module:
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        return Module(name, path, ast.parse(text), len(text.splitlines()))

    return read


def imports(module: Module, known: Mapping[str, Module]) -> Iterator[tuple[str, str, str]]:
    """
    (module, name there, name here) of each import from the package, wherever it stands.

    The name there is empty where the module itself is imported.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in known:
                    yield alias.name, "", alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                here = alias.asname or alias.name
                yield (whole, "", here) if whole in known else (node.module, alias.name, here)


def graph(known: Mapping[str, Module]) -> dict[str, set[str]]:
    """The modules that each module imports, in functions and for type checkers too."""
    return {
        name: {target for target, _, _ in imports(module, known) if target in known} - {name}
        for name, module in known.items()
    }


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan, SIAM Journal on Computing 1, 1972), sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(arrows.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            place = stack.index(node)
            group, stack[place:] = stack[place:], []
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return sorted(groups)


def repeated_stems(known: Mapping[str, Module]) -> dict[str, list[str]]:
    """Stems that more than one file bears; the verbs' files in `cli/` and `__init__` do not count."""
    return _repeated(
        (module.path.stem, name)
        for name, module in known.items()
        if module.room != "cli" and not module.path.stem.startswith("__")
    )


def repeated_classes(known: Mapping[str, Module]) -> dict[str, list[str]]:
    """Names of public classes that are defined more than once."""
    return _repeated(
        (node.name, name)
        for name, module in known.items()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


def _repeated(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for key, place in pairs:
        places[key].append(place)
    return {key: sorted(where) for key, where in sorted(places.items()) if len(where) > 1}


def outside_the_budget(known: Mapping[str, Module]) -> dict[str, int]:
    """Lines of each file that has more or fewer than a file may have."""
    return {
        name: module.lines
        for name, module in sorted(known.items())
        if module.lines > MOST_LINES or (module.lines < FEWEST_LINES and not _may_be_short(module))
    }


def _may_be_short(module: Module) -> bool:
    is_page = module.path.stem.endswith("_page")
    return module.is_package or is_page or module.room in PLUG_INS or module.name in STARTS


def named_for_a_kind(known: Mapping[str, Module]) -> list[str]:
    """Modules whose stem says what kind of file they are instead of what they know."""
    return sorted(name for name, module in known.items() if module.path.stem in KINDS)


def stretched_docstrings(module: Module) -> list[int]:
    """Lines where a docstring takes three lines although one would hold it."""
    lines = module.path.read_text(encoding="utf-8").splitlines()
    return [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and (node.end_lineno or 0) - node.lineno == 2
        and _fits_one_line(lines[node.lineno - 1 : node.end_lineno])
    ]


def _fits_one_line(lines: list[str]) -> bool:
    first, text, last = lines
    is_bare = first.strip() in {'"""', 'r"""'} and last.strip() == '"""'
    sentence = text.strip()
    ends_well = not sentence.endswith(('"', "\\")) and not sentence.startswith(">>>")
    return is_bare and ends_well and len(first.rstrip() + sentence) + 3 <= LONGEST_LINE


def dispatched_by_string(known: Mapping[str, Module]) -> list[str]:
    """Places that import a module of the package by a name that is put together: `module:line`."""
    return [
        f"{name}:{node.lineno}"
        for name, module in sorted(known.items())
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and _called(node.func) in {"import_module", "__import__"}
        and not _names_a_library(node.args)
    ]


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _names_a_library(arguments: list[ast.expr]) -> bool:
    first = arguments[0] if arguments else None
    return isinstance(first, ast.Constant) and not str(first.value).startswith(PACKAGE)
