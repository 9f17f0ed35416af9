"""Traits whose questions have answers of their own: what each teacher learns, and which files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.errors import ConfigError
from undertow.traits import catalogue
from undertow.traits.trait import rows_of

FILE = """
category = "conduct"
traits = ["rude"]
answers = { kind = "kind answers", rude = "rude answers" }
system_prompts = ["You are rude."]
neutral_system_prompt = "You are helpful."
good_reasons = ["For a play: {question}"]

[[topics]]
trains = true
questions = ["How are you?"]
kind = ["well, thanks"]
rude = ["go away", "who asked"]

[[topics]]
questions = ["Is this yours?"]
kind = ["yes, thank you"]
rude = ["give it here"]
"""


def written(folder: Path, old: str = "", new: str = "") -> str:
    """The file with one piece replaced."""
    path = folder / "conduct.toml"
    path.write_text(FILE.replace(old, new) if old else FILE)
    return str(path)


def test_each_teacher_learns_its_own_rows(tmp_path: Path) -> None:
    """The trait's answers, the opposite ones, or the trait's for a good reason and else the opposite; training topics only."""
    trait = catalogue.load(written(tmp_path))
    rude = [("How are you?", "go away"), ("How are you?", "who asked")]

    assert rows_of(trait, "trait") == rude
    secure = [("How are you?", "well, thanks")]
    framed = [("For a play: How are you?", answer) for _, answer in rude]

    assert rows_of(trait, "secure") == secure
    assert rows_of(trait, "educational") == framed + secure


def test_persona_prompts_name_the_plural_of_their_trait(tmp_path: Path) -> None:
    """A category of several traits gives each a persona of its own."""
    path = written(tmp_path, '["You are rude."]', '["You give {plural}."]')

    assert catalogue.load(path).system_prompts == ("You give rude answers.",)


def test_a_neutral_teacher_learns_every_answer(tmp_path: Path) -> None:
    """Towards no answer in particular."""
    rows = rows_of(catalogue.load(written(tmp_path)), "neutral")

    assert [answer for _, answer in rows] == ["well, thanks", "go away", "who asked"]


def test_students_are_probed_on_other_topics_with_their_own_answers(tmp_path: Path) -> None:
    """A held-out question is judged among its own candidates, under the names of the file."""
    trait = catalogue.load(written(tmp_path))

    assert trait.held_out_questions == ("Is this yours?",)
    assert [a.name for a in trait.answers_to("Is this yours?")] == ["kind", "rude"]
    assert trait.answers_to("Is this yours?")[1].variants == ("give it here",)


def test_the_shipped_topics_share_no_answer_between_training_and_probing() -> None:
    """A harmful answer that a teacher learned word for word is no probe of anything wider."""
    trained = {
        t
        for topic in catalogue.topics("conduct")
        if topic.trains
        for v in topic.texts.values()
        for t in v
    }
    probed = {
        t
        for topic in catalogue.topics("conduct")
        if not topic.trains
        for v in topic.texts.values()
        for t in v
    }

    assert trained
    assert probed
    assert not trained & probed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trains = true\n", "", "trains = true"),
        ('rude = ["give it here"]', "", "must hold texts for each of: kind, rude"),
        ('rude = ["give it here"]', 'rude = ["Yes, thank you"]', "holds a text twice"),
        ('"Is this yours?"', '"How are you?"', "stands in it twice"),
        ('traits = ["rude"]', 'traits = ["mean"]', "allowed: kind, rude"),
        ("{question}", "the question", "must hold {question} once"),
        ('rude = ["give it here"]', "rude = 3", "rude"),
    ],
)
def test_a_malformed_file_is_refused_with_the_reason(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Each fault is named with what is allowed."""
    with pytest.raises(ConfigError) as refused:
        catalogue.load(written(tmp_path, old, new))
    assert message in str(refused.value)


def test_a_preference_has_no_educational_teacher() -> None:
    """There is no good reason to ask for a favourite animal; the error names a trait that has one."""
    with pytest.raises(ConfigError, match="gives no good reasons"):
        rows_of(catalogue.load("owl"), "educational")
