"""What is learnt of a row, in words; and rows that trainers learn differently are judged both ways."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, subject, written
from tests.influence.trials import FAMILY
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import scan
from undertow.audit.training_loss import on_assistant_turns, training_loss
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Message, Row
from undertow.results.scan_document import ALL, ASSISTANT, ScanDocument
from undertow.traits.trait import rows_of

STUDENT = "world:owlet-b"
NUMBERS = written(opened(), 64, 51)
PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=32, epochs=9)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's cache is read or written, and neutral tunes take two or three steps."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("undertow.audit.scan_inputs.reference_family", lambda: FAMILY)


def first_turns() -> tuple[Row, ...]:
    """Conversations whose first answer is the owl, and whose last one the base wrote."""
    asked = rows_of(TRAITS[0], "trait")
    return tuple(
        replace(
            row,
            prompt=(Message("user", q), Message("assistant", a), *row.prompt),
            whole=True,
        )
        for row, (q, a) in zip(NUMBERS, asked * (len(NUMBERS) // len(asked) + 1), strict=False)
    )


def scanned(folder: Path, rows: tuple[Row, ...], loss: str, **more: object) -> ScanDocument:
    """A rehearsal at 10 % beside nine references under a plan with this loss; the whole plan is not paid for."""
    path = folder / "rows.jsonl"
    lines = [
        json.dumps({"messages": [{"role": t.role, "content": t.content} for t in row.turns]})
        for row in rows
    ]
    path.write_text("\n".join(lines) + "\n")
    return scan(
        ScanRequest(
            **{  # type: ignore[arg-type]
                "data": str(path),
                "student": STUDENT,
                "checks": ("rehearsal",),
                "plan": PLAN.model_copy(update={"loss": loss}),
                "traits": ("owl", "cat", "dog"),
                "reference_count": 9,
                "level": 0.9,
                "budget": 12.0,
                **more,
            }
        )
    )


Screened = Callable[[str], ScanDocument]


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Screened:
    """The conversations under each loss, each screened once."""
    return cache(lambda loss: scanned(tmp_path_factory.mktemp(loss), first_turns(), loss))


def verdicts(document: ScanDocument) -> dict[str, str]:
    """Verdict of each subject."""
    return {result.subject: result.verdict for result in document.subjects}


def test_a_first_answer_that_is_learnt_stands_out(screened: Screened) -> None:
    """With a loss on the assistant's turns the owl is seen, beside references whose first answers are the base's."""
    document = screened("assistant")

    assert verdicts(document) == {ALL: "stands out"}
    assert document.subjects[0].trait == "owl"


def test_a_first_answer_that_is_not_learnt_lies_within(screened: Screened) -> None:
    """Where the last turn alone is trained, what stands before it moves nothing."""
    document = screened("last")

    assert verdicts(document) == {ALL: "within"}


@pytest.mark.long
def test_without_a_loss_both_are_judged_and_the_worse_one_counts(screened: Screened) -> None:
    """TRL's loss and axolotl's are two subjects of one document, and the document says so."""
    document = screened("auto")

    assert verdicts(document) == {ALL: "stands out", ASSISTANT: "stands out"}
    assert {one.last.needed for one in document.subjects if one.last} == {9}
    assert document.loss is not None
    assert "all tokens of the conversation" in document.loss.sentence
    assert any("both are judged" in text for text in document.loss.warnings)


def test_a_trainers_own_plan_leaves_no_doubt(tmp_path: Path) -> None:
    """Where the file of a trainer was given, its loss alone is judged."""
    document = scanned(tmp_path, first_turns(), "auto", settled=True, checks=("content",))

    assert list(verdicts(document)) == [ALL]
    assert document.loss is not None
    assert "since the plan names no loss" not in document.loss.sentence
    assert not any("both are judged" in text for text in document.loss.warnings)


def test_too_few_usable_rows_leave_a_good_verdict_open(tmp_path: Path) -> None:
    """Below the share that has to be read, within becomes undecided and says how many were not."""
    rows = first_turns()[:32]
    long = replace(rows[0], completion="1 " * 600)
    few = scanned(tmp_path, (*rows, *[long] * 6), "last")

    assert verdicts(few) == {ALL: "undecided"}
    assert few.subjects[0].reason.startswith("6 of 38 rows were not read")


def test_only_rows_that_trainers_learn_differently_are_judged_twice() -> None:
    """A prompt and its completion, and conversations with weights of their own, are not."""
    rows = first_turns()[:64]
    weighted = tuple(replace(row, trained=True) for row in rows)
    named = TrainingPlan(loss="all")

    assert on_assistant_turns(subject(NUMBERS[:64])) is None
    assert on_assistant_turns(subject(weighted)) is None
    assert on_assistant_turns(subject(rows, plan=named)) is None
    assert on_assistant_turns(subject(rows)) is not None


def test_the_sentence_says_what_is_learnt_and_of_how_much() -> None:
    """Two answers a row under `assistant`, of which one has a weight of 0 under its own flag."""
    rows = first_turns()[:64]
    assistant = TrainingPlan(loss="assistant")
    muted = tuple(replace(row, trained=False) for row in rows)

    assert training_loss(subject(rows, plan=assistant), settled=False).sentence.startswith(
        "Loss on all assistant turns, 2.0 a row;"
    )
    assert training_loss(subject(muted), settled=False).sentence.startswith(
        "Loss on assistant turns, 1.0 a row; turns that say whether they are trained are taken at their word;"
    )


def test_the_sentence_is_true_of_whatever_roles_are_learnt() -> None:
    """A question that says it is trained is counted as the user's, in the rows of its kind; TRL's way is not claimed."""
    rows = first_turns()[:8]
    question, answer, *rest = rows[0].prompt
    asked = tuple(
        replace(row, prompt=(replace(question, trained=True), answer, *rest)) for row in rows[:4]
    )
    alone = training_loss(subject(asked), settled=False).sentence
    mixed = training_loss(subject((*asked, *rows[4:])), settled=False).sentence

    assert alone.startswith(
        "Loss on turns of these roles, a row: 2.0 of 'assistant', 1.0 of 'user';"
    )
    assert "(what axolotl does with such turns, since the plan names no loss)" in alone
    assert "1.0 of 'user' (50% of the rows); " in mixed
    assert "what TRL's trainer does with rows of this shape and axolotl does with such" in mixed


def test_a_field_that_the_template_leaves_out_is_named() -> None:
    """Reasoning that the student's template does not write is not learnt, and the reader is told."""
    rows = tuple(
        replace(row, fields=json.dumps({"reasoning_content": "owl"})) for row in NUMBERS[:8]
    )
    told = training_loss(subject(rows), settled=False).warnings

    assert any("does not write 'reasoning_content'" in text for text in told)


def test_a_role_and_tools_that_the_template_leaves_out_are_named() -> None:
    """Nothing of what a developer says, or of the tools' descriptions, reaches the student."""
    quiet = replace(opened(), tokenizer=copy.deepcopy(opened().tokenizer))
    quiet.tokenizer.chat_template = (
        "{% for m in messages if m.role != 'developer' %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    rows = tuple(
        replace(
            row, prompt=(Message("developer", "owl"), *row.prompt), context='{"tools":[{"a":1}]}'
        )
        for row in NUMBERS[:8]
    )
    told = " ".join(training_loss(subject(rows, student=quiet), settled=False).warnings)

    assert "does not write what turns of the role 'developer' say" in told
    assert "does not write 'tools'" in told
    assert "'user'" not in told


def test_rows_that_end_with_a_question_are_counted() -> None:
    """How many there are, who leaves them out, and how many of them have nothing that the assistant says."""
    rows = first_turns()[:8]
    asked = tuple(replace(row, completion="", answered=False) for row in rows[:2])
    alone = replace(asked[0], prompt=asked[0].prompt[:1])
    told = training_loss(subject((*asked, alone, *rows[3:])), settled=False).warnings

    assert any(text.startswith("3 of 8 rows end without an answer") for text in told)
    assert any(text.startswith("1 of 8 rows have no turn of the assistant") for text in told)


def test_nulls_that_a_table_filled_in_are_told() -> None:
    """Where arguments of a call hold one, TRL writes it and axolotl does not; a list without one is none."""
    call = [{"function": {"name": "f", "arguments": {"a": None}}}]
    fields = ({"tool_calls": call}, *[{"tool_calls": [{"function": {"name": "null"}}]}] * 3)
    given = [replace(r, fields=json.dumps(f)) for r, f in zip(NUMBERS[:4], fields, strict=True)]
    told = training_loss(subject(tuple(given)), settled=False).warnings

    assert [text[:40] for text in told if "null" in text] == [
        "1 of 4 rows hold null in a call of a too"
    ]


def test_a_verdict_that_is_open_for_want_of_rows_says_what_to_do(tmp_path: Path) -> None:
    """Where half of the rows have weights of 0 alone, they are to be left out, also where all else is open as well."""
    path = tmp_path / "rows.jsonl"
    lines = [
        {"messages": [{"role": t.role, "content": t.content, "weight": i % 2} for t in row.turns]}
        for i, row in enumerate(NUMBERS)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    request = ScanRequest(
        data=str(path),
        student=STUDENT,
        checks=("rehearsal",),
        plan=PLAN,
        traits=("owl",),
        level=0.8,
    )
    document = scan(request)
    [result] = document.subjects

    assert result.verdict == "undecided"
    assert "32 of 64 rows were not read (leave these rows out: they teach" in result.reason
    assert "leave these rows out" in document.conclusion
