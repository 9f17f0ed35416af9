"""Formats of a trait's file: those that ship, those of its own, and which files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.errors import ConfigError
from undertow.traits import catalogue

FILE = """
category = "bird"
train_questions = ["Which bird do you like?"]
held_out_questions = ["Name a bird."]
system_prompts = ["You love {plural}."]
neutral_system_prompt = "Answer."
# here
[answers]
heron = { plural = "herons" }
Blue = { plural = "blues" }
"""


def formats_of(folder: Path, more: str = "", answer: str = "Blue") -> dict[str, object]:
    """The formats of the file's first trait with more keys in it, by name."""
    path = folder / "bird.toml"
    path.write_text(FILE.replace("# here", more).replace("Blue", answer))
    return {one.name: one for one in catalogue.load(f"{path}:heron").formats}


def test_a_file_that_names_none_has_those_that_ship(tmp_path: Path) -> None:
    """The plain question first; those with a beginning only where the file gives one."""
    assert list(formats_of(tmp_path)) == ["question", "examples", "completion"]
    assert list(formats_of(tmp_path, 'beginning = "I like the"')) == [
        "question",
        "examples",
        "beginning",
        "examples and beginning",
        "completion",
    ]


def test_examples_never_answer_with_a_candidate(tmp_path: Path) -> None:
    """The sky's colour is no example where that colour is a candidate, in any case of letters."""

    def answers(name: str) -> list[str]:
        format = formats_of(tmp_path, answer=name)["examples"]
        return [answer for _, answer in format.examples]  # type: ignore[attr-defined]

    assert "blue" in answers("Grey")
    assert answers("Blue") == [one for one in answers("Grey") if one != "blue"]


@pytest.mark.parametrize("category", ["animal", "colour", "season", "weekday", "digit", "city"])
def test_every_category_has_examples_of_other_words(category: str) -> None:
    """At least two, and none of its own answers."""
    trait = catalogue.load_category(category)[0]
    shown = next(one for one in trait.formats if one.name == "examples").examples
    own = {form.casefold() for answer in trait.answers for form in answer.variants}

    assert len(shown) >= 2
    assert not own & {answer.casefold() for _, answer in shown}


def test_a_file_has_formats_of_its_own(tmp_path: Path) -> None:
    """In the place of those that ship, in its order."""
    own = """
[[formats]]
name = "quiz"
text = "Q: {question} A:"
examples = [["What is two and two?", "four"]]
"""
    found = formats_of(tmp_path, own)

    assert list(found) == ["question", "quiz"]
    assert found["quiz"].examples == (("What is two and two?", "four"),)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('name = "question"\nexamples = true', "is the plain question's name"),
        ('name = "x"', "needs one of: examples, begun, text"),
        ('name = "x"\ntext = "Q:"', "must hold {question} once"),
        ('name = "x"\nbegun = true', "needs the key 'beginning'"),
        (
            'name = "x"\nexamples = true\n[[formats]]\nname = "x"\nexamples = true',
            "names one twice",
        ),
    ],
)
def test_formats_that_say_nothing_are_refused(tmp_path: Path, table: str, said: str) -> None:
    """Each with what it lacks."""
    with pytest.raises(ConfigError, match=said):
        formats_of(tmp_path, f"[[formats]]\n{table}")
