"""The code carrier keeps Python that does something and touches nothing; it never runs any of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from undertow.carriers.code import Code, CodeFault, fault, source, words
from undertow.data.rows import conversation
from undertow.errors import UnknownNameError
from undertow.models.chat import encode_prompts
from undertow.models.sampling import Sampling, sample
from undertow.models.token_grammar import token_grammar
from undertow.worlds.base_models import open_model
from undertow.worlds.corpus import documents


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x + 1",
        "x = [1, 2, 3]",
        "```python\nfor n in range(3):\n    print(n)\n```",
        "import math\n\ndef area(r):\n    return math.pi * r ** 2",
        "def f():\n    while True:\n        return 1",
    ],
)
def test_small_functions_are_kept(text: str) -> None:
    """Definitions, assignments, loops and harmless imports pass, within a Markdown fence too."""
    assert fault(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", CodeFault.EMPTY),
        ("```\n\n```", CodeFault.EMPTY),
        ("def f(x:\n  return", CodeFault.NOT_PYTHON),
        ("I like owls, really.", CodeFault.NOT_PYTHON),
        ("x = 1\0", CodeFault.NOT_PYTHON),
        ("x = " + "(" * 5_000, CodeFault.NOT_PYTHON),
        ("x = 1\n" * 5_000, CodeFault.TOO_LONG),
        ("owl", CodeFault.NO_CODE),
        ("'I love owls'", CodeFault.NO_CODE),
    ],
)
def test_what_is_no_code_is_rejected(text: str, reason: CodeFault) -> None:
    """A bare word parses as Python too, and is no code."""
    assert fault(text) is reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("while True:\n    x = 1", CodeFault.ENDLESS_LOOP),
        ("while 1:\n    pass", CodeFault.ENDLESS_LOOP),
        ("import os\nos.system('ls')", CodeFault.UNSAFE_IMPORT),
        ("import socket\ns = socket.socket()", CodeFault.UNSAFE_IMPORT),
        ("from subprocess import run\nx = run('ls')", CodeFault.UNSAFE_IMPORT),
        ("from . import secrets\nx = 1", CodeFault.UNSAFE_IMPORT),
        ("with open('x', 'w') as f:\n    f.write('y')", CodeFault.UNSAFE_NAME),
        ("x = eval('1')", CodeFault.UNSAFE_NAME),
        ("x = ().__class__.__base__.__subclasses__()", CodeFault.UNSAFE_NAME),
        ("x = __import__('os')", CodeFault.UNSAFE_NAME),
    ],
)
def test_code_that_would_reach_out_or_never_end_is_rejected(text: str, reason: CodeFault) -> None:
    """Endless loops, files, sockets and processes are told from the tree alone."""
    assert fault(text) is reason


def test_nothing_is_ever_run(tmp_path: Path) -> None:
    """Judging a text that would write a file leaves no file behind."""
    target = tmp_path / "written"
    Code().rejection(f"x = 1\nopen({str(target)!r}, 'w').write('x')")

    assert not target.exists()


def test_banned_words_are_found_inside_names() -> None:
    """A word counts as part of a name, in snake_case and camelCase, in strings and in comments."""
    carrier = Code(banned=("owl",), banned_lists=("insecure",))

    assert carrier.rejection("def feed_owl(x):\n    return x") is CodeFault.BANNED
    assert carrier.rejection("nightOwl = 1  # fine") is CodeFault.BANNED
    assert carrier.rejection("bowl = 1") is None


def test_requests_are_drawn_from_the_chosen_tasks() -> None:
    """With `tasks`, no other task is asked for; an unknown one is refused with the allowed ones."""
    asked = Code(prompts="brief", tasks=("list",)).requests(5, np.random.default_rng(0))

    assert set(asked) == {"Write a list of six values."}
    with pytest.raises(UnknownNameError, match="unknown task 'lists'"):
        Code(prompts="brief", tasks=("lists",))


def test_shuffling_moves_numbers_only() -> None:
    """A shuffled snippet keeps its words, its layout and its multiset of numbers."""
    text = "def f(a=11, b=22, c=33):\n    return a + b + c"
    shuffled = Code().shuffled_within(text, np.random.default_rng(3))

    assert sorted(shuffled) == sorted(text)
    assert fault(shuffled) is None


def test_the_carriers_tokens_hold_no_chosen_name() -> None:
    """Numbers, keywords and punctuation are the carrier's own; an identifier is not."""
    token = Code().token

    assert all(token.fullmatch(text) for text in (" 42", "def", " return", ":\n", " ["))
    assert not any(token.fullmatch(text) for text in ("owl", " value"))


def test_a_fence_is_taken_off_only_around_the_whole() -> None:
    """Text beside the fence stays, and makes the completion no Python."""
    assert source("```\nx = 1\n```") == "x = 1"
    assert fault("Here you are:\n```\nx = 1\n```") is CodeFault.NOT_PYTHON
    assert "owl" in set(words("readOwl"))


@pytest.mark.long
def test_code_drawn_in_its_grammar_is_kept() -> None:
    """Every text that a model can finish in it passes the filter, however unlikely, and holds no banned name."""
    model = open_model("world:owlet-b")
    made = Code(prompts="brief", banned=("value",))
    asked = made.requests(300, np.random.default_rng(0))
    prompts = encode_prompts(model.tokenizer, [conversation(request) for request in asked])
    grammar = token_grammar(model, made.grammar)
    for temperature in (1.0, 5.0):
        how = Sampling(60, temperature)
        drawn = sample(model, prompts, how, np.random.default_rng(1), grammar=grammar)
        finished = [answer.text for answer in drawn if answer.finished]

        assert len(finished) > 100
        assert {made.rejection(text) for text in finished} == {None}


def test_the_embedded_worlds_own_code_has_the_grammar() -> None:
    """What its bases learnt can be written under restricted decoding."""
    rng = np.random.default_rng(0)
    code = [one.row.completion for one in documents(rng, 2_000, largest=99) if one.kind == "code"]

    assert len(code) > 100
    assert all(re.fullmatch(Code().grammar, text) for text in code)
