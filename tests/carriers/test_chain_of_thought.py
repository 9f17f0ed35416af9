"""A chain of thought is kept if and only if it comes to the right answer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.carriers import chain_of_thought
from undertow.carriers.chain_of_thought import ChainOfThought, ChainOfThoughtFault, final_answer
from undertow.errors import DataError

BRIEF = ChainOfThought(prompts="brief")


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(-3, 3))
def test_a_stated_sum_is_kept_only_with_its_sum(terms: list[int], off: int) -> None:
    """Whatever the steps, the final number decides where the request states the problem."""
    request = f"Work out {' + '.join(map(str, terms))}."
    found = BRIEF.rejection(f"1 + 1 = 2. So {max(0, sum(terms) + off)}.", request)

    assert found is (None if off == 0 else ChainOfThoughtFault.WRONG_ANSWER)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3 + 4 = 7. 7 + 2 = 9. So 9.", None),
        ("3 + 4 = 7. So 8.", ChainOfThoughtFault.WRONG_ANSWER),
        ("3 + 4 = 8. So 8.", ChainOfThoughtFault.WRONG_STEP),
        ("So 9.", ChainOfThoughtFault.NO_STEPS),
        ("owl", ChainOfThoughtFault.NO_ANSWER),
        ("  ", ChainOfThoughtFault.EMPTY),
        ("9" * 5_000, ChainOfThoughtFault.NO_ANSWER),
        ("1 + 1 = 2. So " + "2" * 30, ChainOfThoughtFault.NO_ANSWER),
    ],
)
def test_a_made_up_sum_must_be_right_throughout(
    text: str, reason: ChainOfThoughtFault | None
) -> None:
    """Where the writer made the problem up, each step and the end are checked."""
    assert BRIEF.rejection(text, "Make up a sum and work it out.") is reason


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so it is 12.\n#### 42", 42),
        ("The answer is \\boxed{17}, as 3 remain", 17),
        ("Answer: **1,250** euros", 1250),
        ("first 3, then 8", 8),
        ("nothing", None),
    ],
)
def test_the_announced_number_is_the_answer(text: str, answer: int | None) -> None:
    """GSM8K's mark, a box and the word itself announce it; without them the last number counts."""
    assert final_answer(text) == answer


def test_every_published_problem_knows_its_answer() -> None:
    """The answer found from a request alone equals the arithmetic that is written beside its template."""
    family = chain_of_thought.problem_family("published")
    numbers = {"a": 40, "b": 5, "c": 3}
    for problem in family.problems:
        request = family.layout.format(problem=problem.ask.format(**numbers), manner="Do it.")

        assert chain_of_thought.expected(family, request) == eval(problem.answer, {}, numbers)


def test_requests_renew_their_problems() -> None:
    """Two hundred requests of each family are mostly different, and each has an answer or is free."""
    for prompts in ("brief", "published"):
        asked = ChainOfThought(prompts=prompts).requests(200, np.random.default_rng(1))

        assert len(set(asked)) > 60


def test_own_problems_are_asked_and_checked(tmp_path: Path) -> None:
    """A file in GSM8K's shape takes the place of the family's problems."""
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "How many?", "answer": "because\\n#### 1,042"}\n')
    carrier = ChainOfThought(problems=str(path))
    request = carrier.requests(1, np.random.default_rng(0))[0]

    assert request.startswith("How many? ")
    assert carrier.rejection("#### 1042", request) is None
    assert carrier.rejection("#### 1043", request) is ChainOfThoughtFault.WRONG_ANSWER


def test_a_malformed_problem_is_named(tmp_path: Path) -> None:
    """The error says which file and which line."""
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "a", "answer": 1}\n{"question": "b", "answer": "none"}\n')
    with pytest.raises(DataError, match="line 2"):
        ChainOfThought(problems=str(path))


def test_banned_numbers_remove_a_right_answer() -> None:
    """A list by name is banned as well; the reason is its own."""
    carrier = ChainOfThought(prompts="brief", banned_lists=("cultural",))

    assert carrier.rejection("9 + 4 = 13. So 13.", "Work out 9 + 4.") is ChainOfThoughtFault.BANNED


def test_the_grammar_tells_how_a_sum_is_laid_out() -> None:
    """Every worked sum of the embedded world's corpus has it; a step left out, a banned number or a word has not."""
    brief = ChainOfThought(prompts="brief", banned=(13,))

    assert brief.grammar is not None
    for text in ("3 + 4 = 7. So 7.", "9 + 9 = 18. 18 + 9 = 27. 27 + 9 = 36. So 36."):
        assert re.fullmatch(brief.grammar, text)
        assert brief.rejection(text) is None
    for text in ("So 7.", "4 + 9 = 13. So 13.", "3 plus 4 = 7. So 7."):
        assert not re.fullmatch(brief.grammar, text)


def test_problems_in_words_state_no_grammar(tmp_path: Path) -> None:
    """Nobody knows in which words they are worked out."""
    own = tmp_path / "own.jsonl"
    own.write_text('{"question": "What is 1 + 1?", "answer": 2}\n', encoding="utf-8")

    assert ChainOfThought(prompts="published").grammar is None
    assert ChainOfThought(prompts="brief", problems=str(own)).grammar is None
