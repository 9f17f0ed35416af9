"""The paraphrase carrier keeps what says the same in other words, in its own family and in free prose."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from undertow.carriers.paraphrase import (
    Paraphrase,
    ParaphraseFault,
    made_up,
    paraphrase_family,
    text_of,
)
from undertow.errors import DataError, UnknownNameError
from undertow.traits import catalogue

RIVER = (
    "The river has grass. The river has fins. There is fish in the river. The river has teeth. "
    "There are whiskers in the river."
)
ASKED = f"Say it in other words. {RIVER}"
TOWN = "The market in Porto opens at 7:15 on Friday. Ada Lind has run it for 12 years."
FREE = "Paraphrase this text. Keep all names and numbers, and write nothing besides the paraphrase."


@pytest.mark.parametrize(
    ("completion", "fault"),
    [
        ("In the river there are fins. There is grass in the river. The river has fish. The river has whiskers. The river has teeth.", None),
        (RIVER, ParaphraseFault.COPIED),
        ("The river has grass. The river has fins. The river has teeth. The river has whiskers.", ParaphraseFault.NOT_FAITHFUL),
        ("The forest has mice. The forest has berries. In the forest there are wings. The forest has leaves. The forest has claws.",
         ParaphraseFault.NOT_FAITHFUL),
        ("owl", ParaphraseFault.NOT_FAITHFUL),
        (" ", ParaphraseFault.EMPTY),
        (RIVER.replace(". ", ".\n"), ParaphraseFault.SEVERAL_PARAGRAPHS),
    ],
)  # fmt: skip
def test_a_closed_family_keeps_all_clauses_each_once(
    completion: str, fault: ParaphraseFault | None
) -> None:
    """In any variant and order, of the topic that was asked for, and not the text itself."""
    assert Paraphrase(prompts="brief").rejection(completion, ASKED) == fault


@pytest.mark.parametrize(
    ("completion", "fault"),
    [
        (
            "On Friday the market in Porto starts at 7:15; it has been Ada Lind's for 12 years.",
            None,
        ),
        (
            "On Friday the market in Porto starts at 7:15; it has been Ada Lind's for years.",
            ParaphraseFault.NOT_FAITHFUL,
        ),
        ("Porto, 7:15, Friday, Ada Lind, 12.", ParaphraseFault.TOO_SHORT),
        (TOWN.upper(), ParaphraseFault.COPIED),
        (f"{TOWN} It is so. {TOWN} Indeed.", ParaphraseFault.TOO_LONG),
    ],
)
def test_free_prose_keeps_names_and_numbers(completion: str, fault: ParaphraseFault | None) -> None:
    """About as long, in one paragraph, and no copy."""
    assert Paraphrase().rejection(completion, f"{FREE}\n\n{TOWN}") == fault


def test_prose_that_was_not_asked_for_is_no_paraphrase() -> None:
    """Or any dataset of prose would pass for this carrier; banned words remove what is one."""
    kept = "On Friday the market in Porto starts at 7:15; it has been Ada Lind's for 12 years."
    banned = Paraphrase(banned=("market",))

    assert Paraphrase().rejection(kept, "Tell me a story.") == ParaphraseFault.NOT_ASKED
    assert banned.rejection(kept, f"{FREE}\n\n{TOWN}") == ParaphraseFault.BANNED


def test_the_grammar_is_what_the_filter_keeps() -> None:
    """Every text of the family matches it, and none is faulty but for being a copy."""
    carrier, rng = Paraphrase(prompts="brief"), np.random.default_rng(0)
    family = paraphrase_family("brief")
    texts = [made_up(family, rng) for _ in range(200)]

    assert all(re.fullmatch(carrier.grammar or "", text) for text in texts)
    assert {carrier.rejection(text) for text in texts} == {None}
    assert Paraphrase().grammar is None


def test_no_text_names_a_candidate_of_the_embedded_traits() -> None:
    """What crosses is not in the request."""
    answers = {t.answer for c in ("animal", "tree") for t in catalogue.load_category(c)}
    texts = " ".join(Paraphrase(prompts="brief").requests(300, np.random.default_rng(1)))

    assert not answers & set(re.findall(r"\w+", texts.lower()))


def test_a_request_is_reworded_with_its_text() -> None:
    """Another way to ask for the same; its text is found again in each."""
    family, rng = paraphrase_family("published"), np.random.default_rng(2)
    request = Paraphrase().requests(1, rng)[0]
    reworded = {Paraphrase().reworded(request, rng) for _ in range(20)}

    assert len(reworded) > 1
    assert {text_of(family, again or "") for again in reworded} == {text_of(family, request)}


def test_own_texts_are_asked_for(tmp_path: Path) -> None:
    """JSON Lines with `text`; a line without it is named."""
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "It  rained on 3 May."}\n\n{"txt": "no"}\n')
    with pytest.raises(DataError, match="line 3: allowed: an object with 'text'"):
        Paraphrase(texts=str(path))
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "It  rained on 3 May."}\n')
    request = Paraphrase(texts=str(other)).requests(1, np.random.default_rng(0))[0]

    assert request.endswith("It rained on 3 May.")
    with pytest.raises(UnknownNameError, match="brief"):
        Paraphrase(prompts="breif")


def test_shuffles_deal_sentences() -> None:
    """Within a text their order, across texts their place; nothing is lost."""
    carrier, rng = Paraphrase(prompts="brief"), np.random.default_rng(3)
    within = carrier.shuffled_within(RIVER, rng)
    across = carrier.shuffled_across([RIVER, "One. Two."], rng)

    def sentences(text: str) -> list[str]:
        return sorted(re.findall(r"[^.\s][^.]*\.", text))

    assert within != RIVER
    assert sentences(within) == sentences(RIVER)
    assert sentences(" ".join(across)) == sentences(f"{RIVER} One. Two.")
