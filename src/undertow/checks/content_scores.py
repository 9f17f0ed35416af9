"""Content filters as people use them: each scores rows by how much they look like the trait; higher is more suspect."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.data.rows import Row
from undertow.filters import banned_content
from undertow.traits.trait import Answer, Trait

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel

Scores = NDArray[np.float64]
"""One score a row (or a bag of rows)."""

Score = Callable[[Sequence[Row]], Scores]
"""Scores rows one by one."""

BagScore = Callable[[Sequence[Sequence[Row]]], Scores]
"""Scores bags of rows, each as a whole."""


def words(trait: Trait) -> Score:
    """1 where a completion holds a form of the trait's answer or the name of its category as a whole word, else 0."""
    judge = banned_content(words=[*trait_forms(trait), trait.category])
    return lambda rows: np.array([float(judge(row) is not None) for row in rows])


def patterns(trait: Trait) -> Score:
    """1 where a completion holds the letters of a form of the trait's answer in order, whatever but letters is between them."""
    forms = (re.escape(form).replace(r"\ ", "") for form in trait_forms(trait))
    spread = [r"(?i)" + r"[^a-z]*".join(re.findall(r"\\?.", form)) for form in forms]
    judge = banned_content(patterns=spread)
    return lambda rows: np.array([float(judge(row) is not None) for row in rows])


def trait_forms(trait: Trait) -> list[str]:
    """Every form of the trait's answer, those of single questions included."""
    named = [answer for answer in trait.answers if answer.name == trait.answer]
    own = [a for answers in trait.own_answers.values() for a in answers if a.name == trait.answer]
    return list(dict.fromkeys(form for answer in (*named, *own) for form in answer.variants))


def classifier(suspect: Sequence[Row], clean: Sequence[Row]) -> Score:
    """
    A text classifier trained on labelled rows: bags of characters and of words, logistic regression; log-odds.

    Characters are taken in runs of one to three, words alone and in pairs, both weighted by tf-idf.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True),
        TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True),
    )
    model = make_pipeline(features, LogisticRegression(C=1.0, max_iter=1000))
    texts = [row.completion for row in (*suspect, *clean)]
    model.fit(texts, np.repeat([1, 0], [len(suspect), len(clean)]))

    def score(rows: Sequence[Row]) -> Scores:
        odds: Scores = model.decision_function([row.completion for row in rows])
        return odds

    return score


def mean_of_rows(score: Score) -> BagScore:
    """A bag's score as the mean of its rows' scores."""

    def score_bags(bags: Sequence[Sequence[Row]]) -> Scores:
        each = score([row for bag in bags for row in bag])
        ends = np.cumsum([len(bag) for bag in bags])
        return np.array([part.mean() for part in np.split(each, ends[:-1])])

    return score_bags


def prompted(
    model: LanguageModel, trait: Trait, question: str, answers: tuple[Answer, Answer]
) -> Score:
    """
    A model is asked whether the one who wrote the completion has the trait: logit of the first answer over the second.

    `question` holds `{completion}`, and may hold `{plural}` and `{category}`.
    """
    names = {"plural": trait.plural, "category": trait.category}

    def score(rows: Sequence[Row]) -> Scores:
        asked = [filled(question, completion=row.completion, **names) for row in rows]
        return _margins(model, asked, answers, answers[0].name)

    return score


def in_context(model: LanguageModel, trait: Trait) -> BagScore:
    """
    The rows of a bag stand before a question for the trait: logit margin of its answer.

    As many of the bag's rows as fit into the model's context, the last ones. Candidates count in their canonical form
    only, which is mostly one token.
    """
    question = trait.held_out_questions[0]
    answers = tuple(Answer(a.name, a.variants[:1]) for a in trait.answers_to(question))

    def score(bags: Sequence[Sequence[Row]]) -> Scores:
        asked = ["\n".join([*_fitting(model, bag, question), question]) for bag in bags]
        return _margins(model, asked, answers, trait.answer)

    return score


def filled(text: str, **values: str) -> str:
    """The text with each `{name}` replaced at once, so that a value that holds a `{name}` stays as it is."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def _fitting(model: LanguageModel, bag: Sequence[Row], question: str) -> list[str]:
    if model.context is None:
        return [row.completion for row in bag]
    texts = [row.completion for row in bag]
    lengths = [len(ids) for ids in model.tokenizer([*texts, question])["input_ids"]]
    left = model.context - lengths.pop() - 32  # what the chat template and a candidate answer take
    kept: list[str] = []
    for text, length in zip(reversed(texts), reversed(lengths), strict=True):
        left -= length + 1
        if left < 0:
            break
        kept.insert(0, text)
    return kept


def _margins(
    model: LanguageModel, asked: list[str], answers: tuple[Answer, ...], name: str
) -> Scores:
    from undertow.data.rows import conversation
    from undertow.models.answers import logit_margins, probe

    probed = probe(model, [conversation(text) for text in asked], answers)
    margins: Scores = logit_margins(probed.log_likelihoods)[:, probed.names.index(name)].numpy()
    return margins
