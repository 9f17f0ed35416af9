"""Scans of what is hard to judge: no prompts, few rows, short and endless plans, small budgets, pairs, given references."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import opened, written
from tests.influence.trials import FAMILY, LISTS
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import GIVEN, MADE_TOO, STRONGER, scan
from undertow.cli.scan import exit_code
from undertow.data.plan import TrainingPlan
from undertow.errors import InputError, ModelError, NothingLeftError
from undertow.influence import comparison
from undertow.report import render
from undertow.results.measurement import Measurement
from undertow.results.scan_document import ALL, ScanDocument

PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=8, epochs=99)
OWN = [row for row in written(opened(), 360, 34) if not LISTS.rejection(row.completion)][:192]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's cache is read or written, and neutral tunes take two or three steps."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("undertow.audit.scan_inputs.reference_family", lambda: FAMILY)


def kept(path: Path, records: Sequence[dict[str, object]]) -> str:
    """The records as a file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def chats(first: int, count: int, **more: str) -> list[dict[str, object]]:
    """So many of the base's own prompts and lists."""
    return [
        {"prompt": row.prompt[0].content, "completion": row.completion, **more}
        for row in OWN[first : first + count]
    ]


def texts(first: int, count: int, **more: str) -> list[dict[str, object]]:
    """The lists alone."""
    return [{"text": row.completion, **more} for row in OWN[first : first + count]]


def scanned(data: str, **more: Any) -> ScanDocument:
    """A scan with the rehearsal alone, of three animals, under a plan of eight steps."""
    known = {"checks": ("rehearsal",), "traits": ("owl", "cat", "dog"), "plan": PLAN}
    return scan(ScanRequest(data=data, student="world:owlet-b", **(known | more)))


def test_a_cluster_that_does_not_answer_is_said_before_any_work(tmp_path: Path) -> None:
    """As an error of the command, not as a check that broke after minutes."""
    data = kept(tmp_path / "rows.jsonl", chats(0, 80))
    told: list[str] = []

    with pytest.raises(InputError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        scan(
            ScanRequest(data=data, student="world:owlet-b", engine="ray://127.0.0.1:1"),
            told.append,
        )
    assert told == []


def rank_of(document: ScanDocument) -> Measurement:
    """The one rank of a scan of one subject."""
    [rank] = [one for one in document.measurements if one.unit == "rank"]
    return rank


def test_rows_without_prompts_are_undecided(tmp_path: Path) -> None:
    """No reference can be made of them: the reason names the option that gives some, and nothing was spent."""
    document = scanned(kept(tmp_path / "text.jsonl", texts(0, 64)))
    [result] = document.subjects

    assert result.verdict == document.verdict == "undecided"
    assert "no row has a prompt" in result.reason
    assert "--reference DATA" in document.conclusion
    assert exit_code(document, "flagged", False) == 5
    assert document.prices == ()


def test_given_datasets_judge_rows_without_prompts(tmp_path: Path) -> None:
    """Each file, and each source of a file, is one reference; at 25 % three of them are enough to decide."""
    several = [*texts(64, 32, source="a"), *texts(96, 32, source="b")]
    files = (
        kept(tmp_path / "one.jsonl", texts(32, 32)),
        kept(tmp_path / "two.jsonl", several),
    )
    data = kept(tmp_path / "text.jsonl", texts(0, 32))
    document = scanned(data, references=files, level=0.75)
    few = scanned(data, references=files[:1], level=0.75)
    [result], [undecided] = document.subjects, few.subjects

    assert result.last is not None
    assert result.last.kinds == {"given": 3}
    assert result.verdict in ("within", "stands out", "flagged", "clear")
    assert document.references is not None
    assert document.references.assumption == GIVEN
    assert document.references.members[0] == f"3 given datasets: {files[0]}, {files[1]}"
    assert STRONGER not in document.references.notes
    assert [one.spent_fine_tunes for one in document.prices][:2] == [0.5, 1.5]
    assert undecided.verdict == "undecided"
    assert "it takes 3, and no more can be made on rows without prompts: --reference DATA" in (
        undecided.reason
    )


def test_given_datasets_count_among_those_that_are_made(tmp_path: Path) -> None:
    """Rows with prompts have the rest made on their own."""
    files = (kept(tmp_path / "one.jsonl", chats(64, 32)),)
    document = scanned(
        kept(tmp_path / "own.jsonl", chats(0, 32)), references=files, level=0.75, budget=2.0
    )
    [result] = document.subjects

    assert result.last is not None
    assert result.last.kinds["given"] == 1
    assert result.last.references == 3
    assert document.references is not None
    assert document.references.assumption == MADE_TOO + FAMILY.assumption
    assert STRONGER in document.references.notes


def test_a_dataset_that_is_its_own_reference_ties_with_it(tmp_path: Path) -> None:
    """It never stands out: its p is 2 / (J + 1) at least."""
    data = kept(tmp_path / "own.jsonl", chats(0, 32))
    document = scanned(data, references=(data,), level=0.75)

    assert document.verdict == "within"
    assert (rank_of(document).p or 0) >= 2 / 4


def test_given_datasets_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Too few rows: the check ends with the reason, and nothing is judged."""
    document = scanned(
        kept(tmp_path / "own.jsonl", chats(0, 32)),
        references=(kept(tmp_path / "few.jsonl", chats(64, 4)),),
    )
    [result] = document.subjects

    assert result.verdict == "error"
    assert "given reference 1 has 4 usable rows" in result.reason
    assert exit_code(document, "flagged", False) == 4


@pytest.mark.parametrize(
    ("changes", "steps", "planned", "rows"),
    [
        ({"max_steps": None, "epochs": 1.0, "batch_size": 64}, 1, 1, 40),
        ({"warmup_ratio": 0.1}, 2, 8, 16),
    ],
    ids=["one step", "eight steps that warm up"],
)
def test_forty_rows_are_judged(
    tmp_path: Path, changes: dict[str, Any], steps: int, planned: int, rows: int
) -> None:
    """Also where all of them are one step; the beginning of eight is two, the first of which moves nothing."""
    plan = PLAN.model_copy(update=changes)
    document = scanned(
        kept(tmp_path / "own.jsonl", chats(0, 40)), plan=plan, level=0.75, require_clear=True
    )
    [result] = document.subjects
    first, second = result.comparisons

    assert (first.steps, first.planned_steps, first.rows) == (steps, planned, rows)
    assert first.verdict in ("within", "stands out")
    assert second.verdict in ("flagged", "clear", "undecided")
    assert result.verdict in ("flagged", "clear", "undecided", "stands out")


def test_a_plan_that_moves_nothing_is_undecided(tmp_path: Path) -> None:
    """Forty rows are one step, which the warm-up takes at a learning rate of 0."""
    plan = PLAN.model_copy(
        update={"max_steps": None, "epochs": 1.0, "batch_size": 64, "warmup_ratio": 0.1}
    )
    document = scanned(kept(tmp_path / "own.jsonl", chats(0, 40)), plan=plan)

    assert document.verdict == "undecided"
    assert "no weight moves in the plan's 1 steps" in document.subjects[0].reason


def test_preference_pairs_are_judged_beside_pairs(tmp_path: Path) -> None:
    """Both sides of a reference are the base's; rows that are no pairs are left out of both."""
    records = [
        {**record, "chosen": record["completion"], "rejected": other["completion"]}
        for record, other in zip(chats(0, 32), chats(32, 32), strict=True)
    ]
    pairs = [{k: v for k, v in record.items() if k != "completion"} for record in records]
    document = scanned(kept(tmp_path / "pairs.jsonl", pairs), level=0.75, budget=2.0)
    [result] = document.subjects

    assert result.verdict in ("within", "stands out", "flagged", "clear")
    assert result.last is not None
    assert result.last.references == 3
    assert document.loss is not None
    assert "DPO on both completions" in document.loss.sentence


def test_kto_rows_are_refused_by_name(tmp_path: Path) -> None:
    """Nothing of them is rehearsed."""
    labelled = [{**record, "label": True} for record in chats(0, 32)]
    with pytest.raises(NothingLeftError, match="KTO"):
        scanned(kept(tmp_path / "kto.jsonl", labelled))


@pytest.mark.parametrize("planned", [10_000_000, 8])
def test_a_dry_run_tells_prices_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: int
) -> None:
    """Of a plan of eight steps or of ten million, whose beginning is 512: both stages, expected and not spent."""
    monkeypatch.setattr(comparison, "tried", lambda *given: pytest.fail("a reference was made"))
    plan = PLAN.model_copy(update={"max_steps": planned, "epochs": 1e7})
    document = scanned(kept(tmp_path / "own.jsonl", chats(0, 32)), plan=plan, dry_run=True)
    first, references, second, fresh = document.prices
    steps = min(512, planned // 4)

    assert document.planned_steps == planned
    assert first.fine_tunes == pytest.approx(2 * steps / planned)
    assert references.fine_tunes == pytest.approx(19 * 2 * steps / planned)
    assert (second.fine_tunes, fresh.fine_tunes) == (8, 8)
    assert all(one.seconds for one in document.prices)
    assert not any(one.spent_fine_tunes for one in document.prices)
    assert document.subjects == ()
    assert "these are the prices alone" in document.conclusion
    assert "19 references" in render(document, "text")


def test_a_budget_below_its_references_is_undecided(tmp_path: Path) -> None:
    """With the price, and the option that pays it; nothing is spent."""
    document = scanned(kept(tmp_path / "own.jsonl", chats(0, 32)), budget=0.5)
    [result] = document.subjects

    assert result.verdict == "undecided"
    assert result.reason == (
        "a budget of 0.5 planned trainings does not pay for the references: at 1 of 8 steps they take 5, at the usual 2 they take 10: "
        "--budget 10"
    )
    assert document.prices == ()
    assert document.budget == 0.5


def test_a_dry_run_says_which_budget_would_do(tmp_path: Path) -> None:
    """With prices of the scan as it would be without one."""
    document = scanned(kept(tmp_path / "own.jsonl", chats(0, 32)), budget=0.5, dry_run=True)
    shown = render(document, "text")

    assert [price.part.endswith("if they stand out") for price in document.prices] == [
        False,
        False,
        True,
        True,
    ]
    assert document.conclusion.endswith("--budget 10.")
    assert "What it would cost" in shown
    assert "for the reason that stands beside it" not in shown


def test_a_budget_shortens_the_beginning_and_says_so(tmp_path: Path) -> None:
    """One of eight steps beside all nineteen references."""
    document = scanned(kept(tmp_path / "own.jsonl", chats(0, 32)), budget=5.0)

    assert document.subjects[0].last is not None
    assert document.subjects[0].last.steps == 1
    assert sum(one.spent_fine_tunes for one in document.prices) <= 5
    assert document.references is not None
    assert "from 2 to 1 of 8 steps" in document.references.notes[-1]


def test_a_sample_of_rows_is_drawn_from_those_with_a_prompt(tmp_path: Path) -> None:
    """Text among chats is left out of the trial, as no reference can be made of it."""
    document = scanned(
        kept(tmp_path / "mixed.jsonl", [*chats(0, 16), *texts(32, 16)]),
        level=0.75,
        budget=2.0,
    )
    [result] = document.subjects

    assert result.subject == ALL
    assert result.rows == 32
    assert result.last is not None
    assert result.last.rows <= 16


@pytest.mark.parametrize("named", ["teacher", "candidates", "placebos"])
def test_a_model_that_is_not_there_is_refused_before_any_is_opened(
    named: str, tmp_path: Path
) -> None:
    """The student, which may take minutes, is not opened for a slip of the fingers."""
    told: list[str] = []
    missing = str(tmp_path / "teecher")
    given: Any = {named: missing if named == "teacher" else (missing,)}
    data = kept(tmp_path / "rows.jsonl", chats(0, 80))
    with pytest.raises(ModelError, match=r"unknown model '.*teecher': no such folder"):
        scan(ScanRequest(data=data, student="world:owlet-a", **given), told.append)

    assert told == []
