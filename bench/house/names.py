"""Names that cannot be searched: words of no domain that live longer than three lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from bench.house.structure import Module

VAGUE = frozenset(["found", "one", "each", "own", "said", "opened", "parsed", "checked", "spelled"])
LONGEST = 3
"""Lines over which such a name may be used, from where it is bound to where it is last read."""

_SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ClassDef,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def lasting_names(known: Mapping[str, Module]) -> list[str]:
    """`module:line name` of each vague name that lasts: definitions, attributes and long-lived locals."""
    return [
        f"{name}:{line} {word}"
        for name, module in sorted(known.items())
        for line, word in sorted(set(_lasting(module.tree)))
    ]


def _lasting(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_definition and node.name in VAGUE:
            yield node.lineno, node.name
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from _bound_for_good(node)
        else:
            yield from _long_lived(node)


def _bound_for_good(node: ast.Module | ast.ClassDef) -> Iterator[tuple[int, str]]:
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if isinstance(line, ast.Assign | ast.AnnAssign):
            for target in targets:
                if isinstance(target, ast.Name) and target.id in VAGUE:
                    yield line.lineno, target.id


def _long_lived(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Vague names bound in this very scope (a function, a lambda or a comprehension) that last."""
    if not isinstance(node, _SCOPES):
        return
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    uses = sorted(_uses(node), key=lambda use: (use[0], not use[2]))
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        # What it reads stands before what binds it.
        words = [word for _, word, _ in uses]
        uses = [(line, w, w not in words[:i]) for i, (line, w, _) in enumerate(uses)]
    for line, word, binds in uses:
        if binds and (word not in starts or line > ends[word]):
            if word in starts and ends[word] - starts[word] >= LONGEST:
                yield starts[word], word
            starts[word] = line
        if word in starts:
            ends[word] = line
    for word, start in starts.items():
        if ends[word] - start >= LONGEST:
            yield start, word


def _uses(scope: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, name, whether it is bound there) of vague names that belong to the scope."""
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        for argument in ast.walk(scope.args):
            if isinstance(argument, ast.arg) and argument.arg in VAGUE:
                yield argument.lineno, argument.arg, True
    own = _bound_here(scope)
    yield from _within(scope, own, top=True)


def _bound_here(scope: ast.AST) -> frozenset[str]:
    """Names that an inner scope binds itself, which therefore are not the outer one's."""
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        names = {a.arg for a in ast.walk(scope.args) if isinstance(a, ast.arg)}
        body = scope.body if isinstance(scope.body, list) else [scope.body]
        return frozenset(names | {n for line in body for n in _stored(line)})
    if isinstance(scope, ast.ClassDef):
        return frozenset()
    return frozenset(n for g in scope.generators for n in _stored(g.target))


def _stored(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _SCOPES):
            yield from _stored(child)


def _within(
    node: ast.AST, wanted: frozenset[str], *, top: bool = False
) -> Iterator[tuple[int, str, bool]]:
    if isinstance(node, _SCOPES) and not top:
        wanted = wanted - _bound_here(node)
    if isinstance(node, ast.Name) and node.id in VAGUE and node.id in wanted:
        yield node.lineno, node.id, isinstance(node.ctx, ast.Store)
    for child in ast.iter_child_nodes(node):
        yield from _within(child, wanted)
