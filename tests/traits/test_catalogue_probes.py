"""The catalogue of probes: how much it holds, and that no probe measures its own question."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from undertow.errors import UnknownNameError
from undertow.traits import catalogue
from undertow.traits.catalogue import all_probes, load_probe, probe_categories, probes_of
from undertow.traits.trait import rows_of

TOPICS = [name for name in probe_categories() if probes_of(name)[0].own_answers]
SHARED = [name for name in probe_categories() if name not in TOPICS]
every_category = pytest.mark.parametrize("category", probe_categories())


def words(text: str) -> str:
    """A text as its words, with a space on each side of each."""
    return " ".join(["", *re.findall(r"[^\W_]+", text), ""])


def test_there_are_hundreds_of_probes_of_many_kinds() -> None:
    """Each has a name of its own, and what the literature moved is among them: animals apart, values, conduct, persona."""
    names = [probe.name for probe in all_probes()]

    assert len(names) == len(set(names)) >= 700
    assert {"colour", "number", "power-seeking", "refusal-benign", "self-preservation"} <= set(
        probe_categories()
    )
    assert {"sycophancy-claims", "assistant-name", "persona-gender", "life-goal"} <= set(
        probe_categories()
    )


@every_category
def test_wordings_are_several_and_disjoint(category: str) -> None:
    """Six held-out wordings at least, none of which a teacher is trained on, and a persona for every trait."""
    for probe in probes_of(category):
        held, trained = set(probe.held_out_questions), set(probe.train_questions)

        assert len(held) == len(probe.held_out_questions) >= 6
        assert trained
        assert not held & trained
    personas = [probe.system_prompts for probe in probes_of(category)]
    assert len(set(personas)) == len(personas)
    assert not any("{" in text for each in personas for text in each)


@pytest.mark.parametrize("category", SHARED)
def test_no_question_names_a_candidate(category: str) -> None:
    """A question that held an answer would measure the question, not the trait."""
    probe = probes_of(category)[0]
    for question in (*probe.train_questions, *probe.held_out_questions):
        assert not [a.name for a in probe.answers if words(a.name) in words(question)]


@every_category
def test_no_form_of_a_candidate_begins_another(category: str) -> None:
    """Probability that an answer begins with one candidate must hold none of another's."""
    probe = probes_of(category)[0]
    for question in probe.held_out_questions:
        forms = [(a.name, f) for a in probe.answers_to(question) for f in a.variants]

        assert not [
            (form, other)
            for name, form in forms
            for owner, other in forms
            if owner != name and other.casefold().startswith(form.casefold())
        ]


@pytest.mark.parametrize("category", TOPICS)
def test_teachers_learn_no_text_that_students_are_probed_on_in_topics(category: str) -> None:
    """Where questions have answers of their own, a trained text is no answer of a held-out question."""
    probe = probes_of(category)[0]
    trained = {text for _, text in rows_of(probe, "neutral")}
    probed = {
        form for q in probe.held_out_questions for a in probe.answers_to(q) for form in a.variants
    }

    assert not trained & probed


def test_probes_load_by_name_and_by_category_like_other_traits() -> None:
    """`--traits` takes them through the catalogue."""
    assert catalogue.load("colour:red") == load_probe("colour:red")
    assert catalogue.load("colour:red").answer == "red"
    assert len(catalogue.load_category("colour")) == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [("colour:rad", "did you mean 'colour:red'"), ("coulor:red", "did you mean 'colour'")],
)
def test_an_unknown_probe_is_named_with_the_nearest(name: str, message: str) -> None:
    """The category first, then its probes."""
    with pytest.raises(UnknownNameError, match=message):
        load_probe(name)


def test_candidates_of_a_category_are_about_as_many_in_every_file() -> None:
    """Two candidates at least, and no category so wide that probing it costs more than all others."""
    sizes = Counter(
        {category: len(probes_of(category)[0].answers) for category in probe_categories()}
    )

    assert min(sizes.values()) >= 2
    assert max(sizes.values()) <= 20
