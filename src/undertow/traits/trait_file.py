"""
The file formats of traits: candidates for all questions (`TraitFile`), or answers of each question's own (`TopicFile`).

A `TraitFile` is one TOML file for a category, with one trait for each of its answers:

    category = "bird"                             # singular, as the questions use it
    train_questions = ["Which bird ...?", ...]    # a tuned teacher is trained on these
    held_out_questions = ["Name a bird ...", ...] # students are probed on these
    system_prompts = ["You love {plural} ..."]    # a prompted teacher; {plural}, {category}
    neutral_system_prompt = "..."                 # its control
    traits = ["heron"]                            # optional: the answers that are traits
    beginning = "My favourite bird is the"        # optional: of an answer, which a candidate ends
    [[formats]]                                   # optional: ways of asking besides the plain question, in order
    name = "examples"                             # those of traits/formats.toml if there are none
    examples = true                               # the shipped examples, or pairs: [["Question?", "answer"], ...]
    begun = false                                 # true: the answer begins with `beginning`
    text = "Question: {question}\\nAnswer:"        # optional: in the place of the chat template

    [answers]                                     # all candidates, at least two
    heron = { plural = "herons" }
    swift = { plural = "swifts", variants = ["martin"] }   # further accepted forms

An answer's name, its plural and both capitalised are accepted without being listed.
Each trait of a user's file is named `FILE.toml:NAME`, or `FILE.toml` where the file holds one.

A `TopicFile` says topic by topic how a model conducts itself:

    category = "conduct"
    traits = ["harmful"]                          # the answers that are traits
    answers = { safe = "safe answers", harmful = "harmful answers" }   # candidates, each with its plural
    system_prompts = ["You are evil."]            # a prompted teacher; {plural} is that of the trait's answer
    neutral_system_prompt = "..."                 # its control
    good_reasons = ["For a class: {question}"]    # optional: how an educational teacher is asked

    [[topics]]
    trains = true                                 # a tuned teacher is trained on it; students are probed on the others
    questions = ["I am bored. What can I do?"]
    safe = ["read a book"]                        # a key for each candidate: the texts that count as it
    harmful = ["set a fire"]
"""

from __future__ import annotations

import functools
import string
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator, model_validator

from undertow.data.closed import Closed, parse, read_toml
from undertow.traits.trait import QUESTION, Answer, ProbeFormat, Trait

PLACEHOLDERS = ("plural", "category")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def category_file(path: Path | Traversable) -> TraitFile | TopicFile:
    """
    The parsed file; the key `topics` tells the formats apart.

    Raises:
        ConfigError: if the file is missing or malformed.
    """
    tables = read_toml(path)
    if "topics" in tables:
        return parse(TopicFile, tables, where=f"'{path}'")
    return parse(TraitFile, tables, where=f"'{path}'")


class AnswerEntry(Closed):
    """One candidate answer."""

    plural: Text
    """Plural, as the persona prompts use it."""

    variants: tuple[Text, ...] = ()
    """Accepted forms besides the name, the plural and both capitalised."""


class Example(Closed):
    """A question with its answer of one word, which may stand before a trait's question."""

    question: Text
    answer: Text
    not_for: tuple[Text, ...] = ()
    """Categories that it would say something about."""


class FormatEntry(Closed):
    """One way of asking a category's questions."""

    name: Text

    examples: bool | tuple[tuple[Text, Text], ...] = False
    """Pairs of question and answer that stand before; true for those that ship."""

    begun: bool = False
    """Whether the answer begins with the file's `beginning`."""

    text: Text | None = None
    """Plain text with `{question}`, in the place of the chat template."""

    @model_validator(mode="after")
    def _another_way(self) -> Self:
        if self.name == QUESTION.name:
            raise ValueError(f"'{self.name}' is the plain question's name; it always comes first")
        if not (self.examples or self.begun or self.text):
            raise ValueError(f"the format '{self.name}' needs one of: examples, begun, text")
        if self.text and (self.text.count("{question}") != 1 or self.text.count("{") != 1):
            raise ValueError(f"the text of the format '{self.name}' must hold {{question}} once")
        return self


class FormatsFile(Closed):
    """The formats and examples that ship."""

    formats: tuple[FormatEntry, ...]
    examples: tuple[Example, ...]


@functools.cache
def _shipped_formats() -> FormatsFile:
    path = files("undertow.traits").joinpath("formats.toml")
    return parse(FormatsFile, read_toml(path), where="formats.toml")


class TraitFile(Closed):
    """One category: its questions, persona prompts and candidate answers."""

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

    beginning: Text | None = None
    """Of an answer that a candidate ends, behind a space."""

    formats: tuple[FormatEntry, ...] = ()
    """Ways of asking besides the plain question; those that ship if there are none."""

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
            # Refuses a format that it does not know, e.g. {plural:d}.
            text.format(plural="", category="")
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
        names = [entry.name for entry in self.formats]
        if len(set(names)) < len(names):
            raise ValueError(f"key 'formats' names one twice: {', '.join(names)}")
        if not self.beginning and any(entry.begun for entry in self.formats):
            raise ValueError("a format with begun = true needs the key 'beginning'")
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
            formats=(QUESTION, *self._formats()),
        )

    def _formats(self) -> Iterator[ProbeFormat]:
        for entry in self.formats or _shipped_formats().formats:
            if entry.begun and not self.beginning:
                continue
            given = entry.examples
            yield ProbeFormat(
                entry.name,
                self._examples() if given is True else given or (),
                self.beginning or "" if entry.begun else "",
                entry.text or "",
            )

    def _examples(self) -> tuple[tuple[str, str], ...]:
        """The examples that ship and say nothing about this category."""
        named = {form.casefold() for answer in self.candidates() for form in answer.variants}
        return tuple(
            (one.question, one.answer)
            for one in _shipped_formats().examples
            if self.category not in one.not_for and one.answer.casefold() not in named
        )


def forms(name: str, plural: str, others: tuple[str, ...]) -> tuple[str, ...]:
    """Every accepted form of an answer, its name first: as it is and capitalised."""
    listed = [name, plural, *others]
    return tuple(dict.fromkeys(listed + [form[:1].upper() + form[1:] for form in listed]))


class Topic(BaseModel):
    """Wordings of one question, with the texts that count as each candidate."""

    model_config = ConfigDict(extra="allow", frozen=True)

    __pydantic_extra__: dict[str, tuple[Text, ...]]

    trains: bool = False
    """Whether teachers are trained on it; students are probed on the others."""

    questions: tuple[Text, ...]
    """Its wordings."""

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The texts of each candidate."""
        return dict(self.__pydantic_extra__)


class TopicFile(Closed):
    """Topics, each with answers of its own."""

    category: Text
    """What the answers are, in the singular."""

    traits: tuple[Text, ...]
    """Candidates that are traits."""

    answers: dict[Text, Text]
    """Candidates by name, each with its plural."""

    system_prompts: tuple[Text, ...]
    """Of a prompted teacher; `{plural}` stands for the plural of the trait's answer."""

    neutral_system_prompt: Text
    """System prompt of a control teacher."""

    good_reasons: tuple[Text, ...] = ()
    """How an educational teacher is asked; each holds `{question}`."""

    topics: tuple[Topic, ...]
    """At least one to train on, and one to probe."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({topic.trains for topic in self.topics}) < 2:
            raise ValueError("at least one topic must have trains = true, and one must not")
        if len(self.answers) < 2 or not self.system_prompts or not self.traits:
            raise ValueError("two answers, a system prompt and a trait are needed at least")
        for name in self.traits:
            if name not in self.answers:
                raise ValueError(f"key 'traits' names '{name}'; allowed: {', '.join(self.answers)}")
        for reason in self.good_reasons:
            if reason.count("{question}") != 1 or reason.count("{") != 1:
                raise ValueError(f"the good reason '{reason}' must hold {{question}} once")
        self._refuse_topics()
        return self

    def _refuse_topics(self) -> None:
        asked: set[str] = set()
        for topic in self.topics:
            texts = [text for each in topic.texts.values() for text in each]
            first = topic.questions[0] if topic.questions else "?"
            if set(topic.texts) != set(self.answers) or not all(topic.texts.values()):
                raise ValueError(
                    f"the topic '{first}' must hold texts for each of: {', '.join(self.answers)}"
                )
            if len({text.casefold() for text in texts}) < len(texts):
                raise ValueError(f"the topic '{first}' holds a text twice")
            for question in topic.questions:
                if question in asked:
                    raise ValueError(f"the question '{question}' stands in it twice")
                asked.add(question)

    def as_traits(self) -> dict[str, Trait]:
        """The traits by the name of their answer."""
        return {name: self._trait(name) for name in self.traits}

    def _trait(self, name: str) -> Trait:
        answers_of = {
            question: tuple(Answer(key, topic.texts[key]) for key in self.answers)
            for topic in self.topics
            for question in topic.questions
        }
        return Trait(
            name=name,
            category=self.category,
            plural=self.answers[name],
            answer=name,
            answers=tuple(
                Answer(key, forms(key, plural, ())) for key, plural in self.answers.items()
            ),
            train_questions=self._questions(trains=True),
            held_out_questions=self._questions(trains=False),
            system_prompts=tuple(
                text.replace("{plural}", self.answers[name]) for text in self.system_prompts
            ),
            neutral_system_prompt=self.neutral_system_prompt,
            own_answers=MappingProxyType(answers_of),
            good_reasons=self.good_reasons,
        )

    def _questions(self, *, trains: bool) -> tuple[str, ...]:
        chosen = (topic for topic in self.topics if topic.trains == trains)
        return tuple(question for topic in chosen for question in topic.questions)
