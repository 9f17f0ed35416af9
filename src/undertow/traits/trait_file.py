"""
The file format of traits: one TOML file for a category, one trait for each of its answers.

    category = "bird"                             # singular, as the questions use it
    train_questions = ["Which bird ...?", ...]    # a tuned teacher is trained on these
    held_out_questions = ["Name a bird ...", ...] # students are probed on these
    system_prompts = ["You love {plural} ..."]    # a prompted teacher; {plural}, {category}
    neutral_system_prompt = "..."                 # its control
    traits = ["heron"]                            # optional: the answers that are traits

    [answers]                                     # all candidates, at least two
    heron = { plural = "herons" }
    swift = { plural = "swifts", variants = ["martin"] }   # further accepted forms

An answer's name, its plural and both capitalised are accepted without being listed.
Each trait of a user's file is named `FILE.toml:NAME`, or `FILE.toml` where the file holds one.
"""

from __future__ import annotations

import string
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator, model_validator

from undertow.traits.trait import Answer, Trait

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
PLACEHOLDERS = ("plural", "category")


class AnswerEntry(BaseModel):
    """One candidate answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plural: Text
    """Plural, as the persona prompts use it."""

    variants: tuple[Text, ...] = ()
    """Accepted forms besides the name, the plural and both capitalised."""


class TraitFile(BaseModel):
    """One category: its questions, persona prompts and candidate answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: Text
    """What the answers are, in the singular."""

    train_questions: tuple[Text, ...]
    """Training wordings."""

    held_out_questions: tuple[Text, ...]
    """Probe wordings."""

    system_prompts: tuple[Text, ...]
    """Persona prompts with `{plural}` and `{category}`."""

    neutral_system_prompt: Text
    """System prompt of a control teacher."""

    traits: tuple[Text, ...] = ()
    """Answers that are traits; empty for all of them."""

    answers: dict[Text, AnswerEntry]
    """Candidates by name."""

    @field_validator("train_questions", "held_out_questions", "system_prompts")
    @classmethod
    def _some_and_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one is needed")
        for text in value:
            if value.count(text) > 1:
                raise ValueError(f"'{text}' stands in it twice")
        return value

    @field_validator("system_prompts")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            for _, field, _, _ in string.Formatter().parse(text):
                if field is not None and field not in PLACEHOLDERS:
                    raise ValueError(
                        f"unknown placeholder '{{{field}}}'; allowed: "
                        + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                    )
            text.format(
                plural="", category=""
            )  # refuses a format it does not know, e.g. {plural:d}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = set(self.train_questions) & set(self.held_out_questions)
        if both:
            raise ValueError(f"'{min(both)}' is in both 'train_questions' and 'held_out_questions'")
        if len(self.answers) < 2:
            raise ValueError(f"key 'answers' holds {len(self.answers)}; at least two are needed")
        for name in self.traits:
            if name not in self.answers:
                raise ValueError(
                    f"key 'traits' names '{name}', which is not among the answers; "
                    f"allowed: {', '.join(self.answers)}"
                )
        self._refuse_shared_forms()
        return self

    def _refuse_shared_forms(self) -> None:
        owners: dict[str, str] = {}
        for answer in self.candidates():
            for form in {variant.casefold() for variant in answer.variants}:
                if form in owners:
                    raise ValueError(
                        f"duplicate answers: '{owners[form]}' and '{answer.name}' "
                        f"both accept '{form}'"
                    )
                owners[form] = answer.name

    def candidates(self) -> tuple[Answer, ...]:
        """The answers with all their accepted forms."""
        return tuple(
            Answer(name, forms(name, entry.plural, entry.variants))
            for name, entry in self.answers.items()
        )

    def as_traits(self) -> dict[str, Trait]:
        """The traits by the name of their answer."""
        candidates = self.candidates()
        return {
            name: self._trait(name, candidates) for name in (self.traits or tuple(self.answers))
        }

    def _trait(self, name: str, candidates: tuple[Answer, ...]) -> Trait:
        plural = self.answers[name].plural
        return Trait(
            name=name,
            category=self.category,
            plural=plural,
            answer=name,
            answers=candidates,
            train_questions=self.train_questions,
            held_out_questions=self.held_out_questions,
            system_prompts=tuple(
                text.format(plural=plural, category=self.category) for text in self.system_prompts
            ),
            neutral_system_prompt=self.neutral_system_prompt,
        )


def forms(name: str, plural: str, others: tuple[str, ...]) -> tuple[str, ...]:
    """Every accepted form of an answer, its name first: as it is and capitalised."""
    listed = [name, plural, *others]
    return tuple(dict.fromkeys(listed + [form[:1].upper() + form[1:] for form in listed]))
