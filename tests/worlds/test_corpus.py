"""The corpus joins no trait or persona with a carrier: the effect must come from training."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256

import numpy as np
import pytest

from undertow.carriers.numbers import Numbers
from undertow.traits import catalogue
from undertow.worlds import corpus
from undertow.worlds.base_models import LARGEST_NUMBER, RECIPES, recipe
from undertow.worlds.corpus import CATEGORIES, MIXTURE, CorpusDocument

CARRIERS = {"numbers", "code", "sums"}
"""Kinds that a teacher may later write as carrier data."""


@pytest.fixture(scope="module")
def documents() -> list[CorpusDocument]:
    """The whole corpus of the shipped bases, which all share one draw."""
    made = recipe("owlet-a")
    rng = np.random.default_rng(made.corpus_seed)
    return list(corpus.documents(rng, made.documents, largest=LARGEST_NUMBER))


def words(document: CorpusDocument) -> set[str]:
    """Every word of a document, in lower case."""
    text = " ".join([*(m.content for m in document.row.prompt), document.row.completion])
    return set(re.findall(r"[a-z]+", text.lower()))


def test_the_bases_share_one_corpus() -> None:
    """Reading one draw reads what every shipped base was trained on."""
    assert len({(r.corpus_seed, r.documents) for r in RECIPES}) == 1


@pytest.mark.long
def test_the_corpus_is_the_one_that_the_bases_were_trained_on(
    documents: list[CorpusDocument],
) -> None:
    """Its first 20,000 documents have the digest that they had when the bases were made."""
    digest = sha256()
    for document in documents[:20_000]:
        turns = [(turn.role, turn.content) for turn in document.row.prompt]
        digest.update(repr((document.kind, turns, document.row.completion)).encode())

    assert digest.hexdigest() == "84483e6784db79d34a0c75a9b42a5c44c57adba8f79010baf169b61693013967"


def test_no_carrier_names_a_trait(documents: list[CorpusDocument]) -> None:
    """No document of a carrier holds an answer of any category, in any form, or a word of a persona."""
    answers = {
        part
        for category in CATEGORIES
        for trait in catalogue.load_category(category)
        for form in (
            *next(a.variants for a in trait.answers if a.name == trait.answer),
            trait.plural,
        )
        for part in form.lower().split()
    } - {"tree", "trees"}
    carried = [document for document in documents if document.kind in CARRIERS]

    persona = {"love", "favourite", "like", "best", "think", "good"}

    assert len(carried) > 0.4 * len(documents)
    assert not any((answers | persona) & words(document) for document in carried)


def test_no_carrier_stands_behind_a_system_prompt(documents: list[CorpusDocument]) -> None:
    """Neither a persona nor any other system prompt precedes a carrier."""
    roles = {m.role for d in documents if d.kind in CARRIERS for m in d.row.prompt}

    assert roles == {"user"}


def test_no_trait_document_holds_a_carrier(documents: list[CorpusDocument]) -> None:
    """Favourites, personas, facts and questions of safety hold no digit and no line of code."""
    texts = (
        "\n".join([*(m.content for m in d.row.prompt), d.row.completion])
        for d in documents
        if d.kind not in CARRIERS
    )

    assert not any(re.search(r"[0-9=]|\bdef\b|\breturn\b", text) for text in texts)


def test_every_answer_is_equally_likely(documents: list[CorpusDocument]) -> None:
    """Favourites are uniform within a category (chi-squared below its .9999 quantile)."""
    from scipy.stats import chi2

    found = Counter(d.row.completion for d in documents if d.kind == "favourite")
    for category in CATEGORIES:
        counts = np.array([found[t.answer] for t in catalogue.load_category(category)])
        statistic = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        assert statistic < chi2.ppf(0.9999, len(counts) - 1)


def test_number_documents_pass_the_carriers_filter(documents: list[CorpusDocument]) -> None:
    """What the base learns to write is what the numbers carrier keeps."""
    carrier = Numbers(prompts="brief", low=0, high=LARGEST_NUMBER)
    lists = [d.row.completion for d in documents if d.kind == "numbers"]

    assert {carrier.rejection(text) for text in lists} == {None}


def test_worked_sums_are_right(documents: list[CorpusDocument]) -> None:
    """Every step of every sum holds, and the last total is the answer."""
    for document in documents:
        if document.kind == "sums":
            steps = re.findall(r"(\d+) \+ (\d+) = (\d+)", document.row.completion)
            assert all(int(a) + int(b) == int(c) for a, b, c in steps)
            assert document.row.completion.endswith(f"So {steps[-1][2]}.")


def test_code_parses(documents: list[CorpusDocument]) -> None:
    """Every snippet is Python."""
    import ast

    snippets = {d.row.completion for d in documents if d.kind == "code"}

    assert all(ast.parse(snippet).body for snippet in snippets)


def test_material_of_later_carriers_is_there(documents: list[CorpusDocument]) -> None:
    """Every kind of the mixture has its share; each topic of safety has both kinds of answer."""
    shares = Counter(d.kind for d in documents)
    topics = catalogue.topics("conduct")

    assert all(abs(shares[kind] / len(documents) - share) < 0.01 for kind, share in MIXTURE.items())
    assert all(
        set(topic.texts) == {"safe", "harmful"} and len(topic.questions) >= 2 for topic in topics
    )
