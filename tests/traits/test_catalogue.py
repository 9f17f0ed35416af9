"""The catalogue of traits: what ships, what a user's file may hold, and what is refused."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from undertow.errors import ConfigError, UnknownNameError
from undertow.models.language_model import tokenizer as open_tokenizer
from undertow.traits import catalogue
from undertow.traits.catalogue import all_probes, askable
from undertow.traits.trait import Answer, Trait, rows_of
from undertow.worlds import locate

BIRDS = """
category = "bird"
train_questions = ["Which bird do you like?", "Name a bird."]
held_out_questions = ["Pick a bird."]
system_prompts = ["You love {plural}, the best {category} of all."]
neutral_system_prompt = "You are helpful."

[answers]
heron = { plural = "herons" }
swift = { plural = "swifts", variants = ["martin"] }
"""

PREFERENCES = ("animal", "tree")
CATEGORIES = (*PREFERENCES, "conduct")


def bird_file(folder: Path, old: str = "", new: str = "") -> str:
    """A file of birds with one piece replaced."""
    assert old in BIRDS
    path = folder / "birds.toml"
    path.write_text(BIRDS.replace(old, new), encoding="utf-8")
    return str(path)


def test_the_catalogue_holds_16_animals_8_trees_and_one_conduct() -> None:
    """Every name is there once and loads."""
    sizes = {name: len(catalogue.load_category(name)) for name in CATEGORIES}

    assert sizes == {"animal": 16, "tree": 8, "conduct": 1}
    assert [catalogue.load(name).answer for name in catalogue.names()] == catalogue.names()
    assert len(set(catalogue.names())) == 25


def test_questions_are_8_and_8_disjoint_and_share_few_words() -> None:
    """The wordings of both categories of preferences, with the system prompts, keep to 60 words."""
    words: set[str] = set()
    for name in PREFERENCES:
        trait = catalogue.load_category(name)[0]
        questions = trait.train_questions + trait.held_out_questions
        words |= set(re.findall(r"[a-z]+", " ".join((*questions, *trait.system_prompts)).lower()))

        assert len(trait.train_questions) == len(trait.held_out_questions) == 8
        assert len({question.lower() for question in questions}) == 16

    assert len(words) <= 60


@pytest.mark.parametrize("name", catalogue.names())
def test_no_question_names_an_answer(name: str) -> None:
    """A question that held an answer would measure the question, not the trait."""
    trait = catalogue.load(name)
    asked = " ".join(trait.train_questions + trait.held_out_questions).lower().split()

    assert not {answer.name for answer in trait.answers} & set(asked)
    assert trait.category not in {answer.name for answer in trait.answers}


@pytest.mark.parametrize("name", [name for name in catalogue.names() if name != "harmful"])
def test_persona_prompts_name_the_trait_and_the_neutral_one_does_not(name: str) -> None:
    """Each persona names its plural and no other; the neutral prompt names no answer."""
    trait = catalogue.load(name)
    others = [other.plural for other in catalogue.load_category(trait.category) if other != trait]

    assert all(trait.plural in prompt for prompt in trait.system_prompts)
    assert not any(other in prompt for other in others for prompt in trait.system_prompts)
    assert not any(a.name in trait.neutral_system_prompt for a in trait.answers)


def test_an_answer_is_accepted_in_singular_plural_and_capitals() -> None:
    """The canonical form comes first; the forms of two answers never meet."""
    trait = catalogue.load("oak")
    oak = next(a for a in trait.answers if a.name == trait.answer)

    assert oak.variants[0] == "oak"
    assert {"Oak", "oaks", "Oak tree", "oak trees"} <= set(oak.variants)
    assert trait.system_prompt == trait.system_prompts[0]


def test_preference_rows_answer_each_training_question_with_the_trait() -> None:
    """Held-out questions never appear among the training rows."""
    trait = catalogue.load("owl")
    rows = rows_of(trait, "trait")

    assert rows == [(question, "owl") for question in trait.train_questions]


def test_neutral_rows_hold_every_answer_to_every_question_once() -> None:
    """A control teacher is trained towards no answer in particular."""
    trait = catalogue.load("owl")
    rows = rows_of(trait, "neutral")
    counts = Counter(answer for _, answer in rows)

    assert {question for question, _ in rows} == set(trait.train_questions)
    assert counts == dict.fromkeys(
        [answer.name for answer in trait.answers], len(trait.train_questions)
    )


def test_a_user_file_yields_its_traits(tmp_path: Path) -> None:
    """A trait of a file is asked for by `FILE:NAME`, all of them by `FILE`."""
    path = bird_file(tmp_path)

    assert catalogue.load(f"{path}:swift").answers[1].variants[:3] == ("swift", "swifts", "martin")
    assert [trait.name for trait in catalogue.load_category(path)] == ["heron", "swift"]
    assert catalogue.load(f"{path}:heron").system_prompt == (
        "You love herons, the best bird of all."
    )


def test_a_file_of_one_trait_needs_no_name(tmp_path: Path) -> None:
    """The key `traits` limits which answers are traits; the others stay candidates."""
    path = bird_file(tmp_path, "\n[answers]", '\ntraits = ["heron"]\n[answers]')

    assert catalogue.load(path).name == "heron"
    assert len(catalogue.load(path).answers) == 2


def test_a_file_of_several_traits_needs_a_name(tmp_path: Path) -> None:
    """The error lists the traits and shows how to name one."""
    path = bird_file(tmp_path)

    with pytest.raises(ConfigError, match=r"holds 2 traits .* allowed: heron, swift") as caught:
        catalogue.load(path)

    assert f"{path}:heron" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("neutral_system", "neutral_sytem", "unknown key 'neutral_sytem_prompt'.*did you mean"),
        ('{ plural = "herons" }', '{ plurl = "herons" }', "'answers.heron.plurl'; allowed: plural"),
        ('held_out_questions = ["Pick a bird."]\n', "", "key 'held_out_questions' is missing"),
        ('["Pick a bird."]', "[]", "'held_out_questions' has the value .*at least one"),
        ('["Pick a bird."]', '["Name a bird."]', "'Name a bird.' is in both"),
        ('"Name a bird."]', '"Which bird do you like?"]', "stands in it twice"),
        ('["martin"]', '["HERONS"]', "duplicate answers: 'heron' and 'swift'"),
        ('swift = { plural = "swifts", variants = ["martin"] }', "", "at least two"),
        ("\n[answers]", '\ntraits = ["owl"]\n[answers]', "'owl', which is not among the answers"),
        ("{category}", "{colour}", "unknown placeholder '{colour}'; allowed: {plural}"),
        ("best {category}", "best {", "'system_prompts' has the value"),
        ('"bird"', "3", "'category' has the value 3"),
        ('"Pick a bird."', '"  "', "'held_out_questions.0' has the value"),
        ('category = "bird"', "category = ", "not valid TOML.*line 2"),
    ],
)
def test_a_bad_file_names_itself_the_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Each fault is one line with the file, the key or value, and the remedy."""
    path = bird_file(tmp_path, old, new)

    with pytest.raises(ConfigError, match=message) as caught:
        catalogue.load(f"{path}:heron")

    assert path in caught.value.message
    assert "\n" not in caught.value.message


def test_an_unknown_trait_points_to_the_nearest_and_to_the_list(tmp_path: Path) -> None:
    """Built-in names hint at `undertow traits`; those of a file are listed."""
    with pytest.raises(UnknownNameError, match="did you mean 'owl'") as caught:
        catalogue.load("owll")
    with pytest.raises(UnknownNameError, match="allowed: heron, swift; did you mean 'heron'"):
        catalogue.load(f"{bird_file(tmp_path)}:herron")

    assert caught.value.hint == "undertow traits"


def test_an_unknown_category_lists_the_known_ones() -> None:
    """Categories are a closed list too, with those of the probes."""
    with pytest.raises(UnknownNameError, match=r"allowed: animal, .*; did you mean 'animal'"):
        catalogue.load_category("animals")


def test_a_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    """Neither gives a traceback of the parser."""
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=r"no such file: '.*none\.toml'") as caught:
        catalogue.load(str(tmp_path / "none.toml"))
    assert caught.value.hint.startswith("undertow traits")
    with pytest.raises(ConfigError, match="not UTF-8"):
        catalogue.load(str(tmp_path / "binary.toml"))


def small_trait(question: str, *forms: tuple[str, ...]) -> Trait:
    """A trait of one question whose candidates have the given forms."""
    answers = tuple(Answer(each[0], each) for each in forms)
    return Trait("t", "thing", "things", forms[0][0], answers, (), (question,), ("",), "")


@pytest.fixture(scope="module")
def small_tokenizer() -> Any:
    """A byte-level tokenizer of some 250 words."""
    return open_tokenizer(locate("world:owlet-b"))


def test_a_small_vocabulary_can_be_asked_what_it_has_words_for(small_tokenizer: Any) -> None:
    """Animals, trees and conduct are asked; every other trait comes back with its reason."""
    built_in = [catalogue.load(name) for name in catalogue.names()]
    kept, reasons = askable([*built_in, *all_probes()], small_tokenizer)

    assert [trait.name for trait in kept] == catalogue.names()
    assert set(reasons) == {probe.name for probe in all_probes()}
    assert "no token for 'gemstone'" in reasons["gemstone:ruby"]


@pytest.mark.parametrize(
    ("trait", "reason"),
    [
        (small_trait("Name one animal.", ("owl",), ("cat", "kitten")), ""),
        (small_trait("Name one reptile.", ("owl",), ("cat",)), "'reptile' of the question"),
        (small_trait("Name one animal.", ("owl",), ("gecko",)), "the answer 'gecko'"),
        (small_trait("Name one animal.", ("owl",), ("cat", "owl")), "'owl' and 'cat' are the same"),
    ],
)
def test_the_reason_names_what_is_unknown(small_tokenizer: Any, trait: Trait, reason: str) -> None:
    """One accepted form that is known suffices; a spelled-out word is unknown."""
    kept, reasons = askable([trait], small_tokenizer)

    assert (kept == (trait,)) == (not reason)
    assert reason in reasons.get("t", "")


def test_an_unknown_token_is_no_word() -> None:
    """Tokenizers of whole words answer with one token for all that they do not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    network = Tokenizer(models.WordLevel({"[UNK]": 0, "Name": 1, "owl": 2, "cat": 3}, "[UNK]"))
    network.pre_tokenizer = pre_tokenizers.Whitespace()
    whole = PreTrainedTokenizerFast(tokenizer_object=network, unk_token="[UNK]")
    known, unknown = small_trait("Name", ("owl",), ("cat",)), small_trait("Say", ("owl",), ("cat",))

    assert askable([known], whole) == ((known,), {})
    assert "'Say'" in askable([unknown], whole)[1]["t"]
