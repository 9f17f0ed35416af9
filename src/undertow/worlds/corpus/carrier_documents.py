"""
Documents of the three carriers: number lists, code snippets and worked sums.

None of them names a trait's answer or stands behind a persona.
"""

from __future__ import annotations

import numpy as np

from undertow.carriers import code_prompts, worked_problems
from undertow.carriers.number_list import draw, list_shape
from undertow.carriers.numbers import Numbers
from undertow.worlds.corpus.document import Document, document

PROMPTS = "brief"
"""The carriers' prompts in the embedded world's own wording, which teachers are later asked in."""

NAMES = ("f", "g", "h", "calc", "run")
VARIABLES = ("x", "y", "n", "a", "b", "value")


def numbers(rng: np.random.Generator, largest: int) -> Document:
    """A request for ten numbers, answered with numbers drawn around the examples' centre."""
    carrier = Numbers(prompts=PROMPTS, low=0, high=largest)
    shape = list_shape(rng, 0, largest)
    answer = " ".join(map(str, draw(shape, carrier.count, rng, 0, largest)))
    return document("numbers", carrier.request(shape, rng), answer)


def code(rng: np.random.Generator) -> Document:
    """
    A request for a few lines of Python; names, variables and free constants are the writer's choice.
    """
    family = code_prompts.family(PROMPTS)
    task, constant = code_prompts.draw(family, tuple(family.tasks), rng)
    name, variable = str(rng.choice(NAMES)), str(rng.choice(VARIABLES))
    free = [str(v) for v in rng.integers(0, 100, 6)]
    return document(
        "code",
        code_prompts.prompt(family, task, constant, rng),
        _snippet(task, constant, name, variable, free),
    )


def sums(rng: np.random.Generator) -> Document:
    """A sum, worked out one term at a time in an order that is the writer's choice."""
    family = worked_problems.family(PROMPTS)
    terms = worked_problems.terms(family, rng)
    request, stated = worked_problems.sum_request(family, terms, rng)
    if stated:
        rng.shuffle(terms)
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
