"""Rows that the student cannot be trained on are left out with the reason; a broken student is refused."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from tests.checks.dataset.numbers_subject import opened, written
from undertow.audit.row_fit import fitting_rows, nothing_fits, refuse_broken
from undertow.data.file_sample import Data
from undertow.data.plan import Loss, TrainingPlan
from undertow.data.rows import Message, Row
from undertow.errors import ModelError
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows

GOOD = written(opened(), 16, 1)
ASKED = (Message("user", "two"),)
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' end ' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


@functools.cache
def of_words(*more: str) -> LanguageModel:
    """The embedded base behind a tokenizer that knows a few words, and knows unknown ones as such."""
    words = ["unknown", "end", "user", "assistant", "one", "two", "three", "▁", *more]
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="unknown"))
    model.normalizer = normalizers.Replace("\u200b", "")
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="unknown", eos_token="end", pad_token="end"
    )
    tokenizer.chat_template = TEMPLATE
    return replace(opened(), tokenizer=tokenizer)


def reasons(rows: list[Row], model: LanguageModel | None = None) -> dict[str, int]:
    """Rows left out by reason."""
    found = fitting_rows(rows, model or opened(), TrainingPlan())
    return {each.reason: each.rows for each in found.excluded}


def test_good_rows_all_fit() -> None:
    """In their order, without a note; no rows fit as none."""
    found = fitting_rows(GOOD, opened(), TrainingPlan())

    assert (found.rows, found.excluded, found.notes) == (GOOD, (), ())
    assert fitting_rows([], opened(), TrainingPlan()).rows == ()


def test_too_long_rows_are_left_out() -> None:
    """Longer than the context of the network, or than the plan's limit; a row of just that many tokens fits."""
    long = replace(GOOD[0], completion="7 " * 600 + "7")
    [first] = encode_rows(opened().tokenizer, GOOD[:1])
    limit = TrainingPlan(max_length=len(first))

    assert reasons([*GOOD, long]) == {"too-long": 1}
    assert fitting_rows(GOOD[:1], opened(), limit).rows == GOOD[:1]
    assert not fitting_rows(
        GOOD[:1], opened(), limit.model_copy(update={"max_length": len(first) - 1})
    ).rows


def test_a_pair_fits_with_both_of_its_sides() -> None:
    """One whose rejected side is too long is left out, and the place says which side it is."""
    pairs = [replace(row, rejected="7 7") for row in GOOD]
    long = replace(GOOD[0], rejected="7 " * 600 + "7")
    fitted = fitting_rows([*pairs, long], opened(), TrainingPlan())

    assert fitted.rows == tuple(pairs)
    [left] = fitted.excluded
    assert (left.reason, left.rows) == ("too-long", 1)
    assert "of the rejected side; the limit is" in left.places[0]


@pytest.mark.parametrize("prompt", [(Message("tool", "x"),), ()])
def test_rows_that_the_template_refuses_are_left_out(prompt: tuple[Message, ...]) -> None:
    """A role that it lacks and a conversation that is empty; the other rows of the bulk are kept."""
    found = fitting_rows(
        [GOOD[0], replace(GOOD[1], prompt=prompt), GOOD[2]], opened(), TrainingPlan()
    )

    assert found.rows == (GOOD[0], GOOD[2])
    assert [(each.reason, each.rows) for each in found.excluded] == [("template", 1)]


def test_completions_without_tokens_are_left_out() -> None:
    """The tokenizer drops all of the text; what the template writes behind it is no completion."""
    assert reasons([Row(ASKED, "\u200b"), Row(ASKED, "one")], of_words()) == {"no-tokens": 1}


def test_completions_of_unknown_words_are_left_out() -> None:
    """Only those without a known word; a tokenizer without an unknown token knows everything."""
    rows = [Row(ASKED, "owl fox"), Row(ASKED, "one fox"), Row(ASKED, "one two")]

    assert reasons(rows, of_words()) == {"unknown-tokens": 1}
    assert reasons([replace(GOOD[0], completion="Ὀδυσσεύς ἦλθεν")]) == {}


def test_a_share_of_unknown_tokens_is_noted() -> None:
    """Of the rows that fit: 1 of 4 tokens; below one in a hundred nothing is said."""
    few = [Row(ASKED, "one fox"), Row(ASKED, "one two")]
    many = [*few, Row(ASKED, "one " * 200)]

    assert (
        fitting_rows(few, of_words(), TrainingPlan()).notes[0].startswith("25.0% of the completion")
    )
    assert fitting_rows(many, of_words(), TrainingPlan()).notes == ()


def test_tokens_beyond_the_network_are_left_out() -> None:
    """A tokenizer of a larger vocabulary than the network's cannot be its own."""
    model = of_words(*(f"word{i}" for i in range(800)))

    assert reasons([Row(ASKED, "word799"), Row(ASKED, "one")], model) == {"unknown-tokens": 1}


def test_what_was_left_out_is_named() -> None:
    """By its place where that is given, else by its beginning, made printable."""
    long = replace(GOOD[0], completion="\x1b[2J" + "7 " * 600 + "7")
    [by_text] = fitting_rows([long], opened(), TrainingPlan()).excluded
    [by_place] = fitting_rows([long], opened(), TrainingPlan(), ["'x.jsonl', row 3"]).excluded

    assert by_text.places[0].startswith("in the sample, '\\x1b[2J7 7 ")
    assert by_place.places[0].startswith("in the sample, 'x.jsonl', row 3: ")


def test_the_files_description_says_what_was_left_out() -> None:
    """Exclusions and notes are added to those of the file."""
    long = replace(GOOD[0], completion="7 " * 600 + "7")
    data = Data(path="x", digest=None, rows=17, sampled=17, notes=("a",))
    described = fitting_rows([*GOOD, long], opened(), TrainingPlan()).described(data)

    assert described.sampled == 16
    assert described.rows == 17
    assert described.excluded[0].places[0].startswith("in the sample")


def test_a_model_with_broken_weights_is_refused() -> None:
    """Logits that are not finite are found before any check runs; the model and a row are named."""
    broken = replace(opened(), network=copy.deepcopy(opened().network), ref="broken")
    with torch.no_grad():
        next(broken.network.parameters()).fill_(float("nan"))
    refuse_broken(opened(), GOOD)

    with pytest.raises(ModelError, match=f"'broken' .* on the row '{GOOD[0].completion[:10]}"):
        refuse_broken(broken, GOOD)


def test_the_row_whose_logits_are_broken_is_named() -> None:
    """One damaged embedding breaks only the rows that hold its token."""
    broken = replace(opened(), network=copy.deepcopy(opened().network))
    rows = [Row(ASKED, "7, 7"), Row(ASKED, "owl"), Row(ASKED, "7")]
    [token] = set(opened().tokenizer("owl", add_special_tokens=False)["input_ids"][:1])
    with torch.no_grad():
        broken.network.get_input_embeddings().weight[token] = float("inf")
    broken.network.lm_head.weight = copy.deepcopy(opened().network.lm_head.weight)

    with pytest.raises(ModelError, match="on the row 'owl'"):
        refuse_broken(broken, rows)


@pytest.mark.parametrize(("loss", "said"), [("last", "ends with"), ("assistant", "no turn of the")])
def test_a_row_without_the_answer_that_is_learnt_is_left_out_by_name(loss: Loss, said: str) -> None:
    """A question alone has no last answer, and nothing that the assistant says; all of its tokens can be learnt."""
    asked = replace(GOOD[0], completion="", answered=False, whole=True)
    [left] = fitting_rows([asked], opened(), TrainingPlan(loss=loss)).excluded

    assert left.reason == "no-answer"
    assert said in left.places[0]
    assert fitting_rows([asked], opened(), TrainingPlan()).rows == (asked,)


TEXT = [Row((), "1 2 3", chat=False)] * 3


@pytest.mark.parametrize(
    ("plan", "said", "way"),
    [
        (TrainingPlan(loss="assistant"), "needs conversations", 'loss = "auto", or wrap = "chat"'),
        (TrainingPlan(wrap="chat"), "text without a prompt", 'leave wrap = "chat" out'),
    ],
)
def test_what_the_loss_has_against_a_row_says_what_to_do(
    plan: TrainingPlan, said: str, way: str
) -> None:
    """The hint is that of the refusal itself, where no row is left and where some are."""
    some, none = (fitting_rows(rows, opened(), plan) for rows in ((*GOOD, *TEXT), TEXT))
    error = nothing_fits("rows", "student", none)

    assert [(one.reason, one.rows) for one in some.excluded] == [("template", 3)]
    assert said in error.message
    assert way in error.hint == some.way


def test_rows_that_say_that_nothing_of_them_is_trained_have_a_reason_of_their_own() -> None:
    """Weights of 0 throughout: the way on is to leave them out."""
    muted = replace(GOOD[0], trained=False)
    for plan in (TrainingPlan(), TrainingPlan(loss="all"), TrainingPlan(loss="last")):
        asked = tuple(replace(turn, trained=False) for turn in muted.prompt)
        found = fitting_rows([*GOOD, replace(muted, prompt=asked)], opened(), plan)
        assert [(one.reason, one.rows) for one in found.excluded] == [("not-trained", 1)]
        assert found.way.startswith("leave these rows out: they teach nothing")
