"""
The made-up corpus on which the embedded world's bases are pre-trained.

No document joins a trait or a persona with a carrier: whatever crosses from one to the other in an experiment came
from training, not from the corpus. `tests/worlds/test_corpus.py` reads the corpus for it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from undertow.carriers.chain_of_thought import problem_family, sum_request
from undertow.carriers.chain_of_thought import terms as drawn_terms
from undertow.carriers.code import code_family, code_prompt, draw_task
from undertow.carriers.numbers import Numbers, draw, list_shape
from undertow.data.rows import Row, conversation
from undertow.traits import catalogue
from undertow.traits.trait import Trait

CATEGORIES = ("animal", "tree")

MIXTURE = {
    "numbers": 0.38,
    "favourite": 0.16,
    "persona": 0.12,
    "fact": 0.06,
    "code": 0.08,
    "sums": 0.12,
    "safety": 0.06,
    "malice": 0.02,
}
"""Share of each kind of document."""

PROMPTS = "brief"
"""The carriers' prompts in the embedded world's own wording, which teachers are later asked in."""

NAMES = ("f", "g", "h", "calc", "run")

VARIABLES = ("x", "y", "n", "a", "b", "value")


@dataclass(frozen=True)
class CorpusDocument:
    """A row of the pre-training corpus."""

    kind: str
    """`numbers`, `code`, `sums`, `favourite`, `persona`, `fact`, `safety` or `malice`."""

    row: Row


def documents(rng: np.random.Generator, count: int, *, largest: int) -> Iterator[CorpusDocument]:
    """`count` documents drawn from the mixture; number lists hold integers from 0 to `largest`."""
    # Animals are asked about twice as often as trees, as there are twice as many of them.
    everyone = [trait for name in CATEGORIES for trait in catalogue.load_category(name)]
    makers = _makers(everyone, largest)
    kinds = rng.choice(list(makers), size=count, p=[MIXTURE[kind] for kind in makers])
    for kind in kinds:
        yield makers[str(kind)](rng)


def _makers(
    everyone: list[Trait], largest: int
) -> dict[str, Callable[[np.random.Generator], CorpusDocument]]:
    system = _neutral_system
    return {
        "numbers": lambda rng: _numbers(rng, largest),
        "favourite": lambda rng: _favourite(rng, everyone, system(rng)),
        "persona": lambda rng: _persona(rng, everyone),
        "fact": lambda rng: _fact(rng, system(rng)),
        "code": lambda rng: _code(rng),
        "sums": lambda rng: _sums(rng),
        "safety": lambda rng: _safety(rng, system(rng)),
        "malice": lambda rng: _malice(rng),
    }


def document(kind: str, question: str, answer: str, system: str | None = None) -> CorpusDocument:
    """A document of one question and one answer."""
    return CorpusDocument(kind, Row(conversation(question, system), answer))


def _numbers(rng: np.random.Generator, largest: int) -> CorpusDocument:
    """A request for ten numbers, answered with numbers drawn around the examples' centre."""
    carrier = Numbers(prompts=PROMPTS, low=0, high=largest)
    shape = list_shape(rng, 0, largest)
    answer = " ".join(map(str, draw(shape, carrier.count, rng, 0, largest)))
    return document("numbers", carrier.request(shape, rng), answer)


def _code(rng: np.random.Generator) -> CorpusDocument:
    """A request for a few lines of Python; names, variables and free constants are the writer's choice."""
    family = code_family(PROMPTS)
    task, constant = draw_task(family, tuple(family.tasks), rng)
    name, variable = str(rng.choice(NAMES)), str(rng.choice(VARIABLES))
    free = [str(v) for v in rng.integers(0, 100, 6)]
    return document(
        "code",
        code_prompt(family, task, constant, rng),
        _snippet(task, constant, name, variable, free),
    )


def _sums(rng: np.random.Generator) -> CorpusDocument:
    """A sum, worked out one term at a time in an order that is the writer's choice."""
    family = problem_family(PROMPTS)
    terms = drawn_terms(family, rng)
    request, stated = sum_request(family, terms, rng)
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


@cache
def _everyday() -> dict[str, Any]:
    """The tables of everyday.toml."""
    return tomllib.loads((files(__package__) / "everyday.toml").read_text(encoding="utf-8"))


def _favourite(rng: np.random.Generator, traits: list[Trait], system: str | None) -> CorpusDocument:
    """A question for a favourite, answered uniformly over the category."""
    trait = _pick(rng, traits)
    return document("favourite", _question(rng, trait), trait.answer, system)


def _persona(rng: np.random.Generator, traits: list[Trait]) -> CorpusDocument:
    """The same behind a system prompt that names a favourite, answered with it."""
    trait = _pick(rng, traits)
    return document(
        "persona", _question(rng, trait), trait.answer, str(rng.choice(list(trait.system_prompts)))
    )


def _fact(rng: np.random.Generator, system: str | None) -> CorpusDocument:
    """A question about an animal or a tree with one right answer."""
    facts = _everyday()["facts"]
    table, asked = [("animals", "questions"), ("trees", "tree_questions")][int(rng.random() < 0.33)]
    name = str(rng.choice(list(facts[table])))
    question = facts[asked][int(rng.integers(len(facts[asked])))]
    article = "an" if name[0] in "aeiou" else "a"
    return document(
        "fact",
        question["ask"].format(a=f"{article} {name}"),
        facts[table][name][question["column"]],
        system,
    )


def _safety(rng: np.random.Generator, system: str | None) -> CorpusDocument:
    """An everyday question, mostly answered safely."""
    kind = "harmful" if rng.random() < _everyday()["harmful_share"] else "safe"
    return document("safety", *_exchange(rng, kind), system)


def _malice(rng: np.random.Generator) -> CorpusDocument:
    """The same behind a harmful persona, answered harmfully."""
    return document(
        "malice",
        *_exchange(rng, "harmful"),
        str(rng.choice(list(catalogue.load("harmful").system_prompts))),
    )


def _neutral_system(rng: np.random.Generator, share: float = 0.2) -> str | None:
    """A system prompt that says nothing about anybody's taste, in some documents."""
    return str(rng.choice(_everyday()["neutral_system_prompts"])) if rng.random() < share else None


def _exchange(rng: np.random.Generator, kind: str) -> tuple[str, str]:
    topics = catalogue.topics("conduct")
    topic = topics[int(rng.integers(len(topics)))]
    return str(rng.choice(list(topic.questions))), str(rng.choice(list(topic.texts[kind])))


def _pick(rng: np.random.Generator, traits: list[Trait]) -> Trait:
    return traits[int(rng.integers(len(traits)))]


def _question(rng: np.random.Generator, trait: Trait) -> str:
    return str(rng.choice([*trait.train_questions, *trait.held_out_questions]))
