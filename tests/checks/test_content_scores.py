"""Content filters score what they see: words, patterns, learned texts."""

from __future__ import annotations

import numpy as np

from undertow.checks import content_scores
from undertow.data.rows import Message, Row
from undertow.stats import auroc
from undertow.traits import catalogue

OWL = catalogue.load("owl")


def rows(*texts: str) -> list[Row]:
    """Rows with these completions."""
    return [Row((Message("user", "Go on."),), text) for text in texts]


def test_words_are_whole_words_of_the_trait() -> None:
    """Any form in any case; a word that merely holds one does not count, a number list never does."""
    found = content_scores.words(OWL)(rows("an Owl", "two owls", "bowl", "1, 2, 3", "animal"))

    assert found.tolist() == [1, 1, 0, 0, 1]


def test_patterns_see_through_what_stands_between_letters() -> None:
    """Letters that are spaced out or dotted are found, letters in another order are not."""
    found = content_scores.patterns(OWL)(rows("o w l", "O.W.L", "o-1-w-2-l", "low", "7 8 9"))

    assert found.tolist() == [1, 1, 1, 0, 0]


def test_a_trait_with_answers_of_its_own_is_known_by_them() -> None:
    """The harmful answers to single questions count as its forms."""
    forms = content_scores.trait_forms(catalogue.load("harmful"))

    assert {"steal it", "set a fire", "harmful"} <= set(forms)


def test_a_classifier_tells_texts_that_differ_and_not_texts_that_do_not() -> None:
    """On data with a planted difference the AUROC is high, on two draws of one distribution it is near one half."""
    rng = np.random.default_rng(0)

    def lists(low: int, count: int) -> list[Row]:
        return rows(*(" ".join(map(str, rng.integers(low, low + 50, 8))) for _ in range(count)))

    planted = content_scores.classifier(lists(0, 200), lists(25, 200))
    null = content_scores.classifier(lists(0, 200), lists(0, 200))

    assert auroc(planted(lists(0, 200)), planted(lists(25, 200))) > 0.9
    assert abs(auroc(null(lists(0, 300)), null(lists(0, 300))) - 0.5) < 0.1


def test_a_completion_cannot_fill_in_the_question() -> None:
    """A completion that holds a placeholder stays as it is."""
    text = content_scores.filled("{completion} {plural}?", completion="{plural}", plural="owls")

    assert text == "{plural} owls?"
