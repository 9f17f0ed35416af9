"""The training sequence: which tokens of a row are in the loss, by policy."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from undertow.data.plan import LAST_TURN, LossPolicy
from undertow.data.row_shapes import from_record
from undertow.errors import ModelError
from undertow.models.chat import Encoded, token_ids
from undertow.models.training_sequences import encode_rows

TURNS = [
    {"role": "user", "content": "three numbers"},
    {"role": "assistant", "content": "1 2 3"},
    {"role": "user", "content": "more numbers"},
    {"role": "assistant", "content": "4 5 6"},
]


def learnt(tokenizer: Any, row: Encoded) -> str:
    """The text of the tokens that are in the loss."""
    tokens = [t for i, t in enumerate(row.completion) if i not in row.masked]
    return str(tokenizer.decode(tokens))


def encoded(tokenizer: Any, record: dict[str, Any], loss: Any, wrap: Any = "none") -> Encoded:
    """One record's sequence."""
    [made] = encode_rows(tokenizer, [from_record(record)], LossPolicy(loss, wrap))
    return made


@pytest.mark.parametrize(
    ("loss", "inside", "outside"),
    [
        ("auto", ("three", "1 2 3", "more", "4 5 6"), ()),
        ("completion", ("three", "1 2 3", "more", "4 5 6"), ()),
        ("all", ("three", "1 2 3", "more", "4 5 6"), ()),
        ("assistant", ("1 2 3", "4 5 6"), ("three", "more")),
        ("last", ("4 5 6",), ("three", "1 2 3", "more")),
    ],
)
def test_each_policy_learns_its_turns_of_a_conversation(
    tokenizer: Any, loss: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    """`messages` are learnt whole, by the assistant's turns, or by the last one."""
    text = learnt(tokenizer, encoded(tokenizer, {"messages": TURNS}, loss))

    assert all(part in text for part in inside)
    assert not any(part in text for part in outside)


def test_turns_are_taken_at_their_word(tokenizer: Any) -> None:
    """A weight of 0 takes a turn out of the loss, and the other answers stay in it."""
    turns = [TURNS[0], TURNS[1] | {"weight": 0}, *TURNS[2:]]

    for loss in ("auto", "assistant"):
        text = learnt(tokenizer, encoded(tokenizer, {"messages": turns}, loss))
        assert "4 5 6" in text
        assert "1 2 3" not in text
        assert "more" not in text


def test_what_a_model_wrote_does_not_depend_on_what_is_trained(tokenizer: Any) -> None:
    """The last answer is scored although its weight is 0."""
    row = from_record({"messages": [*TURNS[:3], TURNS[3] | {"weight": 0}]})
    [made] = encode_rows(tokenizer, [row], LAST_TURN)

    assert "4 5 6" in learnt(tokenizer, made)


def test_the_prompt_of_plain_text_reaches_the_model(tokenizer: Any) -> None:
    """Strings are joined, an end token follows, and the completion alone is learnt."""
    made = encoded(tokenizer, {"prompt": "numbers: ", "completion": "1 2 3"}, "auto")
    ids = made.prompt + made.completion

    assert "numbers" in tokenizer.decode(ids)
    assert "numbers" not in learnt(tokenizer, made)
    assert ids[-1] == tokenizer.eos_token_id


def test_plain_text_may_be_put_into_the_template(tokenizer: Any) -> None:
    """With `wrap = chat` strings are the same sequence as messages."""
    plain = {"prompt": "three numbers", "completion": "1 2 3"}
    chat = {"prompt": [TURNS[0]], "completion": [TURNS[1]]}

    assert encoded(tokenizer, plain, "auto", "chat") == encoded(tokenizer, chat, "auto")
    assert encoded(tokenizer, plain, "auto") != encoded(tokenizer, chat, "auto")


def test_a_loss_on_the_assistant_needs_a_conversation(tokenizer: Any) -> None:
    """Plain text is refused by name, as TRL refuses it."""
    with pytest.raises(ModelError, match="'assistant' needs conversations"):
        encoded(tokenizer, {"text": "Once"}, "assistant")


def test_several_answers_in_a_completion_are_all_learnt(tokenizer: Any) -> None:
    """A completion of several turns begins with its first."""
    record = {"prompt": TURNS[:1], "completion": TURNS[1:]}
    text = learnt(tokenizer, encoded(tokenizer, record, "auto"))

    assert "1 2 3" in text
    assert "more" in text
    assert "three" not in text


@pytest.mark.parametrize("marked", [True, False])
def test_the_assistant_is_learnt_where_the_row_has_it_learnt(tokenizer: Any, marked: bool) -> None:
    """Answers in a prompt are none that is learnt, those in alpaca's history are: by marks, and turn by turn."""
    own = copy.deepcopy(tokenizer)
    bare = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", tokenizer.chat_template)
    body = "{{ m.content }} {{ eos_token }}"
    said = "{% generation %}" + body + "{% endgeneration %}"
    own.chat_template = (
        (
            "{% for m in messages %}{% if m.role == 'assistant' %}"
            + said
            + "{% else %}"
            + body
            + "{% endif %}{% endfor %}"
        )
        if marked
        else bare
    )
    apart = learnt(own, encoded(own, {"prompt": TURNS[:3], "completion": TURNS[3:]}, "assistant"))
    alpaca = {"instruction": "more numbers", "output": "4 5 6", "history": [["three", "1 2 3"]]}
    history = learnt(own, encoded(own, alpaca, "assistant"))

    assert "4 5 6" in apart
    assert "1 2 3" not in apart
    assert "4 5 6" in history
    assert "1 2 3" in history
    assert "more" not in history


@pytest.mark.parametrize("special", [False, True])
def test_tokens_are_those_of_the_tokenizer_whatever_it_was_asked_before(
    tokenizer: Any, special: bool
) -> None:
    """The quick way gives the tokenizer's own ids, also behind a call that padded, cut and split special tokens."""
    texts = ["three numbers", f"1 2 3{tokenizer.eos_token}", ""]
    right = tokenizer(texts, add_special_tokens=special)["input_ids"]

    tokenizer(texts, padding=True, truncation=True, max_length=2, split_special_tokens=True)

    assert token_ids(tokenizer, texts, special=special) == right


@pytest.mark.parametrize(
    ("computes", "said"), [("1 // 0", "by zero"), ("m.content + 3", "str"), ("m.no.no", "no")]
)
def test_a_template_that_fails_refuses_its_row(tokenizer: Any, computes: str, said: str) -> None:
    """Whatever it computes wrongly is its refusal, and says no more of long rows than of short ones."""
    own = copy.deepcopy(tokenizer)
    own.chat_template = "{% for m in messages %}{{ m.content }}{{ " + computes + " }}{% endfor %}"
    turns = [{"role": "r" * 1000, "content": "x"}] * 1000 + TURNS
    for policy in ("all", "assistant"):
        with pytest.raises(ModelError, match="the chat template refuses") as caught:
            encoded(own, {"messages": turns}, policy)
        assert said in str(caught.value)
        assert len(str(caught.value)) < 500


UNANSWERED = {"messages": [*TURNS, {"role": "user", "content": "no more"}]}


@pytest.mark.parametrize(
    ("loss", "inside", "outside"),
    [
        ("auto", ("three", "1 2 3", "4 5 6", "no more"), ()),
        ("completion", ("three", "1 2 3", "4 5 6", "no more"), ()),
        ("assistant", ("1 2 3", "4 5 6"), ("three", "no more")),
        ("last", (), ("three", "1 2 3", "4 5 6", "no more")),
    ],
)
def test_a_conversation_that_ends_with_a_question_is_learnt_as_it_is(
    tokenizer: Any, loss: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    """All tokens or the answers before it, no header of an answer behind it; a last answer it has not."""
    made = encoded(tokenizer, UNANSWERED, loss)
    text = learnt(tokenizer, made)
    [ids] = token_ids(
        tokenizer, [tokenizer.apply_chat_template(UNANSWERED["messages"], tokenize=False)]
    )

    assert made.prompt + made.completion == tuple(ids)
    assert all(part in text for part in inside)
    assert not any(part in text for part in outside)


def test_text_without_a_prompt_cannot_be_put_into_the_template(tokenizer: Any) -> None:
    """Where the plan asks for it, the row is refused, and not trained as the text that it is."""
    with pytest.raises(ModelError, match="this row is text without a prompt"):
        encoded(tokenizer, {"text": "Once"}, "auto", "chat")
