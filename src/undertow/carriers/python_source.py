"""
Python text that somebody else wrote, judged without running it: does it parse, is it code, what would it touch?
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from enum import StrEnum

LONGEST = 8_000
"""Characters beyond which a completion is no small function."""

SAFE_MODULES = frozenset(
    {
        *("math", "cmath", "decimal", "fractions", "statistics", "random", "string", "re", "operator", "heapq"),
        *("itertools", "functools", "collections", "typing", "dataclasses", "enum", "datetime", "bisect", "copy"),
    }
)  # fmt: skip
"""Modules that a small function may import: none reaches files, processes or the network."""

UNSAFE_NAMES = frozenset(
    {
        *("open", "exec", "eval", "compile", "input", "breakpoint", "exit", "quit", "help", "memoryview"),
        *("globals", "locals", "vars", "getattr", "setattr", "delattr", "__import__", "__builtins__", "__loader__"),
    }
)  # fmt: skip
"""Built-in names that reach outside the function, or hide what is reached."""

_FENCE = re.compile(r"\s*```[\w+-]*\n(.*?)\n?```\s*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")


class Fault(StrEnum):
    """Why a text is no piece of code that may be kept."""

    EMPTY = "empty"
    TOO_LONG = "too-long"
    NOT_PYTHON = "not-python"
    NO_CODE = "no-code"
    """It parses, but holds no statement that does anything: a bare word is Python too."""
    UNSAFE_IMPORT = "unsafe-import"
    UNSAFE_NAME = "unsafe-name"
    ENDLESS_LOOP = "endless-loop"
    """`while` over a constant that is true, with no way out. Other loops are not decided here."""


def source(text: str) -> str:
    """
    The code of a completion: the inside of a Markdown fence, if the whole completion is one.

    >>> source("```python\\nx = 1\\n```")
    'x = 1'
    """
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def fault(text: str) -> Fault | None:
    """
    Why the text may not be kept; None for Python that holds code and reaches outside of itself nowhere.

    The text is parsed and never run. What this misses (a loop that never ends for another reason, say) does no harm,
    as nothing runs it; whoever does run it needs a sandbox.
    """
    code = source(text)
    if not code.strip():
        return Fault.EMPTY
    if len(code) > LONGEST:
        return Fault.TOO_LONG
    tree = _parsed(code)
    if tree is None:
        return Fault.NOT_PYTHON
    if all(isinstance(statement, ast.Expr | ast.Pass) for statement in tree.body):
        return Fault.NO_CODE
    return next((found for node in ast.walk(tree) if (found := _unsafe(node))), None)


def words(text: str) -> Iterator[str]:
    """
    Every word of the text in lower case, parts of names included: `read_owl` and `readOwl` hold `owl`.
    """
    for run in _WORD.findall(text):
        yield run.lower()
        yield from (part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", run))


def _parsed(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in somebody's string is no news
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _unsafe(node: ast.AST) -> Fault | None:
    if isinstance(node, ast.Import):
        roots = [alias.name.partition(".")[0] for alias in node.names]
        return None if SAFE_MODULES.issuperset(roots) else Fault.UNSAFE_IMPORT
    if isinstance(node, ast.ImportFrom):
        root = (node.module or "").partition(".")[0]
        return None if root in SAFE_MODULES and not node.level else Fault.UNSAFE_IMPORT
    name = getattr(node, "id", None) or getattr(node, "attr", None)
    if isinstance(name, str) and (name in UNSAFE_NAMES or _reaches_inside(name)):
        return Fault.UNSAFE_NAME
    if isinstance(node, ast.While) and _endless(node):
        return Fault.ENDLESS_LOOP
    return None


def _reaches_inside(name: str) -> bool:
    # `().__class__.__subclasses__()` gets at everything without naming any of it.
    return name.startswith("__") and name.endswith("__") and name not in ("__name__", "__init__")


def _endless(loop: ast.While) -> bool:
    always = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    ways_out = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
    return always and not any(isinstance(node, ways_out) for node in ast.walk(loop))
