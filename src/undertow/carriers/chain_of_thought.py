"""
The chain_of_thought carrier: a teacher works a problem out in steps, kept only if it comes to the right answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from undertow.carriers import dealing, number_prompts, worked_problems

_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(r"[\s\d]+|\s*[^\w\s]+|\s*So")
_STEP = re.compile(r"(\d+)\s*([+\-*/×])\s*(\d+)\s*=\s*(\d+)(?!\s*[+\-*/×\d])")
_CHAINED = re.compile(r"[+\-*/×]\s*$")
_MARKED = re.compile(
    r"(?:####|\\boxed\{|\banswer(?:\s+is)?\s*:?)\s*\**\s*\$?(-?\d[\d,]*)", re.IGNORECASE
)
_LAST = re.compile(r"-?\d[\d,]*")


class Reason(StrEnum):
    """Why a completion is not a worked answer that may be kept."""

    EMPTY = "empty"
    NO_ANSWER = "no-answer"
    NO_STEPS = "no-steps"
    WRONG_STEP = "wrong-step"
    WRONG_ANSWER = "wrong-answer"
    BANNED = "banned"


@dataclass(frozen=True)
class ChainOfThought:
    """Worked problems, asked for by prompts of one family."""

    prompts: str = "published"
    """Family of problems in `chain_of_thought.toml`."""

    problems: str | None = None
    """JSON Lines of your own, `question` and `answer` (GSM8K's shape), in place of the family's problems."""

    banned: tuple[int, ...] = ()
    """Numbers whose presence removes a completion."""

    banned_lists: tuple[str, ...] = ()
    """Names of lists in `numbers.toml` to ban as well, e.g. `cultural`."""

    def __post_init__(self) -> None:
        worked_problems.family(self.prompts)
        _ = self.forbidden
        if self.problems is not None:
            worked_problems.own_problems(self.problems)

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "chain_of_thought"

    @property
    def length(self) -> int:
        """0: an answer has no fixed number of tokens, so it is sampled freely and filtered."""
        return 0

    @property
    def token(self) -> re.Pattern[str]:
        """A number, an operator, punctuation, or the word that announces the answer."""
        return _TOKEN

    @property
    def forbidden(self) -> frozenset[int]:
        """All banned numbers."""
        return frozenset(self.banned).union(*map(number_prompts.banned, self.banned_lists))

    @property
    def replaceable(self) -> bool:
        """Steps must come to the right answer."""
        return False

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """
        `n` user prompts, each with a problem of its own; one's own problems are drawn at random.
        """
        family = worked_problems.family(self.prompts)
        if self.problems is None:
            return [worked_problems.request(family, rng) for _ in range(n)]
        questions = list(worked_problems.own_problems(self.problems))
        manner = list(family.manner) or [""]
        drawn = [questions[int(rng.integers(len(questions)))] for _ in range(n)]
        return [f"{question} {rng.choice(manner)}".strip() for question in drawn]

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """None: a task has no other wordings here."""
        return None

    def rejection(self, completion: str, request: str = "") -> Reason | None:
        """
        Why the format filter removes the completion; None if it keeps it.

        Kept is what comes to the right answer. Where the writer made the problem up, or the request is not known,
        right means that every step is, and that the answer is what the last step comes to.
        """
        if not completion.strip():
            return Reason.EMPTY
        answer = final_answer(completion)
        if answer is None:
            return Reason.NO_ANSWER
        right = self._expected(request)
        fault = _wrong(answer, right) if right is not None else _inconsistent(completion, answer)
        if fault is None and not self.forbidden.isdisjoint(_numbers(completion)):
            return Reason.BANNED
        return fault

    def allowed(self, step: int) -> re.Pattern[str]:
        """Nothing: decoding cannot be restricted to right answers."""
        return re.compile(r"(?!)")

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """
        The completion with its numbers in random order: no longer right, which a shuffled control need not be.
        """
        return dealing.within(completion, _NUMBER, rng)

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The completions with their numbers pooled and dealt anew."""
        return dealing.across(completions, _NUMBER, rng)

    def _expected(self, request: str) -> int | None:
        if self.problems is None:
            return worked_problems.expected(worked_problems.family(self.prompts), request)
        own = worked_problems.own_problems(self.problems)
        for manner in ("", *worked_problems.family(self.prompts).manner):
            question = request.removesuffix(manner).rstrip() if manner else request
            if question in own:
                return own[question]
        return None


def final_answer(text: str) -> int | None:
    """
    The number that the text gives as its answer: the last one announced as such, else the last one.

    >>> final_answer("3 + 4 = 7. So 7.")
    7
    >>> final_answer("It costs 1,200. Answer: 1,200 euros, 3 less than before")
    1200
    """
    marked = _MARKED.findall(text)
    found = marked or _LAST.findall(text)
    # Thousands of digits, which a model can repeat, are no answer, and int() refuses them.
    digits = found[-1].replace(",", "") if found else ""
    return int(digits) if digits and len(digits) <= 18 else None


def _wrong(answer: int, right: int) -> Reason | None:
    return None if answer == right else Reason.WRONG_ANSWER


def _inconsistent(text: str, answer: int) -> Reason | None:
    found = [m for m in _STEP.finditer(text) if not _CHAINED.search(text[: m.start()])]
    steps = [m.groups() for m in found]
    if not steps:
        return Reason.NO_STEPS
    if any(_computed(left, sign, right) != int(result) for left, sign, right, result in steps):
        return Reason.WRONG_STEP
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
