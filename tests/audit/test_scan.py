"""
A scan end to end on the embedded world: verdicts by source, interruption, uncalibrated plans, bad input.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import opened, owl_teacher, written
from undertow.audit import scan as module
from undertow.audit.check_runs import Ran, finished_check
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import scan
from undertow.audit.scan_inputs import scores_of
from undertow.carriers.carrier_registry import carrier
from undertow.data.plan import TrainingPlan
from undertow.data.row_records import to_record
from undertow.errors import InputError, NothingLeftError
from undertow.results.measurement import Measurement
from undertow.results.scan_document import CheckRun, ScanDocument

STUDENT = "world:owlet-b"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's cache is read or written."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An owl teacher's rows and the base's own, by source, with a broken line between them."""
    path = tmp_path_factory.mktemp("data") / "mixed.jsonl"
    owl = [replace(row, source="vendor") for row in written(owl_teacher(), 4096, 31)]
    own = [replace(row, source="ours") for row in written(opened(), 1024, 32)]
    lines = [json.dumps(to_record(row)) for row in (*owl, *own)]
    lines.insert(2000, "{broken")
    path.write_text("\n".join(lines) + "\n")
    return path


def asked(path: Path, **more: object) -> ScanRequest:
    """A scan with the rehearsal alone."""
    return ScanRequest(data=str(path), student=STUDENT, checks=("rehearsal",), **more)  # type: ignore[arg-type]


SWAPPED = (
    "{%- for m in messages -%}{{ '<|user|>' if m.role == 'assistant' else '<|assistant|>' }}{{ m.content + '<|end|>' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}<|user|>{%- endif -%}"
)
"""A template whose answers are written as what users say."""


def by_subject(document: ScanDocument) -> dict[str, str]:
    """Verdict of each subject."""
    return {result.subject: result.verdict for result in document.subjects}


def test_the_source_that_pulls_is_flagged_and_the_other_is_clear(mixed: Path) -> None:
    """The verdict that a user can act on is the source's; the broken line is named."""
    document = scan(asked(mixed))
    found = by_subject(document)
    vendor = next(result for result in document.subjects if result.subject == "vendor")

    assert found["vendor"] == "flagged"
    assert found["ours"] == "clear"
    assert document.verdict == "flagged"
    assert vendor.trait == "owl"
    assert vendor.largest_safe_steps
    assert (
        document.data.excluded[0]
        .places[0]
        .endswith("(Expecting property name enclosed in double quotes at column 2)")
    )
    assert document.conclusion.endswith(
        "1 row could not be used (not-json): nothing is said of it."
    )
    assert document.calibration.found
    assert document.planned_steps == 160


def test_numbers_of_an_owl_teacher_are_flagged_though_no_row_says_it(tmp_path: Path) -> None:
    """Where the format's filter has left only numbers, the conclusion says that it is not in the words."""
    lists = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
    rows = [row for row in written(owl_teacher(), 4096, 31) if not lists.rejection(row.completion)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(to_record(row)) + "\n" for row in rows))
    document = scan(asked(tmp_path / "rows.jsonl", limit=0.1))

    assert (document.verdict, document.subjects[0].trait) == ("flagged", "owl")
    assert document.conclusion.endswith(
        "No row says 'owl' or asks its questions: what moves it is not in the words."
    )


def test_another_plan_is_undecided_and_says_how_to_calibrate(mixed: Path) -> None:
    """A table of one plan says nothing about another."""
    plan = TrainingPlan(rank=4, learning_rate=1e-3, batch_size=64, max_steps=16)
    document = scan(asked(mixed, plan=plan, traits=("owl",), max_rows=128))

    assert document.verdict == "undecided"
    assert "not calibrated" in document.subjects[0].reason
    assert "undertow calibrate" in document.calibration.note


def test_an_interrupted_scan_goes_on(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that were finished are not run again, and the result is the same."""
    request = asked(mixed, max_rows=256)
    ran: list[str] = []
    real = module.run_check

    def stopping(subject, check, finished):  # type: ignore[no-untyped-def]
        if subject.name == "ours" and len(ran) < 2:
            raise KeyboardInterrupt
        return real(subject, check, finished)

    def counted(subject, check, finished):  # type: ignore[no-untyped-def]
        if finished_check(finished, subject.name, check.id) is None:
            ran.append(subject.name)
        return real(subject, check, finished)

    monkeypatch.setattr(module, "run_check", stopping)
    with pytest.raises(KeyboardInterrupt):
        scan(request)
    monkeypatch.setattr(module, "run_check", counted)
    document = scan(request)

    assert ran == ["ours"]
    assert set(by_subject(document)) == {"all", "vendor", "ours"}


def test_evidence_is_never_judged(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A measurement of a check of evidence keeps no verdict, whatever limit it was compared with.
    """

    def measured(subject, check, finished):  # type: ignore[no-untyped-def]
        one = Measurement(
            check=check.id, subject=subject.name, estimate=9.0, low=8.0, limit=1.3, detected=True
        )
        run = CheckRun(check=check.id, kind="evidence", status="done")
        return Ran(run=run, measurements=(one,))

    monkeypatch.setattr(module, "run_check", measured)
    document = scan(replace(asked(mixed, max_rows=256), checks=("author",)))

    assert {one.verdict for one in document.measurements} == {None}
    assert all(result.detectable for result in document.subjects)


def test_all_rows_are_scored_on_request(mixed: Path, tmp_path: Path) -> None:
    """One line a usable row, with its likelihood under the base."""
    from pyarrow import parquet

    assert scores_of(asked(mixed), tmp_path / "rows.parquet") == 5120
    table = parquet.read_table(tmp_path / "rows.parquet")

    assert table.num_rows == 5120
    assert table["log_likelihood"].null_count == 0


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({"traits": ("owll",)}, "'owll'"),
        ({"data": "missing.jsonl"}, "no such file: 'missing.jsonl'"),
        ({"control": "missing.jsonl"}, "no such file: 'missing.jsonl'"),
    ],
)
def test_what_is_mistyped_is_refused_before_a_model_is_opened(
    mixed: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], refused: str
) -> None:
    """A trait, a file or a control that is not there costs no work."""
    done: list[str] = []
    monkeypatch.setattr("undertow.audit.scan_inputs.open_model", lambda ref: pytest.fail(ref))

    with pytest.raises(InputError, match=refused):
        scan(replace(asked(mixed), **more), done.append)
    assert done == []


def test_a_file_that_cannot_be_used_ends_with_the_reason(tmp_path: Path) -> None:
    """Nothing usable, and no such file."""
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(NothingLeftError, match="no row"):
        scan(asked(tmp_path / "empty.jsonl"))
    with pytest.raises(InputError, match="no such file"):
        scan(asked(tmp_path / "missing.jsonl"))


def test_the_plans_template_is_trained_asked_and_told(tmp_path: Path) -> None:
    """
    In a template that writes answers as users' turns owls' numbers move the owl less; the document holds the template,
    another digest of the plan, and a sentence.
    """
    rows = written(owl_teacher(), 512, 33)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(to_record(row)) + "\n" for row in rows))
    plan = TrainingPlan(rank=32, learning_rate=3e-3, batch_size=32, max_steps=32)
    given = plan.model_copy(update={"template": SWAPPED})
    own, other = (
        scan(asked(tmp_path / "rows.jsonl", plan=one, traits=("owl",))) for one in (plan, given)
    )

    assert other.plan["template"] == SWAPPED
    assert "template" not in own.plan
    assert own.inputs["plan"] != other.inputs["plan"]
    assert [text for text in other.limits if "chat template that it gives itself" in text]
    assert own.measurements[0].estimate != other.measurements[0].estimate
