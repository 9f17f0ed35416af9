"""What a pipeline ends with: a sample that no split of the work changes, parts that are whole, and a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.influence.trials import FAMILY
from tests.integrations.test_row_screen import RECORDS
from undertow.data.plan import TrainingPlan
from undertow.errors import DataError, InputError, NothingLeftError
from undertow.integrations.pipeline_verdict import Tally, conclude, merged
from undertow.integrations.row_screen import RowScreen
from undertow.results.store import read_scan
from undertow.traits import catalogue
from undertow.traits.trait import rows_of


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


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"seed": 0, "size": 8, "rows": "many", "counts": [], "of": 1}',
        '{"seed": 0, "size": -8, "rows": 9, "counts": [], "of": 1}',
        '{"seed": 0, "size": 8, "rows": 9, "counts": [["fault", 1]], "of": 1}',
        '{"seed": 0, "size": 8, "rows": 9, "counts": [], "of": 1}\n{"name": "a"}',
        '{"seed": 0, "size": 8, "rows": 9, "counts": [], "of": 1}\n{"name": "a", "row": "{',
        "[" * 100_000,
    ],
)
def test_a_damaged_part_is_refused(content: str, tmp_path: Path) -> None:
    """The error names the file: nothing is judged of the others alone."""
    (tmp_path / "00000.part.jsonl").write_text(content)

    with pytest.raises(DataError, match=r"00000\.part\.jsonl'"):
        merged(tmp_path)


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
