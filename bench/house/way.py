"""
The way of a parameter through the house: which files a request enters, and how often it comes back to one.

The rule, the same for every tree: begin in a function with one of its parameters. What is followed is the parameter, what
is read from it (attributes, items, loops over it) and
names bound to those; not what a call makes of them. Calls
are taken in the order of the source. A call that hands on something followed, or whose receiver is followed, enters
the function that its name resolves to by imports, or the only method of that name in the package; there the walk goes
on with the parameters that were handed over. A function is walked once for each set of such parameters.
Constructors without a body, and functions that are chosen as the program runs, are not entered.

A stay is a run of entries into one file; a return is a stay in a file that was left before.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bench.house.structure import Module, imports

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Way:
    """The files that were entered, in order; the same file twice in a row is one stay."""

    stays: list[str] = field(default_factory=list)

    def enter(self, module: str) -> None:
        """Note an entry into a file."""
        if not self.stays or self.stays[-1] != module:
            self.stays.append(module)

    @property
    def returns(self) -> int:
        """Stays in a file that had been left."""
        return len(self.stays) - len(set(self.stays))


def way_of(known: Mapping[str, Module], module: str, function: str, parameter: str) -> Way:
    """
    The way of a parameter from where it begins.

    Raises:
        KeyError: there is no such function.
    """
    walk = _Walk(known)
    walk.enter(module, walk.functions[module, function], frozenset([parameter]))
    return walk.way


class _Walk:
    def __init__(self, known: Mapping[str, Module]) -> None:
        self.way = Way()
        self.walked: set[tuple[str, str, frozenset[str]]] = set()
        self.functions: dict[tuple[str, str], Function] = {}
        self.methods: dict[str, list[tuple[str, Function]]] = defaultdict(list)
        self.aliases = {
            name: {here: (target, there) for target, there, here in imports(module, known)}
            for name, module in known.items()
        }
        for name, module in known.items():
            self._collect(name, module)

    def _collect(self, name: str, module: Module) -> None:
        for node in module.tree.body:
            if isinstance(node, Function):
                self.functions[name, node.name] = node
            elif isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, Function):
                        self.methods[method.name].append((name, method))
                        if method.name in {"__init__", "__post_init__"}:
                            self.functions[name, node.name] = method

    def enter(self, module: str, function: Function, followed: frozenset[str]) -> None:
        """Walk a function with the parameters that are followed."""
        self.way.enter(module)
        key = (module, f"{function.name}:{function.lineno}", followed)
        if key in self.walked:
            return
        self.walked.add(key)
        names = set(followed)
        for statement in function.body:
            self._statement(module, statement, names)

    def _statement(self, module: str, node: ast.AST, names: set[str]) -> None:
        """Expressions first, in the order of the source; then what the statement binds; then its blocks."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr | ast.withitem):
                self._expression(module, child, names)
        self._bind(node, names)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                self._statement(module, child, names)

    def _expression(self, module: str, node: ast.AST, names: set[str]) -> None:
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            for generator in node.generators:
                if _holds(generator.iter, names):
                    names = names | set(_names(generator.target))
        for child in ast.iter_child_nodes(node):
            self._expression(module, child, names)
        if isinstance(node, ast.Call):
            self._call(module, node, names)

    def _bind(self, node: ast.AST, names: set[str]) -> None:
        if isinstance(node, ast.Assign) and _holds(node.value, names):
            names.update(word for target in node.targets for word in _names(target))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            names.update(_names(node.target) if _holds(node.value, names) else ())
        elif isinstance(node, ast.For) and _holds(node.iter, names):
            names.update(_names(node.target))
        elif isinstance(node, ast.With):
            for item in node.items:
                if item.optional_vars is not None and _holds(item.context_expr, names):
                    names.update(_names(item.optional_vars))

    def _call(self, module: str, call: ast.Call, names: set[str]) -> None:
        target = self._target(module, call.func)
        if target is None:
            return
        where, function, is_method = target
        followed = set(_handed_over(call, function, names, skip=is_method))
        if is_method and isinstance(call.func, ast.Attribute) and _holds(call.func.value, names):
            followed.add(_parameters(function)[0])
        if followed:
            self.enter(where, function, frozenset(followed))

    def _target(self, module: str, func: ast.expr) -> tuple[str, Function, bool] | None:
        if isinstance(func, ast.Name):
            place = self._resolved(self.aliases[module].get(func.id, (module, func.id)))
        elif isinstance(func, ast.Attribute):
            head = getattr(func.value, "id", "")
            owner, there = self.aliases[module].get(head, ("", ""))
            if not owner or there:
                known = self.methods.get(func.attr, [])
                return (*known[0], True) if len(known) == 1 else None
            place = self._resolved((owner, func.attr))
        else:
            return None
        function = self.functions.get(place)
        is_constructor = function is not None and function.name.startswith("__")
        return (place[0], function, is_constructor) if function is not None else None

    def _resolved(self, place: tuple[str, str]) -> tuple[str, str]:
        for _ in range(5):
            if place in self.functions:
                return place
            place = self.aliases.get(place[0], {}).get(place[1], place)
        return place


def _holds(node: ast.AST, names: set[str]) -> bool:
    """Whether it is something followed, or is read from or packed of such: not what a call makes of it."""
    if isinstance(node, ast.Call | ast.Compare | ast.JoinedStr):
        return False
    if isinstance(node, ast.Name):
        return node.id in names
    return any(_holds(child, names) for child in ast.iter_child_nodes(node))


def _names(node: ast.AST) -> Iterator[str]:
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    return [a.arg for a in (*arguments.posonlyargs, *arguments.args)]


def _handed_over(
    call: ast.Call, function: Function, names: set[str], *, skip: bool
) -> Iterator[str]:
    """The parameters of the function that the call fills with something followed."""
    places = _parameters(function)[1:] if skip else _parameters(function)
    for parameter, argument in zip(places, call.args, strict=False):
        if _holds(argument, names):
            yield parameter
    allowed = {*_parameters(function), *(a.arg for a in function.args.kwonlyargs)}
    for keyword in call.keywords:
        if keyword.arg in allowed and _holds(keyword.value, names):
            yield keyword.arg
