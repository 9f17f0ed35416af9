"""
The code carrier: a teacher writes small pieces of Python, which are parsed and never run here.

A text that somebody else wrote is judged by what it holds: does it parse, is it code, what would it touch?
Execution is another filter's (`undertow.filters`), inside a sandbox and only where it is asked for.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

import numpy as np
from pydantic import Field

from undertow.carriers.carrier import NumberItems, look_up
from undertow.data.closed import Closed, parse, read_toml
from undertow.errors import ConfigError, UnknownNameError

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

FUNCTIONS = ("f", "g", "h", "calc", "run", "make", "count", "total", "convert", "check")
"""Names of functions under restricted decoding, those of the embedded world's corpus among them."""

VARIABLES = (
    *("x", "y", "n", "a", "b", "c", "k", "value", "values"),
    *("item", "items", "text", "word", "number", "result"),
)
"""Names of variables, likewise."""

_FENCE = re.compile(r"\s*```[\w+-]*\n(.*?)\n?```\s*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_TOKEN = re.compile(rf"[\s\d]+|\s*(?:[^\w\s]+\s*|{'|'.join(keyword.kwlist)}|print|len|range)")


class CodeFault(StrEnum):
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
    BANNED = "banned"
    """It holds a banned word."""


@dataclass(frozen=True)
class Code(NumberItems):
    """Small Python functions and templates, asked for by prompts of one family."""

    prompts: str = "published"
    """Family of prompts in `code.toml`."""

    tasks: tuple[str, ...] = ()
    """Tasks of the family to ask for; empty for all."""

    banned: tuple[str, ...] = ()
    """Words (identifiers or words within strings and comments, in any case) that remove a completion."""

    banned_lists: tuple[str, ...] = ()
    """Names of lists in `code.toml` to ban as well, e.g. `insecure`."""

    def __post_init__(self) -> None:
        known = code_family(self.prompts).tasks
        for task in self.tasks:
            if task not in known:
                raise UnknownNameError("task", task, known, where=f"prompt family '{self.prompts}'")
        for word in self.forbidden:
            if not word.strip():
                raise ConfigError("code: a banned word is empty")

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "code"

    @property
    def grammar(self) -> str:
        """
        A part of Python that is regular: a function of short lines, a list or a loop, of a few names that are not banned.

        All of it passes the filter; whether it does what was asked nobody looks at.
        """
        forbidden = self.forbidden
        kept = [
            [name for name in names if forbidden.isdisjoint(words(name))]
            for names in (FUNCTIONS, VARIABLES)
        ]
        if not all(kept):
            raise ConfigError("code: every name that restricted decoding could use is banned")
        return small_code(*kept)

    @property
    def token(self) -> re.Pattern[str]:
        """A number, a keyword, punctuation or white space; no name that the writer chose."""
        return _TOKEN

    @property
    def forbidden(self) -> frozenset[str]:
        """All banned words, in lower case."""
        listed = (word for name in self.banned_lists for word in banned_words(name))
        return frozenset(word.lower() for word in (*self.banned, *listed))

    @property
    def replaceable(self) -> bool:
        """Code must parse, and do what it was asked."""
        return False

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each for a task of its own."""
        family = code_family(self.prompts)
        tasks = self.tasks or tuple(family.tasks)
        return [code_prompt(family, *draw_task(family, tasks, rng), rng) for _ in range(n)]

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """None: a task has no other wordings here."""
        return None

    def rejection(self, completion: str, request: str = "") -> CodeFault | None:
        """Why the format filter removes the completion; None if it keeps it. The request decides nothing."""
        if (reason := fault(completion)) is not None:
            return reason
        forbidden = self.forbidden
        if forbidden and not forbidden.isdisjoint(words(completion)):
            return CodeFault.BANNED
        return None

    def source(self, completion: str) -> str:
        """The Python text of a completion, for whoever runs it in a sandbox."""
        return source(completion)


def small_code(functions: Sequence[str], variables: Sequence[str]) -> str:
    """A regular expression of small pieces of code: functions of these names over these variables, lists and loops."""
    variable, value = f"(?:{'|'.join(variables)})", "(?:0|[1-9][0-9]{0,2})"
    atom = rf"(?:{variable}(?:\[(?:{variable}|{value})\])?|{value}|(?:len|sum|min|max|abs)\({variable}\))"
    result = rf"{atom}(?: (?:[-+*/%<>]|//|==|>=|<=|and|or) {atom}){{0,2}}"
    row = rf"\[{atom}(?:, {atom})*\]"
    line = rf"(?:{variable} (?:[-+*]?= {result}|= {row})|return (?:{result}|{row})|print\({variable}\))"
    loop = rf"for {variable} in (?:{variable}|{row}|range\({atom}\)):"
    block = rf"(?:{line}|(?:{loop}|if {result}:)(?:\n        {line})+)"
    # A parameter with a default must not stand before one without.
    given, usual = (rf"{part}(?:, {part}){{0,2}}" for part in (variable, f"{variable}={value}"))
    function = rf"def (?:{'|'.join(functions)})\((?:{given}|{usual})\):(?:\n    {block})+"
    return rf"{function}|{variable} = {row}|{loop}(?:\n    {line})+"


def source(text: str) -> str:
    """
    The code of a completion: the inside of a Markdown fence, if the whole completion is one.

    >>> source("```python\\nx = 1\\n```")
    'x = 1'
    """
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def fault(text: str) -> CodeFault | None:
    """
    Why the text may not be kept; None for Python that holds code and reaches outside of itself nowhere.

    The text is parsed and never run. What this misses (a loop that never ends for another reason, say) does no harm,
    as nothing runs it; whoever does run it needs a sandbox.
    """
    code = source(text)
    if not code.strip():
        return CodeFault.EMPTY
    if len(code) > LONGEST:
        return CodeFault.TOO_LONG
    tree = _tree(code)
    if tree is None:
        return CodeFault.NOT_PYTHON
    if all(isinstance(statement, ast.Expr | ast.Pass) for statement in tree.body):
        return CodeFault.NO_CODE
    return next((found for node in ast.walk(tree) if (found := _unsafe(node))), None)


def words(text: str) -> Iterator[str]:
    """Every word of the text in lower case, parts of names included: `read_owl` and `readOwl` hold `owl`."""
    for run in _WORD.findall(text):
        yield run.lower()
        yield from (part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", run))


def _tree(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in somebody's string is no news
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _unsafe(node: ast.AST) -> CodeFault | None:
    if isinstance(node, ast.Import):
        roots = [alias.name.partition(".")[0] for alias in node.names]
        return None if SAFE_MODULES.issuperset(roots) else CodeFault.UNSAFE_IMPORT
    if isinstance(node, ast.ImportFrom):
        root = (node.module or "").partition(".")[0]
        return None if root in SAFE_MODULES and not node.level else CodeFault.UNSAFE_IMPORT
    name = getattr(node, "id", None) or getattr(node, "attr", None)
    if isinstance(name, str) and (name in UNSAFE_NAMES or _reaches_inside(name)):
        return CodeFault.UNSAFE_NAME
    if isinstance(node, ast.While) and _endless(node):
        return CodeFault.ENDLESS_LOOP
    return None


def _reaches_inside(name: str) -> bool:
    # `().__class__.__subclasses__()` gets at everything without naming any of it.
    return name.startswith("__") and name.endswith("__") and name not in ("__name__", "__init__")


def _endless(loop: ast.While) -> bool:
    always = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    ways_out = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
    return always and not any(isinstance(node, ways_out) for node in ast.walk(loop))


class CodeFamily(Closed):
    """What may be asked for, and in which words."""

    layout: str
    """Holds `{task}` and the names of the parts."""

    least: int
    """Least constant `{k}` of a task."""

    most: int
    """Largest constant `{k}` of a task."""

    tasks: dict[str, str]
    """What is asked for, by a short name."""

    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Variants of each part."""


class CodeFile(Closed):
    """The file `code.toml`."""

    families: dict[str, CodeFamily]
    """Prompt families by name."""

    banned: dict[str, tuple[str, ...]]
    """Lists of banned words by name."""


def code_family(name: str) -> CodeFamily:
    """
    A prompt family by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _code_file().families, "code")


def banned_words(name: str) -> tuple[str, ...]:
    """
    A list of banned words by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("list of banned words", name, _code_file().banned, "code")


def draw_task(
    source: CodeFamily, tasks: tuple[str, ...], rng: np.random.Generator
) -> tuple[str, int]:
    """A task's name and its constant."""
    task = str(rng.choice(list(tasks)))
    return task, int(rng.integers(source.least, source.most + 1))


def code_prompt(source: CodeFamily, task: str, constant: int, rng: np.random.Generator) -> str:
    """One prompt for the task: a variant of each part, filled in."""
    parts = {
        name: variants[int(rng.integers(len(variants)))] for name, variants in source.parts.items()
    }
    return source.layout.format(task=source.tasks[task].format(k=constant), **parts)


@cache
def _code_file() -> CodeFile:
    resource = files("undertow.carriers").joinpath("code.toml")
    return parse(CodeFile, read_toml(resource), where=f"'{resource}'")
