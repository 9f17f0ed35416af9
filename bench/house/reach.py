"""
Definitions that nothing reaches: the import graph walked name by name from the entry points and the documented API.

Names are followed, not values: a definition counts as reached where reached code names it. A method counts as reached
where its class is and reached code reads an attribute of that name, so that what is listed is surely unreached, and
what is not listed may be.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.house.structure import PACKAGE, Module, imports

_OF_PYTHON = frozenset(["ABC", "Exception", "Generic", "NamedTuple", "Protocol", "TypedDict"])
"""Bases that call no method of their own accord."""

Place = tuple[str, str]
"""(module, top-level name); the name is empty for what runs when the module is imported."""

PASSIVE = frozenset(
    [
        "abstractmethod",
        "cache",
        "cached_property",
        "classmethod",
        "contextmanager",
        "dataclass",
        "final",
        "lru_cache",
        "no_grad",
        "overload",
        "override",
        "property",
        "runtime_checkable",
        "staticmethod",
        "total_ordering",
    ]
)
"""Decorators that hand a function to nobody: those of any other name may register it somewhere."""


@dataclass(frozen=True)
class Unit:
    """A definition, or a method with its class before a dot."""

    module: Module
    name: str
    node: ast.AST

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Names that it reads as attributes, or spells as a whole string (`getattr`)."""
        nodes = list(ast.walk(self.node))
        read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        spelt = {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        keywords = {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}
        return frozenset(read | {word for word in spelt if word.isidentifier()} | keywords)


def unreached(known: Mapping[str, Module], root: Path) -> list[str]:
    """`module:name` of each definition and each method that is not reached, sorted."""
    house = _House(known)
    reached = house.reached([*entry_points(known, root), *documented(known, root)])
    return sorted(
        f"{unit.module.name}:{unit.name}"
        for unit in house.all_units()
        if (unit.module.name, unit.name) not in reached and not _is_private_constant(unit)
    )


def entry_points(known: Mapping[str, Module], root: Path) -> Iterator[Place]:
    """What `pyproject.toml` names, `python -m undertow`, and the `command` of every verb."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    for target in (target for group in groups for target in group.values()):
        module, _, name = target.partition(":")
        yield from [(module, name)] if name else _public(known, module)
    yield from _public(known, f"{PACKAGE}.__main__")
    yield from ((name, "command") for name, module in known.items() if module.room == "cli")
    # Python asks a module for what it lacks, and for its names.
    yield from ((name, hook) for name in known for hook in ("__getattr__", "__dir__"))
    for name, module in known.items():
        if module.path.stem.endswith("_runner"):  # run as a script, in a process of its own
            yield from _public(known, name)


def documented(known: Mapping[str, Module], root: Path) -> Iterator[Place]:
    """What README, the pages and the examples import or name by its whole dotted path."""
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    for path in [*pages, *sorted((root / "examples").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for module, names in re.findall(rf"from ({PACKAGE}[\w.]*) import ([\w, ]+)", text):
            yield from ((module, name.strip()) for name in names.split(","))
        for dotted in re.findall(rf"\b{PACKAGE}(?:\.\w+)+", text):
            module, _, name = dotted.rpartition(".")
            yield from [(module, name)] if module in known else []


def _public(known: Mapping[str, Module], name: str) -> Iterator[Place]:
    yield name, ""
    if name in known:
        yield from ((name, unit) for unit, _ in _definitions(known[name]))


def _definitions(module: Module) -> Iterator[tuple[str, ast.AST]]:
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((t.id, node) for t in targets if isinstance(t, ast.Name))


def _is_private_constant(unit: Unit) -> bool:
    return unit.name in {"__all__", "__version__", "logger"}


class _House:
    def __init__(self, known: Mapping[str, Module]) -> None:
        self.known = known
        self.units: dict[Place, list[Unit]] = {}
        self.aliases: dict[str, dict[str, Place]] = {}
        for name, module in known.items():
            self.aliases[name] = {
                here: (target, there) for target, there, here in imports(module, known)
            }
            for word, node in _definitions(module):
                self.units.setdefault((name, word), []).append(Unit(module, word, node))

    def all_units(self) -> Iterator[Unit]:
        for units in self.units.values():
            for unit in units:
                yield unit
                if isinstance(unit.node, ast.ClassDef):
                    yield from self._methods(unit)

    def _methods(self, unit: Unit) -> Iterator[Unit]:
        assert isinstance(unit.node, ast.ClassDef)
        for node in unit.node.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Unit(unit.module, f"{unit.name}.{node.name}", node)

    def _public_methods(self, place: Place) -> Iterator[str]:
        for unit in self.units.get(place, []):
            if isinstance(unit.node, ast.ClassDef):
                names = (method.name for method in self._methods(unit))
                methods = ((name, name.partition(".")[2]) for name in names)
                # A notebook asks what it shows for `_repr_html_`.
                yield from (
                    name
                    for name, method in methods
                    if method == "_repr_html_" or not method.startswith("_")
                )

    def reached(self, starts: Iterable[Place]) -> set[Place]:
        """Every place that can be named from the starts."""
        reached: set[Place] = set()
        waiting = [self.resolved(start) for start in starts]
        # Whoever uses a documented class may call any public method of it.
        for module, name in list(waiting):
            waiting += ((module, method) for method in self._public_methods((module, name)))
        read: set[str] = set()
        while waiting:
            place = waiting.pop()
            if place not in reached:
                reached.add(place)
                waiting.append((place[0], ""))
                for unit in self._code(place):
                    read |= unit.attributes
                    waiting += self._named_by(unit)
            if not waiting:
                waiting += self._methods_read(reached, read)
        return reached

    def _code(self, place: Place) -> Iterator[Unit]:
        module, name = place
        if module not in self.known:
            return
        if not name:
            yield from self._run_at_import(self.known[module])
        elif "." in name:
            owner = name.partition(".")[0]
            for unit in self.units.get((module, owner), []):
                yield from (method for method in self._methods(unit) if method.name == name)
        else:
            for unit in self.units.get(place, []):
                yield self._shell(unit)

    def _shell(self, unit: Unit) -> Unit:
        """A class without its methods: they are reached one by one."""
        if not isinstance(unit.node, ast.ClassDef):
            return unit
        body = [
            n for n in unit.node.body if not isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        shell = ast.Module(
            [*body, *[ast.Expr(e) for e in (*unit.node.bases, *unit.node.decorator_list)]], []
        )
        return Unit(unit.module, unit.name, shell)

    def _run_at_import(self, module: Module) -> Iterator[Unit]:
        """Statements that define nothing, and definitions that a decorator may register."""
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                if any(_decorator(d) not in PASSIVE for d in node.decorator_list):
                    yield Unit(module, "", ast.Expr(ast.Name(node.name, ast.Load())))
            elif not isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom):
                yield Unit(module, "", node)

    def _named_by(self, unit: Unit) -> Iterator[Place]:
        name = unit.module.name
        aliases = self.aliases[name]
        for node in ast.walk(unit.node):
            if isinstance(node, ast.Name):
                yield self.resolved(aliases.get(node.id, (name, node.id)))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                target, there = aliases.get(node.value.id, ("", ""))
                if target and not there:
                    yield self.resolved((target, node.attr))

    def resolved(self, place: Place) -> Place:
        """Where a name is defined, through the packages that hand it on."""
        for _ in range(5):
            module, name = place
            if (module, name) in self.units or module not in self.known:
                return place
            target = self.aliases[module].get(name)
            if target is None:
                return place
            place = target
        return place

    def _methods_read(self, reached: set[Place], read: set[str]) -> Iterator[Place]:
        for place in list(reached):
            for unit in self.units.get(place, []):
                if not isinstance(unit.node, ast.ClassDef):
                    continue
                for method in self._methods(unit):
                    word = method.name.partition(".")[2]
                    where = (unit.module.name, method.name)
                    if where not in reached and self._is_called(unit, method, word, read):
                        yield where

    def _is_called(self, unit: Unit, method: Unit, word: str, read: set[str]) -> bool:
        dunder = word.startswith("__") and word.endswith("__")
        assert isinstance(method.node, ast.FunctionDef | ast.AsyncFunctionDef)
        registered = any(_decorator(d) not in PASSIVE for d in method.node.decorator_list)
        return dunder or registered or word in read or self._is_foreign(unit)

    def _is_foreign(self, unit: Unit) -> bool:
        """Whether a base class of another package may call the methods."""
        assert isinstance(unit.node, ast.ClassDef)
        return any(self._is_foreign_base(unit.module.name, base) for base in unit.node.bases)

    def _is_foreign_base(self, module: str, base: ast.expr) -> bool:
        while isinstance(base, ast.Attribute | ast.Subscript):
            base = base.value
        if not isinstance(base, ast.Name):
            return True
        place = self.resolved(self.aliases[module].get(base.id, (module, base.id)))
        classes = [u for u in self.units.get(place, []) if isinstance(u.node, ast.ClassDef)]
        if classes:
            return any(self._is_foreign(unit) for unit in classes)
        return base.id not in _OF_PYTHON


def _decorator(node: ast.expr) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
