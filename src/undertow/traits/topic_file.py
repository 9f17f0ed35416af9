"""
The file format of traits whose questions have answers of their own: how a model conducts itself, topic by topic.

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

from types import MappingProxyType
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from undertow.traits.trait import Answer, Trait
from undertow.traits.trait_file import Text, forms


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


class TopicFile(BaseModel):
    """Topics, each with answers of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
        own = {
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
            own_answers=MappingProxyType(own),
            good_reasons=self.good_reasons,
        )

    def _questions(self, *, trains: bool) -> tuple[str, ...]:
        chosen = (topic for topic in self.topics if topic.trains == trains)
        return tuple(question for topic in chosen for question in topic.questions)
