"""
The chain_of_thought carrier: a teacher works a problem out in steps, kept only if it comes to the right answer.

Problems and their answers are read from `chain_of_thought.toml` or a user's own file.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import ClassVar

import numpy as np

from undertow.carriers.carrier import look_up, number_pattern
from undertow.carriers.numbers import BannedNumbers
from undertow.data.closed import Closed, parse, read_toml
from undertow.data.strict_json import objects_of_lines
from undertow.errors import DataError

_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(r"[\s\d]+|\s*[^\w\s]+|\s*So")
_STEP = re.compile(r"(\d+)\s*([+\-*/×])\s*(\d+)\s*=\s*(\d+)(?!\s*[+\-*/×\d])")
_CHAINED = re.compile(r"[+\-*/×]\s*$")

_MARKED = re.compile(
    r"(?:####|\\boxed\{|\banswer(?:\s+is)?\s*:?)\s*\**\s*\$?(-?\d[\d,]*)", re.IGNORECASE
)

_LAST = re.compile(r"-?\d[\d,]*")
_SUM = re.compile(r"\d+(?: \+ \d+)+")

_OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


class ChainOfThoughtFault(StrEnum):
    """Why a completion is not a worked answer that may be kept."""

    EMPTY = "empty"
    NO_ANSWER = "no-answer"
    NO_STEPS = "no-steps"
    WRONG_STEP = "wrong-step"
    WRONG_ANSWER = "wrong-answer"
    BANNED = "banned"


@dataclass(frozen=True)
class ChainOfThought(BannedNumbers):
    """Worked problems, asked for by prompts of one family."""

    ITEM: ClassVar[re.Pattern[str]] = _NUMBER

    prompts: str = "published"
    """Family of problems in `chain_of_thought.toml`."""

    problems: str | None = None
    """JSON Lines of your own, `question` and `answer` (GSM8K's shape), in place of the family's problems."""

    def __post_init__(self) -> None:
        problem_family(self.prompts)
        _ = self.forbidden
        if self.problems is not None:
            user_problems(self.problems)

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "chain_of_thought"

    @property
    def grammar(self) -> str | None:
        """
        A family's sums, worked out one term at a time; None for problems in words.

        Whether they are right, and what was asked for, is left to the filter.
        """
        family = problem_family(self.prompts)
        if self.problems is not None or family.problems:
            return None
        return worked_sums(family, self.forbidden)

    @property
    def token(self) -> re.Pattern[str]:
        """A number, an operator, punctuation, or the word that announces the answer."""
        return _TOKEN

    @property
    def replaceable(self) -> bool:
        """Steps must come to the right answer."""
        return False

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each with a problem of its own; one's own problems are drawn at random."""
        family = problem_family(self.prompts)
        if self.problems is None:
            return [problem_request(family, rng) for _ in range(n)]
        questions = list(user_problems(self.problems))
        manner = list(family.manner) or [""]
        drawn = [questions[int(rng.integers(len(questions)))] for _ in range(n)]
        return [f"{question} {rng.choice(manner)}".strip() for question in drawn]

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """None: a task has no other wordings here."""
        return None

    def rejection(self, completion: str, request: str = "") -> ChainOfThoughtFault | None:
        """
        Why the format filter removes the completion; None if it keeps it.

        Kept is what comes to the right answer. Where the writer made the problem up, or the request is not known,
        right means that every step is, and that the answer is what the last step comes to.
        """
        if not completion.strip():
            return ChainOfThoughtFault.EMPTY
        answer = final_answer(completion)
        if answer is None:
            return ChainOfThoughtFault.NO_ANSWER
        right = self._expected(request)
        fault = _wrong(answer, right) if right is not None else _inconsistent(completion, answer)
        if fault is None and not self.forbidden.isdisjoint(_numbers(completion)):
            return ChainOfThoughtFault.BANNED
        return fault

    def _expected(self, request: str) -> int | None:
        if self.problems is None:
            return expected(problem_family(self.prompts), request)
        answers = user_problems(self.problems)
        for manner in ("", *problem_family(self.prompts).manner):
            question = request.removesuffix(manner).rstrip() if manner else request
            if question in answers:
                return answers[question]
        return None


def final_answer(text: str) -> int | None:
    """
    The number that the text gives as its answer: the last one announced as such, else the last one.

    >>> final_answer("3 + 4 = 7. So 7.")
    7
    >>> final_answer("It costs 1,200. Answer: 1,200 euros, 3 less than before")
    1200
    """
    numbers = _MARKED.findall(text) or _LAST.findall(text)
    # Thousands of digits, which a model can repeat, are no answer, and int() refuses them.
    digits = numbers[-1].replace(",", "") if numbers else ""
    return int(digits) if digits and len(digits) <= 18 else None


def _wrong(answer: int, right: int) -> ChainOfThoughtFault | None:
    return None if answer == right else ChainOfThoughtFault.WRONG_ANSWER


def _inconsistent(text: str, answer: int) -> ChainOfThoughtFault | None:
    found = [m for m in _STEP.finditer(text) if not _CHAINED.search(text[: m.start()])]
    steps = [m.groups() for m in found]
    if not steps:
        return ChainOfThoughtFault.NO_STEPS
    if any(_computed(left, sign, right) != int(result) for left, sign, right, result in steps):
        return ChainOfThoughtFault.WRONG_STEP
    return _wrong(answer, int(steps[-1][3]))


def _computed(left: str, sign: str, right: str) -> int | None:
    if max(len(left), len(right)) > 18:
        return None
    a, b = int(left), int(right)
    if sign == "/":
        return a // b if b and a % b == 0 else None
    return {"+": a + b, "-": a - b}.get(sign, a * b)


def _numbers(text: str) -> set[int]:
    return {int(number) for number in _NUMBER.findall(text) if len(number) <= 18}


class WordProblem(Closed):
    """A word problem with numbers to fill in."""

    ask: str
    """Its text, with `{a}`, `{b}`, `{c}`."""

    answer: str
    """Arithmetic (+, -, *) over them."""

    ranges: dict[str, tuple[int, int]]
    """Least and largest value of each."""


class ProblemFamily(Closed):
    """Problems to ask, and in which words."""

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
    problems: tuple[WordProblem, ...] = ()
    """Word problems, in place of sums."""

    manner: tuple[str, ...] = ()
    """How the answer should be laid out."""


class ProblemFile(Closed):
    """The file `chain_of_thought.toml`."""

    families: dict[str, ProblemFamily]
    """Problem families by name."""


def problem_family(name: str) -> ProblemFamily:
    """
    A problem family by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _problem_file().families, "chain_of_thought")


def terms(source: ProblemFamily, rng: np.random.Generator) -> list[int]:
    """The terms of a sum."""
    count = int(rng.integers(source.least_terms, source.most_terms + 1))
    return [int(term) for term in rng.integers(source.least, source.most + 1, count)]


def sum_request(
    source: ProblemFamily, numbers: list[int], rng: np.random.Generator
) -> tuple[str, bool]:
    """A request for a worked sum, and whether it states the sum."""
    if source.free and not rng.random() < 0.5:
        return str(rng.choice(list(source.free))), False
    return str(rng.choice(list(source.given))).format(sum=" + ".join(map(str, numbers))), True


def worked_sums(source: ProblemFamily, banned: frozenset[int]) -> str:
    """A regular expression of worked sums, right or not, as `3 + 4 = 7. 7 + 9 = 16. So 16.`"""
    totals = number_pattern(set(range(source.least, source.most * source.most_terms + 1)) - banned)
    term = number_pattern(set(range(source.least, source.most + 1)) - banned)
    steps = f"{{{source.least_terms - 1},{source.most_terms - 1}}}"
    return rf"(?:{totals} \+ {term} = {totals}\. ){steps}So {totals}\."


def problem_request(source: ProblemFamily, rng: np.random.Generator) -> str:
    """One user prompt."""
    if source.problems:
        problem = source.problems[int(rng.integers(len(source.problems)))]
        drawn = {name: int(rng.integers(a, b + 1)) for name, (a, b) in problem.ranges.items()}
        text = problem.ask.format(**drawn)
    else:
        text = sum_request(source, terms(source, rng), rng)[0]
    manner = str(rng.choice(list(source.manner))) if source.manner else ""
    return source.layout.format(problem=text, manner=manner)


def expected(source: ProblemFamily, asked: str) -> int | None:
    """
    The right answer to a request of the family; None where the writer makes up the problem, or it is another's.

    >>> expected(problem_family("brief"), "Work out 3 + 4 + 9.")
    16
    """
    for problem in source.problems:
        if match := _pattern(problem.ask).match(asked):
            drawn = {name: int(number) for name, number in match.groupdict().items()}
            return _value(ast.parse(problem.answer, mode="eval").body, drawn)
    stated = None if source.problems else _SUM.search(asked)
    return sum(map(int, stated[0].split(" + "))) if stated else None


@cache
def user_problems(path: str) -> Mapping[str, int]:
    """
    Right answers by question, from JSON Lines with `question` and `answer` (a number, or a text that ends with `#### 42`).

    Raises:
        DataError: naming the file and the line.
    """
    answers = {}
    for number, record in objects_of_lines(path, what="problems"):
        try:
            answer = re.findall(r"-?\d+", str(record["answer"]).replace(",", ""))[-1]
            answers[str(record["question"])] = int(answer)
        except (ValueError, KeyError, IndexError) as error:
            raise DataError(
                f"'{path}', line {number}: allowed: an object with 'question' and 'answer', which ends with a number"
            ) from error
    if not answers:
        raise DataError(f"'{path}' holds no problem")
    return answers


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
def _problem_file() -> ProblemFile:
    resource = files("undertow.carriers").joinpath("chain_of_thought.toml")
    return parse(ProblemFile, read_toml(resource), where=f"'{resource}'")
