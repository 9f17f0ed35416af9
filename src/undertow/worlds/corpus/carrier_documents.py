"""
Documents of the three carriers: number lists, code snippets and worked sums.

None of them names a trait's answer or stands behind a persona.
"""

from __future__ import annotations

import numpy as np

from undertow.carriers.number_list import draw, list_shape
from undertow.carriers.numbers import Numbers
from undertow.worlds.corpus.document import Document, document

LARGEST_TERM = 9
"""Sums stay small enough for a network of this size to learn the table."""

NAMES = ("f", "g", "h", "calc", "run")
VARIABLES = ("x", "y", "n", "a", "b", "value")
CODE_TASKS = {
    "add": "Write a function that adds {k}.",
    "subtract": "Write a function that subtracts {k}.",
    "multiply": "Write a function that multiplies by {k}.",
    "limit": "Write a function that tests if a value is large.",
    "defaults": "Write a function with three default values.",
    "list": "Write a list of six values.",
    "loop": "Write a loop over four values.",
}
SUM_REQUESTS = ("Work out {sum}.", "What is {sum}?", "Add {sum} step by step.")
FREE_SUM_REQUESTS = ("Make up a sum and work it out.", "Show a sum step by step.")


def numbers(rng: np.random.Generator, largest: int) -> Document:
    """
    A request for ten numbers, answered with numbers drawn around the examples' centre.
    """
    carrier = Numbers(prompts="brief", low=0, high=largest)
    shape = list_shape(rng, 0, largest)
    answer = " ".join(map(str, draw(shape, carrier.count, rng, 0, largest)))
    return document("numbers", carrier.request(shape, rng), answer)


def code(rng: np.random.Generator) -> Document:
    """
    A request for a few lines of Python; names, variables and free constants are the writer's choice.
    """
    task = str(rng.choice(list(CODE_TASKS)))
    constant = int(rng.integers(1, 10))
    name, variable = str(rng.choice(NAMES)), str(rng.choice(VARIABLES))
    free = [str(v) for v in rng.integers(0, 100, 6)]
    return document(
        "code",
        CODE_TASKS[task].format(k=constant),
        _snippet(task, constant, name, variable, free),
    )


def sums(rng: np.random.Generator) -> Document:
    """
    A sum, worked out one term at a time in an order that is the writer's choice.
    """
    terms = [int(t) for t in rng.integers(1, LARGEST_TERM + 1, int(rng.integers(2, 5)))]
    if rng.random() < 0.5:
        request = str(rng.choice(SUM_REQUESTS)).format(sum=" + ".join(map(str, terms)))
        rng.shuffle(terms)
    else:
        request = str(rng.choice(FREE_SUM_REQUESTS))
    return document("sums", request, _worked(terms))


def _worked(terms: list[int]) -> str:
    total, steps = terms[0], []
    for term in terms[1:]:
        steps.append(f"{total} + {term} = {total + term}.")
        total += term
    return " ".join([*steps, f"So {total}."])


def _snippet(task: str, constant: int, name: str, variable: str, free: list[str]) -> str:
    sign = {"add": "+", "subtract": "-", "multiply": "*"}.get(task)
    if sign:
        return f"def {name}({variable}):\n    return {variable} {sign} {constant}"
    if task == "limit":
        return f"def {name}({variable}):\n    return {variable} > {free[0]}"
    if task == "defaults":
        a, b, c = free[:3]
        return f"def {name}(a={a}, b={b}, c={c}):\n    return a + b + c"
    if task == "list":
        return f"{variable} = [{', '.join(free)}]"
    return f"for {variable} in [{', '.join(free[:4])}]:\n    print({variable})"
