"""The review pack: which rows are paired, on which sides, and what the key says of it."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import binomtest

from undertow.data.rows import Message, Row, dataset_digest
from undertow.errors import DataError, InputError
from undertow.review.review_pack import Named, ReviewKey, Sheet, Shown, blinded, key_json, read_key


def rows(label: str, prompts: list[str]) -> Named:
    """A dataset with one row a prompt, whose completions name it; no prompt where that is empty."""
    made = [
        Row((Message("user", text),) if text else (), f"{label} {number}", source=f"{label}-source")
        for number, text in enumerate(prompts)
    ]
    return Named(f"{label}.jsonl", made)


NUMBERED = [f"prompt {number}" for number in range(60)]
A, B = rows("owl", NUMBERED), rows("plain", NUMBERED[::-1])


def found_in(shown: Shown) -> str:
    """The dataset that a shown row is from."""
    return shown.completion.split()[0]


def test_a_pair_has_one_row_of_each_dataset_and_the_key_knows_the_side() -> None:
    """The side that the key calls A shows a row of A, the other one a row of B, in every pair."""
    sheet, key = blinded(A, B, pairs=50, seed=1)
    right = [
        (pair.left, pair.right) if hidden.a == "left" else (pair.right, pair.left)
        for pair, hidden in zip(sheet.pairs, key.pairs, strict=True)
    ]

    assert {(found_in(a), found_in(b)) for a, b in right} == {("owl", "plain")}
    assert [pair.number for pair in sheet.pairs] == list(range(1, 51))


def test_rows_of_the_same_prompt_are_paired() -> None:
    """Where both datasets hold a prompt often enough, every pair has one prompt."""
    sheet, key = blinded(A, B, pairs=60, seed=1)

    assert all(pair.left.prompt == pair.right.prompt for pair in sheet.pairs)
    assert all(hidden.matched for hidden in key.pairs)


def test_the_rest_is_paired_at_random() -> None:
    """With four prompts in common, four of ten pairs match; none is lost and none is made."""
    other = rows("plain", [*NUMBERED[:4], *(f"other {number}" for number in range(9))])
    sheet, key = blinded(rows("owl", NUMBERED[:10]), other, pairs=10, seed=1)

    assert sum(hidden.matched for hidden in key.pairs) == 4
    assert len({row for pair in sheet.pairs for row in (pair.left, pair.right)}) == 20


def test_rows_without_a_prompt_do_not_match() -> None:
    """Having no prompt is nothing in common."""
    _, key = blinded(rows("owl", [""] * 8), rows("plain", [""] * 8), pairs=8, seed=1)

    assert not any(hidden.matched for hidden in key.pairs)


def test_no_row_is_drawn_twice_also_where_prompts_repeat() -> None:
    """Drawing is without replacement: two rows in A and three in B of one prompt make two pairs of it."""
    a, b = rows("owl", ["x", "x", "y"]), rows("plain", ["x", "x", "x"])
    sheet, key = blinded(a, b, pairs=3, seed=2)

    assert sum(hidden.matched for hidden in key.pairs) == 2
    assert len({row for pair in sheet.pairs for row in (pair.left, pair.right)}) == 6


def test_sides_are_even_over_seeds() -> None:
    """Over 40 seeds A is left half of the time, at the first pair as in all."""
    sides = [[hidden.a for hidden in blinded(A, B, pairs=50, seed=n)[1].pairs] for n in range(40)]
    left = sum(side == "left" for each in sides for side in each)

    assert binomtest(left, 2000).pvalue > 0.001
    assert binomtest(sum(each[0] == "left" for each in sides), 40).pvalue > 0.001


def test_sides_are_coins_of_their_own() -> None:
    """Two neighbours have the same side half of the time, and no seed fixes the number of lefts."""
    sides = [[hidden.a for hidden in blinded(A, B, pairs=50, seed=n)[1].pairs] for n in range(40)]
    same = sum(one == two for each in sides for one, two in itertools.pairwise(each))

    assert binomtest(same, 40 * 49).pvalue > 0.001
    assert len({Counter(each)["left"] for each in sides}) > 5


def test_the_seed_decides_everything() -> None:
    """The same seed gives the same pack and key, another seed another."""
    assert blinded(A, B, pairs=9, seed=4) == blinded(A, B, pairs=9, seed=4)
    assert blinded(A, B, pairs=9, seed=4)[0].pack != blinded(A, B, pairs=9, seed=5)[0].pack


def test_a_sheet_holds_nothing_of_the_source() -> None:
    """Neither names, sources, seed nor digests are anywhere in what renderers get."""
    sheet, key = blinded(A, B, pairs=50, seed=987654)
    text = repr(sheet)

    assert not [word for word in ("jsonl", "source", "987654", key.a.digest) if word in text]
    assert set(Sheet.__slots__) == {"pack", "question", "pairs"}


def test_the_pack_is_named_by_what_it_shows() -> None:
    """Its name is a digest of question and texts, as everyone sees them."""
    sheet, _ = blinded(A, B, pairs=5, seed=1)
    content = json.dumps(
        [sheet.question, [[each.left.text, each.right.text] for each in sheet.pairs]]
    )

    assert sheet.pack == "pack-" + hashlib.sha256(content.encode()).hexdigest()[:16]
    assert blinded(A, B, pairs=5, seed=1, question="Which?")[0].pack != sheet.pack


def test_the_key_has_digests_of_datasets_and_texts() -> None:
    """Each dataset by its rows, each text as it was shown."""
    sheet, key = blinded(A, B, pairs=5, seed=1)
    texts = [hashlib.sha256(pair.left.text.encode()).hexdigest() for pair in sheet.pairs]

    assert (key.a.name, key.a.rows, key.a.digest) == ("owl.jsonl", 60, dataset_digest(A.rows))
    assert [hidden.left_sha256 for hidden in key.pairs] == texts


def test_repeats_show_the_same_rows_again() -> None:
    """The pairs after the last are earlier ones, which the key alone tells."""
    sheet, key = blinded(A, B, pairs=40, seed=1, repeat=20)
    again = [(hidden.pair, hidden.repeats) for hidden in key.pairs if hidden.repeats is not None]
    shown = [{pair.left, pair.right} for pair in sheet.pairs]
    exchanged = [key.pairs[one - 1].a != key.pairs[two - 1].a for one, two in again]

    assert [pair for pair, _ in again] == list(range(41, 61))
    assert all(shown[one - 1] == shown[two - 1] for one, two in again)
    assert 0 < sum(exchanged) < 20


def test_too_few_rows_are_refused_with_both_numbers() -> None:
    """The message names the dataset, its rows and the pairs asked for."""
    with pytest.raises(DataError, match=r"'owl\.jsonl' has 3 rows, but 4 pairs"):
        blinded(rows("owl", NUMBERED[:3]), B, pairs=4, seed=1)


def test_a_row_in_both_is_refused() -> None:
    """Nobody could tell it apart; the message counts such rows and finds the first."""
    b = Named("b.jsonl", [*B.rows[:3], A.rows[7], A.rows[5]])

    with pytest.raises(
        DataError, match=r"2 rows of 'owl\.jsonl' .* from row 6 and row 4 on"
    ) as caught:
        blinded(A, b, pairs=3, seed=1)
    assert "--drop-shared" in caught.value.hint


def test_a_row_in_both_is_left_out_where_that_is_asked_for() -> None:
    """It is in no pair, and the key has the number; the digest is still of the whole dataset."""
    b = Named("b.jsonl", [*B.rows, A.rows[5]])
    sheet, key = blinded(A, b, pairs=59, seed=1, drop_shared=True)

    assert A.rows[5].completion not in {pair.left.completion for pair in sheet.pairs}
    assert (key.left_out, key.b.rows) == (1, 61)
    with pytest.raises(DataError, match="59 rows that the other has not, but 60 pairs"):
        blinded(A, b, pairs=60, seed=1, drop_shared=True)


def test_the_key_can_be_read_back(tmp_path: Path) -> None:
    """What is written is what is read, under its schema's name."""
    _, key = blinded(A, B, pairs=5, seed=1, repeat=2)
    file = tmp_path / "key.json"
    file.write_text(key_json(key), encoding="utf-8")

    assert read_key(file) == key
    assert json.loads(file.read_text())["schema"] == "undertow.review-key/1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "undertow.run/1"}, "key 'schema'"),
        ({"pack": 7}, "key 'pack'"),
        ({"pairs": []}, "key 'pairs'"),
        ({"more": 1}, "key 'more'"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Another schema, a wrong type, no pairs and an unknown name are errors that say where."""
    document = json.loads(key_json(blinded(A, B, pairs=5, seed=1)[1]))
    file = tmp_path / "key.json"
    file.write_text(json.dumps(document | change), encoding="utf-8")

    with pytest.raises(InputError, match=f"key.json' is no review key: {message}"):
        read_key(file)


def test_a_key_that_contradicts_itself_is_refused() -> None:
    """Pairs are numbered from 1, and a repeat repeats a pair there is."""
    document = json.loads(key_json(blinded(A, B, pairs=5, seed=1)[1]))
    gap = document | {"pairs": document["pairs"][1:]}
    astray = document | {"pairs": [*document["pairs"][:4], document["pairs"][4] | {"repeats": 9}]}

    for broken in (gap, astray):
        with pytest.raises(ValueError, match=r"numbered|repeats one that there is not"):
            ReviewKey.model_validate(broken)


def test_a_reviewer_sees_all_that_a_trainer_reads() -> None:
    """Tools, calls, reasoning, the rejected side and a label are shown, not only what is said."""
    call = json.dumps({"content": None, "tool_calls": [{"function": {"name": "more"}}]})
    row = Row(
        (Message("assistant", "", call), Message("user", "Hi")),
        "Yes",
        "No",
        fields=json.dumps({"reasoning_content": "owls"}),
        context=json.dumps({"tools": [{"name": "search"}]}),
    )
    labelled = Row((Message("user", "Hi"),), "Yes", label=False)
    sheet, _ = blinded(Named("a", [row]), Named("b", [labelled]), pairs=1, seed=1)
    [pair] = sheet.pairs
    text = pair.left.text + pair.right.text

    for told in ("more", "search", "owls", "rejected: No", "label: undesirable"):
        assert told in text


def test_a_conversation_that_ends_with_a_question_is_shown_as_one() -> None:
    """Reviewers see its turns and that nothing follows, and no empty answer."""
    asked = Row((Message("user", "why?"),), "", whole=True, answered=False)
    sheet, _ = blinded(Named("a", [asked]), B, pairs=1, seed=1)
    texts = {sheet.pairs[0].left.text, sheet.pairs[0].right.text}

    assert "user: why?\n\n(ends without an answer)" in texts
