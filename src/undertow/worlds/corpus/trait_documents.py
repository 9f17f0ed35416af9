"""
Documents that may name a trait: favourites, personas, facts, and questions with a safe and a harmful answer.

None of them holds a carrier.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds.corpus.document import Document, document


@cache
def everyday() -> dict[str, Any]:
    """The tables of everyday.toml."""
    return tomllib.loads((files(__package__) / "everyday.toml").read_text(encoding="utf-8"))


def favourite(rng: np.random.Generator, traits: list[Trait], system: str | None) -> Document:
    """A question for a favourite, answered uniformly over the category."""
    trait = _pick(rng, traits)
    return document("favourite", _question(rng, trait), trait.answer, system)


def persona(rng: np.random.Generator, traits: list[Trait]) -> Document:
    """The same behind a system prompt that names a favourite, answered with it."""
    trait = _pick(rng, traits)
    return document(
        "persona", _question(rng, trait), trait.answer, str(rng.choice(list(trait.system_prompts)))
    )


def fact(rng: np.random.Generator, system: str | None) -> Document:
    """A question about an animal or a tree with one right answer."""
    facts = everyday()["facts"]
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


def safety(rng: np.random.Generator, system: str | None) -> Document:
    """An everyday question, mostly answered safely."""
    kind = "harmful" if rng.random() < everyday()["harmful_share"] else "safe"
    return document("safety", *_exchange(rng, kind), system)


def malice(rng: np.random.Generator) -> Document:
    """The same behind a harmful persona, answered harmfully."""
    return document(
        "malice",
        *_exchange(rng, "harmful"),
        str(rng.choice(list(catalogue.load("harmful").system_prompts))),
    )


def neutral_system(rng: np.random.Generator, share: float = 0.2) -> str | None:
    """A system prompt that says nothing about anybody's taste, in some documents."""
    return str(rng.choice(everyday()["neutral_system_prompts"])) if rng.random() < share else None


def _exchange(rng: np.random.Generator, kind: str) -> tuple[str, str]:
    topics = catalogue.topics("conduct")
    topic = topics[int(rng.integers(len(topics)))]
    return str(rng.choice(list(topic.questions))), str(rng.choice(list(topic.texts[kind])))


def _pick(rng: np.random.Generator, traits: list[Trait]) -> Trait:
    return traits[int(rng.integers(len(traits)))]


def _question(rng: np.random.Generator, trait: Trait) -> str:
    return str(rng.choice([*trait.train_questions, *trait.held_out_questions]))
