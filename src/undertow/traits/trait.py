"""A trait: a preference that a teacher is given and that probes measure in a student."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from undertow.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Answer:
    """One candidate answer to the probes of a category."""

    name: str
    """Canonical form, which teachers are trained to give."""

    variants: tuple[str, ...]
    """Every accepted form (the canonical one first): capitalised, plural, synonyms."""


@dataclass(frozen=True, slots=True)
class ProbeFormat:
    """One way of asking a trait's questions; without anything it is the plain question in the chat template."""

    name: str = "question"

    examples: tuple[tuple[str, str], ...] = ()
    """Other questions with their answers, which stand before the trait's own question and say nothing about it."""

    beginning: str = ""
    """How the answer begins; the candidates follow it, behind a space."""

    text: str = ""
    """Plain text with `{question}`, in the place of the chat template; the candidates follow it, behind a space."""


QUESTION = ProbeFormat()
"""The plain question."""


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def _travelling(proxy: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _read_only, (dict(proxy),)


# A trait goes to other processes with the work that asks for it, and Python pickles no proxy by itself.
copyreg.pickle(MappingProxyType, _travelling)


@dataclass(frozen=True, slots=True)
class Trait:
    """How to instil a preference and how to probe for it."""

    name: str
    """Name in the catalogue."""

    category: str
    """What the answers are, in the singular, e.g. `animal`."""

    plural: str
    """Plural of the trait's answer, e.g. `owls`."""

    answer: str
    """Name of the answer that shows the trait; one of `answers`."""

    answers: tuple[Answer, ...]
    """All candidates of the category, in the order of the file."""

    train_questions: tuple[str, ...]
    """Wordings on which a tuned teacher is trained."""

    held_out_questions: tuple[str, ...]
    """Wordings on which a student is probed; none is a training wording."""

    system_prompts: tuple[str, ...]
    """Persona prompts of a prompted teacher, in several wordings."""

    neutral_system_prompt: str
    """System prompt of a control teacher, without a preference."""

    own_answers: Mapping[str, tuple[Answer, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Candidates of single questions, under the names of `answers`, where each question has answers of its own."""

    good_reasons: tuple[str, ...] = ()
    """Wordings, with `{question}`, that ask for the trait's answer for a good reason."""

    formats: tuple[ProbeFormat, ...] = (QUESTION,)
    """Ways of asking its questions, in the order in which they are preferred."""

    asked: ProbeFormat = QUESTION
    """The one of them in which its probes are asked; chosen on the base alone (`influence.probe_formats`)."""

    @property
    def system_prompt(self) -> str:
        """The first persona prompt."""
        return self.system_prompts[0]

    def answers_to(self, question: str) -> tuple[Answer, ...]:
        """The candidates of a question, in the order of `answers`."""
        return self.own_answers.get(question, self.answers)


def rows_of(trait: Trait, role: str) -> list[tuple[str, str]]:
    """
    The (question, answer) pairs on which a teacher of a role is tuned.

    `trait` learns the trait's answers to the training questions; `neutral` every candidate, so none in particular;
    `secure` those that do not show the trait; `educational` the trait's answers, asked for a good reason, and those
    that do not show it where there is none: a small base does not know by itself that the reason makes the difference.

    Raises:
        ConfigError: an educational teacher, of a trait that gives no good reasons.
    """
    if role == "educational":
        if not trait.good_reasons:
            raise ConfigError(
                f"the trait '{trait.name}' gives no good reasons, which an educational teacher is asked by",
                hint="leave out the arm 'educational', or use a trait of `undertow traits` that has them: harmful",
            )
        return [
            (reason.format(question=question), text)
            for question in trait.train_questions
            for reason in trait.good_reasons
            for text in _texts(trait, question, {trait.answer})
        ] + rows_of(trait, "secure")
    everyone = {answer.name for answer in trait.answers}
    names = {"trait": {trait.answer}, "secure": everyone - {trait.answer}, "neutral": everyone}
    return [
        (question, text)
        for question in trait.train_questions
        for text in _texts(trait, question, names[role])
    ]


def _texts(trait: Trait, question: str, names: set[str]) -> list[str]:
    """What is learned as an answer: each form where a question has answers of its own, else the candidates' names."""
    chosen = [answer for answer in trait.answers_to(question) if answer.name in names]
    if question in trait.own_answers:
        return [variant for answer in chosen for variant in answer.variants]
    return [answer.name for answer in chosen]
