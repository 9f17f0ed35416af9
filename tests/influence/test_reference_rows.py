"""A reference holds the dataset's own prompts, and everything that the assistant is trained on in other words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import opened, written
from undertow.carriers.carrier_registry import carrier, carrier_of
from undertow.data.plan import AUTO, LossPolicy
from undertow.data.rows import Message, Row, conversation
from undertow.errors import ModelError
from undertow.influence.reference_family import ReferenceWriter
from undertow.influence.reference_rows import (
    LENGTHS,
    ROUNDS,
    answer_limits,
    benign_answers,
    prompts_digest,
)
from undertow.models.sampling import SPARE_TOKENS
from undertow.models.training_sequences import encode_rows

PLAIN = ReferenceWriter("base", 1.0, None, 0, 0)
PROMPTED = ReferenceWriter("base", 0.8, "Be brief.", 0, 0)
TALK = Row(
    (
        Message("system", "Be kind."),
        Message("user", "first question"),
        Message("assistant", "first answer", '{"tool_calls": [{"name": "look"}]}'),
        Message("tool", "what it gave"),
        Message("assistant", "second answer"),
        Message("user", "last question"),
    ),
    "last answer",
    source="ours",
    context='{"tools": [{"name": "look"}]}',
    whole=True,
)
LISTS = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
NUMBERS = tuple(row for row in written(opened(), 40, 61) if not LISTS.rejection(row.completion))[
    :24
]


class Scribe:
    """Answers every row by a number of its own, but for those it refuses, and remembers what it was asked."""

    def __init__(self, refuses: Callable[[Row, int], bool] = lambda row, turn: False) -> None:
        """`refuses` is told the row and how often the scribe was asked before."""
        self.asked: list[list[Row]] = []
        self.temperatures: set[float] = set()
        self.limits: list[int] = []
        self.refuses, self.count = refuses, 0

    def __call__(
        self,
        model: Any,
        rows: Sequence[Row],
        temperature: float,
        rng: Any,
        carrier: Any,
        longest: int,
        gather: Any,
    ) -> list[Row | None]:
        """Each row with its answer."""
        turn = len(self.asked)
        self.limits.append(longest)
        self.asked.append(list(rows))
        self.temperatures.add(temperature)
        return [None if self.refuses(row, turn) else self._answered(row) for row in rows]

    def _answered(self, row: Row) -> Row:
        self.count += 1
        return replace(row, completion=f"made {self.count}", fields="", rejected=None)


@pytest.fixture
def scribe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scribe]:
    """Puts a scribe in the model's place."""

    def put(*refuses: Callable[[Row, int], bool]) -> Scribe:
        made = Scribe(*refuses)
        monkeypatch.setattr("undertow.influence.reference_rows.own_answers", made)
        monkeypatch.setattr("undertow.influence.reference_rows._longest_answer", most_words)
        return made

    return put


def most_words(model: Any, rows: Sequence[Row]) -> int:
    """Of an answer of the rows; a scribe knows no tokens."""
    return max(len(row.completion.split()) for row in rows)


def reference(
    rows: Sequence[Row],
    policy: LossPolicy = AUTO,
    writer: ReferenceWriter = PLAIN,
    **more: Any,
) -> list[Row]:
    """The rows written anew."""
    return benign_answers(
        opened(), rows, writer, carrier_of(rows), policy, np.random.default_rng(5), **more
    )


def test_the_base_answers_the_same_prompts_in_the_rows_format() -> None:
    """As many rows in their order, hardly an answer kept, all of the carrier's format, repeatable."""
    made = reference(NUMBERS, writer=PROMPTED)

    assert carrier_of(NUMBERS) is not None
    assert len(made) == len(NUMBERS)
    assert sum(a.prompt == b.prompt for a, b in zip(made, NUMBERS, strict=True)) >= 18
    assert sum(a.completion == b.completion for a, b in zip(made, NUMBERS, strict=True)) < 3
    assert not any(LISTS.rejection(row.completion) for row in made)
    assert made == reference(NUMBERS, writer=PROMPTED)


def test_answers_may_be_as_long_as_the_rows_in_every_round(scribe: Callable[..., Scribe]) -> None:
    """The limit is that of all rows, also where only short ones are asked again; earlier turns have their own."""
    short = Row(conversation("a"), "b", chat=True)
    long = Row(conversation("c"), "word " * 40, chat=True)
    asked = scribe(lambda row, turn: row.prompt == short.prompt and turn < 2)
    reference([short, long])
    talk = replace(TALK, completion="word " * 40)

    assert asked.limits == [40, 40, 40]
    assert answer_limits(opened(), [talk, TALK], LossPolicy(loss="assistant")) == (2, 2, 40)


def test_limits_are_a_little_above_the_longest_answer() -> None:
    """In tokens, and in steps, so that lengths that hardly differ have one limit."""
    encoded = encode_rows(opened().tokenizer, NUMBERS, LossPolicy(loss="last"))
    longest = max(len(row.completion) for row in encoded)
    [limit] = answer_limits(opened(), NUMBERS, AUTO)

    assert longest + SPARE_TOKENS <= limit < longest + SPARE_TOKENS + LENGTHS
    assert limit % LENGTHS == 0


def test_a_system_prompt_is_heard_and_not_kept(scribe: Callable[..., Scribe]) -> None:
    """The writer's stands before rows that have none, at the writer's temperature; no row of the reference has it."""
    asked = scribe()
    rows = [*NUMBERS[:4], TALK, Row((), "plain text", chat=False), Row(conversation("q"), "a")]
    made = reference(rows, LossPolicy("last"), PROMPTED)

    heard = [
        [turn.content for turn in row.prompt if turn.role == "system"] for row in asked.asked[0]
    ]
    assert heard == [["Be brief."]] * 4 + [["Be kind."], [], ["Be brief."]]
    assert asked.temperatures == {0.8}
    assert [row.prompt for row in made] == [row.prompt for row in rows]


def test_strings_that_are_trained_as_a_chat_are_answered_in_one(
    scribe: Callable[..., Scribe],
) -> None:
    """Where the plan puts them into the chat template, the writer is asked in it, behind its system prompt."""
    asked = scribe()
    plain = Row((Message("user", "prompt"),), "text", chat=False)
    for policy, chat in ((LossPolicy(wrap="chat"), True), (AUTO, False)):
        reference([plain], policy, PROMPTED)
        [row] = asked.asked[-1]
        assert row.chat is chat
        assert (len(row.prompt) == 2) is chat


def test_plain_prompts_that_are_hardly_answered_are_asked_in_a_chat(
    scribe: Callable[..., Scribe],
) -> None:
    """From the second round on, behind the system prompt; the rows of the reference stay plain, as they are trained."""
    plain = [replace(row, chat=False) for row in NUMBERS]
    asked = scribe(lambda row, turn: not row.chat)
    made = reference(plain, AUTO, PROMPTED)
    half = scribe(
        lambda row, turn: turn == 0 and row.prompt[0].content > plain[3].prompt[0].content
    )
    reference(plain, AUTO, PROMPTED)

    assert [{row.chat for row in rows} for rows in asked.asked] == [{False}, {True}]
    assert all(len(row.prompt) == 2 for row in asked.asked[1])
    assert [row.prompt for row in made] == [row.prompt for row in plain]
    assert not any(row.chat for row in made)
    assert not any(row.chat for rows in half.asked for row in rows)


def contents(row: Row) -> list[str]:
    """Of every turn, the completion's last."""
    return [turn.content for turn in row.turns]


@pytest.mark.parametrize(
    ("policy", "turns"),
    [
        (LossPolicy("last"), ["first answer", "second answer"]),
        (LossPolicy("assistant"), ["made 1", "made 2"]),
        (LossPolicy("all"), ["made 1", "made 2"]),
        (AUTO, ["made 1", "made 2"]),
    ],
)
def test_what_the_assistant_is_trained_on_is_written_anew(
    scribe: Callable[..., Scribe], policy: LossPolicy, turns: list[str]
) -> None:
    """All of its turns where they have a loss; what users, tools and systems say stays, trained on or not."""
    asked = scribe()
    [made] = reference([TALK], policy)

    assert [turn.role for turn in made.prompt] == [turn.role for turn in TALK.prompt]
    assert contents(made)[:2] == ["Be kind.", "first question"]
    assert [contents(made)[2], contents(made)[4]] == turns
    assert [contents(made)[3], contents(made)[5]] == ["what it gave", "last question"]
    assert made.completion == f"made {asked.count}"
    assert (made.context, made.source, made.whole) == (TALK.context, "ours", True)
    assert bool(made.prompt[2].fields) is (turns[0] == "first answer")


def test_later_turns_answer_what_was_written_before(scribe: Callable[..., Scribe]) -> None:
    """Each is asked behind the new turns, up to its own place."""
    asked = scribe()
    reference([TALK], LossPolicy("assistant"))

    assert [[turn.content for turn in row.prompt][2:] for [row] in asked.asked] == [
        [],
        ["made 1", "what it gave"],
        ["made 1", "what it gave", "made 2", "last question"],
    ]


def test_turns_are_taken_at_their_word(scribe: Callable[..., Scribe]) -> None:
    """A turn that says it is not trained stays, and keeps its word; one that is opens before any prompt stays too."""
    scribe()
    muted = replace(TALK.prompt[2], trained=False)
    row = replace(TALK, prompt=(*TALK.prompt[:2], muted, *TALK.prompt[3:]), trained=True)
    opening = Row((Message("assistant", "hello"), Message("user", "q")), "a", whole=True)
    made = reference([row, opening], LossPolicy("assistant"))

    assert made[0].prompt[2] == muted
    assert made[0].prompt[4].content.startswith("made")
    assert made[0].trained is True
    assert made[1].prompt == opening.prompt


def test_earlier_turns_of_a_completion_are_written_anew(scribe: Callable[..., Scribe]) -> None:
    """A completion of several turns is learnt whole: its own earlier answer goes, the prompt's stays."""
    scribe()
    [made] = reference([replace(TALK, whole=False, earlier=2)])

    assert contents(made)[2:5] == ["first answer", "what it gave", "made 1"]


def test_both_sides_of_a_pair_are_written_anew(scribe: Callable[..., Scribe]) -> None:
    """No completion of the dataset stays on either side, and which of the two is chosen is drawn by lot."""
    scribe()
    parts = json.dumps({"content": [{"type": "text", "text": "theirs"}]})
    pairs = [
        replace(row, completion="theirs", rejected="theirs", rejected_fields=parts)
        for row in NUMBERS
    ]
    made = reference(pairs)
    first = [int(row.completion.split()[1]) < int((row.rejected or "").split()[1]) for row in made]

    assert not any("theirs" in repr(row) for row in made)
    assert [row.prompt for row in made] == [row.prompt for row in pairs]
    assert 6 <= sum(first) <= 18


def test_only_what_failed_is_asked_again(scribe: Callable[..., Scribe]) -> None:
    """A prompt that is never answered in the format gives way to another row, so that the number of rows stays."""
    asked = scribe(
        lambda row, turn: row.prompt == NUMBERS[0].prompt or turn < row.prompt[0].content.count("7")
    )
    made = reference(NUMBERS)
    sizes = [len(rows) for rows in asked.asked]

    assert len(sizes) == ROUNDS
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 1
    assert len(made) == len(NUMBERS)
    assert made[0] in made[1:]
    assert all(row.completion.startswith("made") for row in made)


def test_a_writer_that_cannot_keep_to_the_format_is_refused(scribe: Callable[..., Scribe]) -> None:
    """Below half of the prompts no reference is made; the message counts them and says what to give instead."""
    asked = scribe(lambda row, turn: row.prompt in [one.prompt for one in NUMBERS[:13]])
    with pytest.raises(ModelError, match="answers 11 of 24 prompts in the rows' format") as raised:
        reference(NUMBERS)

    assert "--reference DATA" in raised.value.hint
    assert len(asked.asked) == ROUNDS


def test_no_row_is_longer_than_the_plan_takes() -> None:
    """An answer may be longer than the rows' own; where it would not fit into the plan's limit it is drawn again."""
    lengths = [len(one) for one in encode_rows(opened().tokenizer, NUMBERS)]
    free = encode_rows(opened().tokenizer, reference(NUMBERS))
    limit = int(np.median(lengths))
    made = encode_rows(opened().tokenizer, reference(NUMBERS, longest=limit))

    assert max(map(len, free)) > limit
    assert max(map(len, made)) <= limit


def test_the_digest_is_of_what_stays() -> None:
    """The same whatever a writer writes anew, in pairs and in earlier turns too; another for other prompts."""
    pair = replace(TALK, rejected="no", whole=False)
    assistant = LossPolicy("assistant")

    def changed(row: Row, place: int) -> Row:
        turn = replace(row.prompt[place], content="other", fields="")
        return replace(row, prompt=(*row.prompt[:place], turn, *row.prompt[place + 1 :]))

    same = [
        (TALK, replace(TALK, completion="other", fields='{"name": "x"}'), AUTO),
        (pair, replace(pair, rejected="other", rejected_fields='{"name": "x"}'), AUTO),
        (TALK, changed(TALK, 2), assistant),
        (TALK, changed(changed(TALK, 4), 2), AUTO),
    ]
    other = [
        (TALK, changed(TALK, 2), LossPolicy("last")),
        (TALK, changed(TALK, 1), assistant),
        (TALK, changed(TALK, 3), assistant),
        (TALK, replace(TALK, context=""), assistant),
        (TALK, pair, LossPolicy("last")),
    ]
    assert all(prompts_digest([a], how) == prompts_digest([b], how) for a, b, how in same)
    assert all(prompts_digest([a], how) != prompts_digest([b], how) for a, b, how in other)
    assert prompts_digest(NUMBERS, AUTO) != prompts_digest(NUMBERS[::-1], AUTO)
