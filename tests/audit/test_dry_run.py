"""What a scan is said to take, without a weight or a machine."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from undertow.audit.accelerators import machine_of
from undertow.audit.dry_run import dry_run
from undertow.audit.requests import ScanRequest
from undertow.errors import UnknownNameError
from undertow.worlds.base_models import folder


@pytest.fixture
def student(tmp_path: Path) -> str:
    """A folder of `owlet-b` without its weights."""
    place = tmp_path / "student"
    place.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder("owlet-b") / name).is_file():
            shutil.copy(folder("owlet-b") / name, place)
    return str(place)


def lines_of(tmp_path: Path, student: str, *, sources: int = 1, **asked: Any) -> list[str]:
    """The lines of a dry run of 160 rows on one GPU at 1,000 an hour, so that costs have digits."""
    rows = tmp_path / "rows.jsonl"
    records = [
        {"prompt": f"Say {n}", "completion": f"{n}, {n}", "source": f"s{n % sources}"}
        for n in range(160)
    ]
    rows.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    request = ScanRequest(data=str(rows), student=student, **asked)
    return dry_run(request, machine_of("L4-24GB@1000"))


def table(lines: list[str]) -> dict[str, list[str]]:
    """TFLOP, time, hours and cost by label, as they are printed."""
    start = next(i for i, line in enumerate(lines) if line.startswith("check "))
    rows = {}
    for line in lines[start + 1 :]:
        cells = re.split(r"\s{2,}", line)
        if len(cells) >= 5:
            rows[cells[0].strip()] = cells[1:5]
    return rows


def test_a_scan_is_priced_from_configuration_and_tokenizer(tmp_path: Path, student: str) -> None:
    """A folder without weights does: each check has its line, and each cost is its hours at the machine's price."""
    lines = lines_of(tmp_path, student)
    rows = table(lines)
    costs = {label: cells for label, cells in rows.items() if cells[3] != "–"}

    assert any("0.000208 billion weights" in line for line in lines)
    assert {"rows", "control", "author", "whole-plan", "teacher-coverage", "sum"} <= set(rows)
    assert all(
        float(cost) == pytest.approx(1000 * float(hours), rel=0.02, abs=0.006)
        for _, _, hours, cost in costs.values()
    )
    assert torch.get_default_dtype() == torch.float32


def test_the_sum_is_of_all_but_the_whole_plan(tmp_path: Path, student: str) -> None:
    """Which comes only where rows stand out."""
    rows = table(lines_of(tmp_path, student))
    total = float(rows.pop("sum")[3])
    parts = [
        float(cells[3]) for label, cells in rows.items() if cells[3] != "–" if label != "whole-plan"
    ]

    assert total == pytest.approx(sum(parts), abs=0.01 * len(parts))


def test_only_the_asked_checks_have_a_line(tmp_path: Path, student: str) -> None:
    """`--check content` prices no rehearsal; a check that there is not is refused."""
    assert set(table(lines_of(tmp_path, student, checks=("content",)))) == {
        *("rows", "control", "content", "sum")
    }
    with pytest.raises(UnknownNameError, match="contend"):
        lines_of(tmp_path, student, checks=("contend",))


def test_teacher_and_candidates_are_counted(tmp_path: Path, student: str) -> None:
    """Each in the memory, the teacher by its checks, the candidate by the author's; without a teacher a line says so."""
    alone = lines_of(tmp_path, student)
    beside = lines_of(tmp_path, student, teacher=student, candidates=("world:owlet-neox",))

    assert table(alone)["divergence"] == ["–"] * 4
    assert any("no teacher is given (--teacher)" in line for line in alone)
    assert float(table(beside)["divergence"][0]) > 0
    assert float(table(beside)["author"][0]) > float(table(alone)["author"][0])
    assert [any("other models" in line for line in lines) for lines in (alone, beside)] == [
        *(False, True)
    ]


def test_each_source_is_judged_by_itself(tmp_path: Path, student: str) -> None:
    """Two sources of 80 rows are two more subjects; of 40 rows they are too small, as in a scan."""
    told = [
        [line for line in lines_of(tmp_path, student, sources=count) if line.startswith("subjects")]
        for count in (1, 2, 4)
    ]

    assert told == [[], ["subjects     all rows, and 2 sources by themselves"], []]


def test_a_budget_is_said_not_to_be_counted(tmp_path: Path, student: str) -> None:
    """It would shorten rehearsals, which the table has whole."""
    lines = lines_of(tmp_path, student, budget=2.0)

    assert any(line.startswith("budget ") and "2 planned trainings" in line for line in lines)
