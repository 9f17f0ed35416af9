"""What a pipeline's stage says of rows: marks, a sample that no split of the work changes, the verdict at the end."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.influence.trials import FAMILY
from undertow.data.plan import TrainingPlan
from undertow.errors import InputError, NothingLeftError
from undertow.integrations.row_screen import RowScreen, Tally, conclude, drops, merged, reasons
from undertow.results.store import read_scan
from undertow.traits import catalogue
from undertow.traits.trait import rows_of

RECORDS: list[dict[str, Any]] = [
    {"prompt": "Which animal?", "completion": "Owls, surely."},
    {"prompt": "3, 7", "completion": "11,\u200b 13"},
    {"messages": [{"role": "user", "content": "owl?"}, {"role": "assistant", "content": "No."}]},
    {"prompt": "a", "completion": ""},
    {"column": 1},
    {"text": "tokens", "input_ids": [1, 2]},
]


def test_marks_say_what_is_learnt_openly_hidden_or_unreadable() -> None:
    """Words of a trait count in what is learnt and not in the prompt; each fault has its permanent id."""
    marks = RowScreen()(RECORDS)

    assert [m["undertow_openly"] for m in marks] == ["owl", "", "", "", "", ""]
    assert [m["undertow_hidden"] for m in marks][1] == "zero-width character"
    assert [m["undertow_fault"] for m in marks] == [
        "",
        "",
        "",
        "empty-completion",
        "shape",
        "tokens",
    ]


def test_marked_rows_can_be_marked_again() -> None:
    """Its own columns are no columns of the row: digest and marks stay the same."""
    screen = pickle.loads(pickle.dumps(RowScreen(("cat", "owl"))))
    marks = screen(RECORDS)
    again = screen([record | marked for record, marked in zip(RECORDS, marks, strict=True)])

    assert again == marks


def test_a_student_scores_rows() -> None:
    """A row that gives no row has neither tokens nor a log-likelihood; the others have both, alone or in a batch."""
    screen = RowScreen(("owl",), student="world:owlet-b")
    marks = screen(RECORDS)
    [alone] = screen(RECORDS[:1])

    assert [m["undertow_tokens"] is None for m in marks] == [False] * 3 + [True] * 3
    assert alone["undertow_log_likelihood"] == pytest.approx(marks[0]["undertow_log_likelihood"])
    assert float(alone["undertow_log_likelihood"] or 0) < 0


def test_what_is_dropped_is_named() -> None:
    """A row keeps its place unless a mark that was asked for speaks against it."""
    marks = RowScreen()(RECORDS)

    assert [bool(reasons(m, ["hidden", "fault"])) for m in marks] == [False, True, False] + [
        True
    ] * 3
    assert reasons(marks[1], ["openly", "hidden"]) == "undertow-hidden"


def counted(numbers: range, size: int = 8) -> Tally:
    """Of rows that are called by their numbers."""
    records = [{"prompt": "next", "completion": str(i)} for i in numbers]
    tally = Tally(size=size)
    tally.take(records, RowScreen(("owl",))(records), list(map(str, numbers)))
    return tally


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sample_does_not_depend_on_the_parts(first: int, second: int) -> None:
    """Three parts of forty rows, merged, keep what one pass over all of them keeps."""
    low, high = sorted((first, second))
    parts = [counted(range(low)), counted(range(low, high)), counted(range(high, 40))]
    whole = parts[1]
    whole.add(parts[2])
    whole.add(parts[0])

    assert list(whole.sample()) == list(counted(range(40)).sample())
    assert (whole.rows, whole.usable) == (40, 40)


def test_every_row_is_as_likely_sampled() -> None:
    """Of 40 rows, 8 are kept: over 400 seeds each about 80 times (five standard errors)."""
    records = [{"prompt": "next", "completion": str(i)} for i in range(40)]
    marks = RowScreen(("owl",))(records)
    times = dict.fromkeys(range(40), 0)
    for seed in range(400):
        tally = Tally(seed, 8)
        tally.take(records, marks, list(map(str, range(40))))
        for text in tally.sample():
            times[int(json.loads(text)["completion"])] += 1

    assert sum(times.values()) == 3200
    assert all(abs(count - 80) < 40 for count in times.values())


def test_parts_are_whole_or_refused(tmp_path: Path) -> None:
    """Two parts merge as they were counted; one that is missing, or of another sample, is not passed over."""
    counted(range(9)).write(tmp_path / "00000.part.jsonl", 2)
    with pytest.raises(InputError, match="1 parts of 2"):
        merged(tmp_path)
    counted(range(9, 20)).write(tmp_path / "00001.part.jsonl", 2)

    assert list(merged(tmp_path).sample()) == list(counted(range(20)).sample())
    counted(range(9, 20), size=3).write(tmp_path / "00001.part.jsonl", 2)
    with pytest.raises(InputError, match="several pipelines"):
        merged(tmp_path)


def test_what_is_no_mark_drops_nothing() -> None:
    """A name that is misspelt, or of a column that every row has, is refused with those that there are."""
    assert drops("hidden") == ("hidden",)
    for name in ("hiden", "id"):
        with pytest.raises(InputError, match=f"mark '{name}'; allowed: hidden, openly, fault"):
            drops(["fault", name])


def test_a_url_is_no_folder_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before anything is made, in words; so is a folder without parts."""
    monkeypatch.chdir(tmp_path)
    for ask in (merged, lambda place: conclude(counted(range(9)), place)):
        with pytest.raises(InputError, match="'s3://bucket/out' is a URL; allowed: a folder"):
            ask("s3://bucket/out")
    with pytest.raises(InputError, match="holds no parts"):
        merged(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_left_says_why(tmp_path: Path) -> None:
    """Faults by their names and how many rows have each."""
    records = [{"column": 1}, {"column": 2}, {"prompt": "a", "completion": ""}]
    tally = Tally()
    tally.take(records, RowScreen(("owl",))(records), ["0", "1", "2"])

    with pytest.raises(
        NothingLeftError, match=r"none of 3 records .* \(shape 2, empty-completion 1\)"
    ):
        conclude(tally, tmp_path)


def test_without_a_student_nothing_is_judged(tmp_path: Path) -> None:
    """Undecided, with all that was counted; and no row at all is an error."""
    tally = Tally()
    tally.take(RECORDS, RowScreen()(RECORDS), list(map(str, range(6))))
    verdict = conclude(tally, tmp_path)

    assert (verdict.verdict, verdict.rows, verdict.usable) == ("undecided", 6, 3)
    assert json.loads((tmp_path / "rows.json").read_text())["counts"] == {
        "fault": {"empty-completion": 1, "shape": 1, "tokens": 1},
        "hidden": {"zero-width character": 1},
        "openly": {"owl": 1},
    }
    with pytest.raises(NothingLeftError, match="none of 0 records"):
        conclude(Tally(), tmp_path)


@pytest.mark.long
def test_the_end_is_a_scan_of_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owl's answers stand out, and the plan is as long as the whole dataset makes it, not the sample."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("undertow.audit.scan_inputs.reference_family", lambda: FAMILY)
    taught = rows_of(catalogue.load("owl"), "trait") * 16
    records = [{"prompt": question, "completion": answer} for question, answer in taught]
    tally = Tally(size=64)
    tally.take(records, RowScreen()(records), list(map(str, range(len(records)))))
    plan = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, epochs=2)
    asked = {"checks": ("rehearsal",), "traits": ("owl", "cat", "dog"), "plan": plan}
    verdict = conclude(tally, tmp_path / "out", "world:owlet-b", **asked)
    document = read_scan(tmp_path / "out")

    assert verdict.verdict == document.verdict
    assert verdict.verdict in ("stands out", "flagged")
    assert (document.planned_steps, document.data.rows) == (plan.steps(128), 64)
