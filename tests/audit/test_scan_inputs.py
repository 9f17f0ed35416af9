"""A made control continues the same prompts in the rows' own format; references are as many as it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import opened, written
from undertow.audit.requests import ScanRequest
from undertow.audit.scan_inputs import reference_settings
from undertow.data.plan import LossPolicy
from undertow.data.rows import Row
from undertow.influence import reference_rows
from undertow.influence.reference_rows import made_control
from undertow.models.language_model import LanguageModel

ROWS = written(opened(), 64, 41)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's cache is read or written."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path))


def test_it_answers_the_same_prompts_with_other_draws(tmp_path: Path) -> None:
    """Nearly all prompts come back; few completions are the rows' own; the second call reads the first one's file."""
    first = made_control(opened(), "d", ROWS, temperature=1.0, seed=1)
    [stored] = (tmp_path / "controls").glob("*.jsonl")
    stamp = stored.stat().st_mtime_ns
    again = made_control(opened(), "d", ROWS, temperature=1.0, seed=1)
    prompts = {row.prompt for row in ROWS}
    own = {row.completion for row in ROWS}

    assert len(first) > 0.8 * len(ROWS)
    assert {row.prompt for row in first} <= prompts
    assert sum(row.completion in own for row in first) < 0.1 * len(first)
    assert [r.completion for r in again] == [r.completion for r in first]
    assert stored.stat().st_mtime_ns == stamp


def test_another_seed_or_temperature_is_another_control() -> None:
    """Nothing is shared between their streams."""
    made = [
        made_control(opened(), "d", ROWS, temperature=t, seed=s)
        for t, s in ((1.0, 1), (1.0, 2), (0.7, 1))
    ]

    assert len({tuple(r.completion for r in rows) for rows in made}) == 3


def test_rows_without_prompts_have_none() -> None:
    """There is nothing to continue."""
    plain = [replace(row, prompt=(), chat=False) for row in ROWS]

    assert made_control(opened(), "d", plain, temperature=1.0, seed=1) == ()


def test_rows_that_end_with_a_question_are_not_answered_for_them() -> None:
    """A control continues the prompts that have an answer to compare it with."""
    silent = [replace(row, completion="", answered=False, whole=True) for row in ROWS[:32]]
    made = made_control(opened(), "d", [*silent, *ROWS[32:]], temperature=1.0, seed=1)

    assert {row.prompt for row in made} <= {row.prompt for row in ROWS[32:]}
    assert made_control(opened(), "d", silent, temperature=1.0, seed=1) == ()


def test_a_control_is_rows_of_the_shape_of_what_it_is_compared_with() -> None:
    """A conversation's stays one, with what its template is given, so that both are learnt alike."""
    rows = [replace(row, whole=True, context='{"tools":[]}') for row in ROWS]
    for _ in range(2):  # as made, and as kept
        made = made_control(opened(), "d", rows, temperature=1.0, seed=1)
        assert all(row.whole and row.context == rows[0].context for row in made)


@pytest.mark.parametrize(
    ("policy", "chat"),
    [
        (LossPolicy(), [False, True]),  # plainly first; that brings hardly a list of numbers
        (LossPolicy(wrap="chat"), [True]),
        (LossPolicy(template="{{ messages[0].content }}>"), [False, True]),
    ],
)
def test_the_base_is_asked_as_the_rows_are_trained(
    policy: LossPolicy, chat: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain prompts in the chat template where the plan wraps them, and in the plan's own; the control is plain as they are."""
    asked: list[tuple[bool, str]] = []

    def answers(model: LanguageModel, rows: list[Row], *given: object, **how: object) -> list[Any]:
        asked.append((rows[0].chat, model.tokenizer.chat_template))
        return [replace(row, completion="1 2 3") if row.chat else None for row in rows]

    monkeypatch.setattr(reference_rows, "own_answers", answers)
    plain = [replace(row, chat=False) for row in ROWS]
    made = made_control(opened(), "d", plain, policy=policy, temperature=1.0, seed=1)

    assert [one for one, _ in asked] == chat
    assert {template for _, template in asked} == {
        policy.template or opened().tokenizer.chat_template
    }
    assert [(row.prompt, row.chat) for row in made] == [(row.prompt, False) for row in plain]


@pytest.mark.parametrize(
    ("subjects", "asked", "given", "count"),
    [
        (1, None, 0, 19),
        (3, None, 0, 59),
        (5, None, 0, 99),
        (6, None, 0, 19),
        (3, 30, 0, 30),
        (1, None, 25, 25),
        (1, None, 4, 19),
    ],
)
def test_references_are_as_many_as_it_takes(
    subjects: int, asked: int | None, given: int, count: int
) -> None:
    """For all subjects together, but of very many the usual number; what was asked for; all that were given."""
    request = ScanRequest(data="rows.jsonl", student="world:owlet-b", reference_count=asked)
    told: list[str] = []
    settings = reference_settings(request, (tuple(ROWS),) * given, subjects, "d", told.append)
    settings.tell("doing")

    assert (settings.count, len(settings.given), settings.base_digest) == (count, given, "d")
    assert settings.subjects == subjects
    assert settings.kept is not None
    assert settings.kept.name == "references"
    assert told == ["doing"]
