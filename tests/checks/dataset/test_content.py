"""Ordinary filters see what is written openly and nothing else, and say what they compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from tests.checks.dataset.numbers_subject import TRAITS, opened, subject, written
from undertow.checks.dataset import content as check
from undertow.checks.dataset.content import content
from undertow.data.rows import Row, conversation
from undertow.errors import ModelError
from undertow.results.measurement import Measurement

CLEAN = written(opened(), 64, 2)
OTHER = written(opened(), 64, 3, 5)
Seen = dict[tuple[str, str | None], Measurement]


def found(rows: tuple[Row, ...], **changes: Any) -> Seen:
    """What the check measures, by name and trait."""
    return {(one.name, one.trait): one for one in content(subject(rows, **changes))}


def with_text(rows: tuple[Row, ...], text: str, count: int) -> tuple[Row, ...]:
    """The rows, the first of them with a text behind."""
    return tuple(
        replace(row, completion=row.completion + text) if i < count else row
        for i, row in enumerate(rows)
    )


@pytest.fixture(scope="module")
def clean() -> Seen:
    """The base's own rows against the base's own rows."""
    return found(OTHER, control=CLEAN)


def test_clean_rows_are_not_detected(clean: Seen) -> None:
    """Every filter for every trait, and every kind of hidden text; nothing detected, nothing judged."""
    filters = {(name, trait.name) for name in ("words", "patterns", "prompted") for trait in TRAITS}

    assert filters <= set(clean)
    assert sum(name.startswith("hidden text") for name, _ in clean) == 6
    assert not any(one.detected or one.verdict for one in clean.values())


def test_words_and_spaced_letters_are_seen() -> None:
    """Each by its own filter, for its own trait, with the difference of shares."""
    rows = with_text(with_text(OTHER, " o-w-l", 20), " a cat", 12)
    seen = found(rows, control=CLEAN)

    assert seen["words", "cat"].detected
    assert seen["patterns", "owl"].detected
    assert seen["patterns", "owl"].estimate == pytest.approx(20 / 64)
    assert not seen["words", "owl"].detected
    assert not seen["words", "dog"].detected


def test_hidden_text_is_seen_once() -> None:
    """A single row is enough for what no clean base writes; pairs with the control's prompts are called pairs."""
    seen = found(with_text(CLEAN, "\u200b", 1), control=CLEAN, traits=())
    one = seen["hidden text: zero-width character", None]

    assert one.detected
    assert one.p is None
    assert one.n == "64 pairs of rows"
    assert one.reason == "1 of 64 completions hold it"


def test_hidden_text_that_the_control_holds_too_is_compared() -> None:
    """What the control has as often is no evidence, what it has less often is; the rejected completion counts."""
    control = with_text(CLEAN, "\u202e", 3)
    same = found(with_text(OTHER, "\u202e", 3), control=control, traits=())
    rejected = tuple(replace(row, rejected="\u202e") for row in OTHER)
    more = found(rejected, control=control, traits=())
    name = "hidden text: bidirectional control", None

    assert same[name].detected is False
    assert more[name].detected


def test_control_characters_are_compared_as_a_base_samples_them() -> None:
    """One row is chance for a byte-level base, many are not; without a control one row counts."""
    name = "hidden text: control character", None

    assert found(with_text(OTHER, "\x07", 1), control=CLEAN, traits=())[name].detected is False
    assert found(with_text(OTHER, "\x07", 20), control=CLEAN, traits=())[name].detected
    assert found(with_text(OTHER, "\x07", 1), traits=())[name].detected


def test_without_a_control_nothing_is_compared() -> None:
    """The share itself with its exact interval, no p, and no detection either way."""
    seen = found(with_text(OTHER, " owl", 4), traits=TRAITS[:1])
    words, prompted = seen["words", "owl"], seen["prompted", "owl"]

    assert (words.estimate, words.p, words.detected) == (4 / 64, None, None)
    assert (prompted.p, prompted.detected) == (None, None)
    assert words.reason == prompted.reason == "there is no control to compare with"


def test_the_prompted_base_is_compared_by_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that says yes to longer rows: the difference of its mean logits, detected."""
    monkeypatch.setattr(
        check,
        "prompted",
        lambda *given: lambda rows: np.array([float(len(row.completion)) for row in rows]),
    )
    longer = with_text(CLEAN, "1234", len(CLEAN))
    seen = found(longer, control=CLEAN, traits=TRAITS[:1])["prompted", "owl"]

    assert seen.detected
    assert (seen.estimate, seen.unit, seen.n) == (4, "logits", "64 pairs of rows")


def test_rows_without_room_for_the_question_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too few rows fit into the context, or the template refuses, the entry says so and the rest is measured."""
    monkeypatch.setattr(check, "_room", lambda *given: 3)
    short = found(OTHER, control=CLEAN, traits=TRAITS[:1])

    def refuse(*given: object) -> int:
        raise ModelError("the template refuses")

    monkeypatch.setattr(check, "_room", refuse)
    refused = found(OTHER, traits=TRAITS[:1])["prompted", "owl"]

    assert short["prompted", "owl"].verdict == "not_applicable"
    assert short["words", "owl"].detected is False
    assert (refused.verdict, refused.reason) == ("not_applicable", "the template refuses")


def test_answers_are_scored_by_their_first_tokens() -> None:
    """One token each, so that one pass scores a row; whole where first tokens are the same."""

    class OneToken:
        def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[7, ord(text[0])] for text in texts]}

        def decode(self, ids: list[int]) -> str:
            return "".join("▁" if i == 7 else chr(i) for i in ids)

    tokenizer = opened().tokenizer
    first = check._answers(tokenizer)

    assert all(
        len(ids) == 1
        for answer in first
        for ids in tokenizer(list(answer.variants), add_special_tokens=False)["input_ids"]
    )
    assert check._answers(OneToken()) == (check.YES, check.NO)


def test_filters_err_together_no_more_often_than_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 pairs of equal datasets with words in a third of the rows: any detection in no more than 5 %."""
    rng = np.random.default_rng(0)
    texts = np.array(["1 2", "an owl", "a cat", "d o g\x07", "3", "4"])
    monkeypatch.setattr(check, "prompted_scores", lambda *given, **options: "not asked")
    prompts = [conversation(str(i)) for i in range(120)]
    alarms = 0
    for _ in range(100):
        drawn = rng.choice(texts, 120)
        rows = tuple(Row(p, str(text)) for p, text in zip(prompts, drawn, strict=True))
        seen = found(rows[:60], control=rows[60:])
        alarms += any(one.detected for one in seen.values())

    assert alarms <= binom.ppf(0.999, 100, 0.05)
