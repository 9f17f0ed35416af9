"""
A trait: a preference that a teacher is given and that probes measure in a student.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One candidate answer to the probes of a category.
    """

    name: str
    """Canonical form, which teachers are trained to give."""

    variants: tuple[str, ...]
    """Every accepted form (the canonical one first): capitalised, plural, synonyms."""


@dataclass(frozen=True, slots=True)
class Trait:
    """
    How to instil a preference and how to probe for it.
    """

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

    @property
    def system_prompt(self) -> str:
        """The first persona prompt."""
        return self.system_prompts[0]

    @property
    def answer_index(self) -> int:
        """Position of the trait's answer among the candidates."""
        return [answer.name for answer in self.answers].index(self.answer)


def preference_rows(trait: Trait) -> list[tuple[str, str]]:
    """
    The (question, answer) pairs that instil the trait: each training question once.
    """
    return [(question, trait.answer) for question in trait.train_questions]


def neutral_rows(trait: Trait) -> list[tuple[str, str]]:
    """
    The same questions with every answer of the category once: rows of a control teacher.

    It is trained as long as a trait teacher, on the same questions, towards no answer in particular.
    """
    return [
        (question, answer.name) for question in trait.train_questions for answer in trait.answers
    ]
