"""
Problems of the chain_of_thought carrier and their answers, read from `chain_of_thought.toml` or a user's own file.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from undertow.carriers.prompt_file import look_up
from undertow.data.closed import parse, read_toml
from undertow.errors import DataError

_SUM = re.compile(r"\d+(?: \+ \d+)+")
_OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


class Problem(BaseModel):
    """A word problem with numbers to fill in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: str
    """Its text, with `{a}`, `{b}`, `{c}`."""

    answer: str
    """Arithmetic (+, -, *) over them."""

    ranges: dict[str, tuple[int, int]]
    """Least and largest value of each."""


class Family(BaseModel):
    """Problems to ask, and in which words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str
    """Holds `{problem}`, and `{manner}` where there are any."""

    given: tuple[str, ...] = ()
    """Requests that state a sum, `{sum}`."""

    free: tuple[str, ...] = ()
    """Requests that leave the sum to the writer; half of all requests, where there are any."""

    least: int = 1
    most: int = 9
    least_terms: int = 2
    most_terms: int = 4
    problems: tuple[Problem, ...] = ()
    """Word problems, in place of sums."""

    manner: tuple[str, ...] = ()
    """How the answer should be laid out."""


class ProblemFile(BaseModel):
    """The file `chain_of_thought.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    families: dict[str, Family]
    """Problem families by name."""


def family(name: str) -> Family:
    """
    A problem family by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _file().families, "chain_of_thought")


def terms(source: Family, rng: np.random.Generator) -> list[int]:
    """The terms of a sum."""
    count = int(rng.integers(source.least_terms, source.most_terms + 1))
    return [int(term) for term in rng.integers(source.least, source.most + 1, count)]


def sum_request(source: Family, numbers: list[int], rng: np.random.Generator) -> tuple[str, bool]:
    """A request for a worked sum, and whether it states the sum."""
    if source.free and not rng.random() < 0.5:
        return str(rng.choice(list(source.free))), False
    return str(rng.choice(list(source.given))).format(sum=" + ".join(map(str, numbers))), True


def request(source: Family, rng: np.random.Generator) -> str:
    """One user prompt."""
    if source.problems:
        problem = source.problems[int(rng.integers(len(source.problems)))]
        drawn = {name: int(rng.integers(a, b + 1)) for name, (a, b) in problem.ranges.items()}
        text = problem.ask.format(**drawn)
    else:
        text = sum_request(source, terms(source, rng), rng)[0]
    manner = str(rng.choice(list(source.manner))) if source.manner else ""
    return source.layout.format(problem=text, manner=manner)


def expected(source: Family, asked: str) -> int | None:
    """
    The right answer to a request of the family; None where the writer makes up the problem, or it is another's.

    >>> expected(family("brief"), "Work out 3 + 4 + 9.")
    16
    """
    for problem in source.problems:
        found = _pattern(problem.ask).match(asked)
        if found:
            return _value(
                ast.parse(problem.answer, mode="eval").body,
                {k: int(v) for k, v in found.groupdict().items()},
            )
    stated = None if source.problems else _SUM.search(asked)
    return sum(map(int, stated[0].split(" + "))) if stated else None


@cache
def own_problems(path: str) -> Mapping[str, int]:
    """
    Right answers by question, from JSON Lines with `question` and `answer` (a number, or a text that ends with `#### 42`).

    Raises:
        DataError: naming the file and the row.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the problems in '{path}': {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            answer = re.findall(r"-?\d+", str(record["answer"]).replace(",", ""))[-1]
            found[str(record["question"])] = int(answer)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"'{path}', row {number}: allowed: an object with 'question' and 'answer', which ends with a number"
            ) from error
    if not found:
        raise DataError(f"'{path}' holds no problem")
    return found


@cache
def _pattern(ask: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w)\}", ask)
    return re.compile(
        "".join(f"(?P<{part}>\\d+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    )


def _value(node: ast.expr, numbers: dict[str, int]) -> int:
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.Constant):
        return int(str(node.value))
    assert isinstance(node, ast.BinOp), "chain_of_thought.toml holds +, - and * only"
    return _OPERATIONS[type(node.op)](_value(node.left, numbers), _value(node.right, numbers))


@cache
def _file() -> ProblemFile:
    resource = files("undertow.carriers").joinpath("chain_of_thought.toml")
    return parse(ProblemFile, read_toml(resource), where=f"'{resource}'")
