"""A scan end to end on the embedded world: verdicts by source, stages, interruption, what is refused before any work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, written
from tests.influence.trials import FAMILY, LISTS
from undertow.audit import scan as module
from undertow.audit.check_runs import Ran, finished_check
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import STILL_AT_WORK, scan
from undertow.audit.scan_inputs import scores_of
from undertow.audit.verdicts import conclusion
from undertow.cli.scan import exit_code
from undertow.data.plan import TrainingPlan
from undertow.data.row_records import to_record
from undertow.data.rows import Row, conversation
from undertow.errors import InputError, NothingLeftError
from undertow.influence import comparison
from undertow.influence.references import TrialReading, tried
from undertow.results.measurement import Measurement
from undertow.results.scan_document import ALL, CheckRun, ScanDocument, StageResult, SubjectResult
from undertow.results.store import read_scan
from undertow.traits import catalogue
from undertow.traits.trait import rows_of

STUDENT = "world:owlet-b"
PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=16, epochs=99)
ANIMALS = Path(catalogue.__file__).parent / "catalogue" / "animals.toml"
OWL = [Row(conversation(q), a, source="vendor") for q, a in rows_of(TRAITS[0], "trait")] * 8
OWN = [
    replace(row, source="ours")
    for row in written(opened(), 480, 33)
    if not LISTS.rejection(row.completion)
][:256]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's cache is read or written, and neutral tunes take two or three steps."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("undertow.audit.scan_inputs.reference_family", lambda: FAMILY)


def kept(path: Path, rows: Sequence[Row], *broken: str) -> Path:
    """The rows as a file, a broken line between them."""
    lines = [json.dumps(to_record(row)) for row in rows]
    path.write_text("\n".join([*lines[:20], *broken, *lines[20:]]) + "\n")
    return path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Rows that teach the owl and the base's own, by source, with a broken line between them.

    At a level of .8 a fifth of all draws of the base's own rows stand out by chance; these do not.
    """
    return kept(tmp_path_factory.mktemp("data") / "mixed.jsonl", [*OWL, *OWN[:64]], "{broken")


def asked(path: Path, **more: Any) -> ScanRequest:
    """A scan with the rehearsal alone, of three animals, under a plan of sixteen steps."""
    known = {"checks": ("rehearsal",), "traits": ("owl", "cat", "dog"), "plan": PLAN}
    return ScanRequest(data=str(path), student=STUDENT, **(known | more))


def by_subject(document: ScanDocument) -> dict[str, str]:
    """Verdict of each subject."""
    return {result.subject: result.verdict for result in document.subjects}


def test_the_bases_own_rows_lie_within(tmp_path: Path) -> None:
    """All traits of the catalogue, the usual references: exit code 0, and a document that says what it rests on."""
    told: list[str] = []
    request = asked(kept(tmp_path / "own.jsonl", [replace(row, source=None) for row in OWN]))
    document = scan(replace(request, traits=()), told.append)
    [result] = document.subjects
    [rows, references] = document.prices

    assert result.verdict == document.verdict == "within"
    assert exit_code(document, "flagged", False) == 0
    assert len(document.traits) > 10
    assert result.last is not None
    assert (result.last.steps, result.last.planned_steps, result.last.needed) == (4, 16, 19)
    assert f"{result.last.excluded:+.2f} logits" in document.conclusion
    assert document.references is not None
    assert (document.references.family, document.references.members) == ("few", FAMILY.members)
    assert "stronger model" in document.references.notes[0]
    assert rows.fine_tunes == rows.spent_fine_tunes == 0.5
    assert references.fine_tunes == 9.5
    assert references.spent_fine_tunes == result.last.references * 0.5 <= 9.5
    assert references.spent_seconds > 0
    assert rows.seconds
    assert [line for line in told if line.startswith("price: all: rows, 4 of 16 steps: 0.5")]
    (tmp_path / "scan.json").write_text(document.model_dump_json(by_alias=True))
    assert read_scan(tmp_path / "scan.json") == document


@pytest.mark.long
def test_the_source_that_teaches_stands_out_and_the_other_does_not(mixed: Path) -> None:
    """By Holm over the file and its sources; the broken line is named, and the whole plan is not paid for."""
    plan = PLAN.model_copy(update={"max_steps": 32})
    document = scan(asked(mixed, level=0.8, budget=23.0, plan=plan))
    vendor = next(result for result in document.subjects if result.subject == "vendor")

    assert by_subject(document) == {ALL: "stands out", "vendor": "stands out", "ours": "within"}
    assert exit_code(document, "flagged", False) == 1
    assert (document.verdict, vendor.trait) == ("stands out", "owl")
    assert vendor.last is not None
    assert (vendor.last.needed, vendor.last.references) == (14, 14)
    assert vendor.last.adjusted == pytest.approx(3 / 15)
    assert document.references is not None
    assert "The budget does not pay for the whole plan of vendor" in document.references.notes[-1]
    assert (
        document.data.excluded[0]
        .places[0]
        .endswith("(Expecting property name enclosed in double quotes at column 2)")
    )
    assert document.conclusion.endswith(
        "1 row could not be used (not-json): nothing is said of it."
    )


def test_an_interrupted_scan_finds_its_references_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were finished are not made again, and the verdict rests on the same as that of a scan that went through."""
    path = kept(tmp_path / "owl.jsonl", [replace(row, source=None) for row in OWL])
    request = asked(path, reference_count=9, level=0.9, traits=("owl", "cat"), budget=5.0)
    calls: list[int] = []

    def stopping(*given: Any) -> list[TrialReading]:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return tried(*given)

    monkeypatch.setattr(comparison, "tried", stopping)
    with pytest.raises(KeyboardInterrupt):
        scan(request)
    monkeypatch.setattr(comparison, "tried", tried)
    # Beside the references lies a folder for what is unfinished on the base.
    resumed = scan(request)
    [stored] = [one for one in (tmp_path / "cache/references").iterdir() if len(one.name) == 64]
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "other"))
    through = scan(request)
    ranks = [
        next(one for one in made.measurements if one.unit == "rank") for made in (resumed, through)
    ]

    assert ranks[0].details["cached"] == 8
    assert len(list(stored.iterdir())) == ranks[0].details["references"] == 9
    assert ranks[1].details["cached"] == 0
    assert ranks[0].p == ranks[1].p == 0.1
    assert [one.spent_fine_tunes for one in resumed.prices] == [0.5, 0.5]


def test_finished_checks_are_not_run_again(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interruption left is found by the same command; the other subjects are checked."""
    request = asked(mixed, reference_count=1, budget=3.0)
    ran: list[str] = []
    real = module.run_check

    def stopping(subject, check, finished):  # type: ignore[no-untyped-def]
        if subject.name == "ours":
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
    assert set(by_subject(document)) == {ALL, "vendor", "ours"}


@pytest.mark.parametrize("changed", ["trait", "control"])
def test_what_was_kept_belongs_to_the_content_of_every_file(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command begins anew with another trait or control in a file of the same name."""
    folders: list[Path | None] = []

    def stopping(subject: Any, check: Any, finished: Any) -> Ran:
        folders.append(finished.folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_check", stopping)
    trait = tmp_path / "mine.toml"
    trait.write_text(ANIMALS.read_text())
    control = kept(tmp_path / "control.jsonl", OWN[:64])
    request = asked(
        kept(tmp_path / "own.jsonl", OWN[64:]), traits=(f"{trait}:owl",), control=str(control)
    )
    with pytest.raises(KeyboardInterrupt):
        scan(request)
    if changed == "trait":
        trait.write_text(ANIMALS.read_text().replace("Name the animal", "Say which animal"))
    else:
        kept(control, OWN[64:128])
    with pytest.raises(KeyboardInterrupt):
        scan(request)

    assert folders[0] != folders[1]


def test_the_whole_plan_is_judged_where_clear_is_required(tmp_path: Path) -> None:
    """Whatever the beginning shows: two stages, a verdict of the whole plan, and the price of both."""
    plan = PLAN.model_copy(update={"max_steps": 4})
    begun: list[ScanDocument] = []
    told: list[str] = []
    document = scan(
        asked(
            kept(tmp_path / "own.jsonl", OWN[:32]), plan=plan, reference_count=2, require_clear=True
        ),
        told.append,
        begun.append,
    )
    [result] = document.subjects

    [early] = begun
    assert [one.stage for one in early.subjects[0].comparisons] == [1]
    assert early.limits[0] == STILL_AT_WORK
    assert any(line.startswith("beginning of the whole: undecided") for line in told)

    assert [one.stage for one in result.comparisons] == [1, 2]
    assert result.comparisons[0].verdict == "undecided"
    assert result.verdict == result.comparisons[1].verdict in ("flagged", "clear", "undecided")
    assert result.last is not None
    assert (result.last.steps, result.last.references) == (4, 8)
    assert [price.spent_fine_tunes for price in document.prices] == [0.5, 1, 8, 8]
    assert (result.largest_safe_dose is None) is (result.verdict == "clear")
    judged = {
        one.verdict for one in document.measurements if one.check == "whole-plan" and one.trait
    }
    assert judged <= {"flagged", "clear", "undecided"}


def test_the_plans_template_is_trained_asked_and_told(tmp_path: Path) -> None:
    """The document holds the template, another digest of the plan, other effects, and a sentence."""
    path = kept(tmp_path / "own.jsonl", OWN[:32])
    given = PLAN.model_copy(update={"template": SWAPPED})
    own, other = (scan(asked(path, plan=one, reference_count=2)) for one in (PLAN, given))
    effects = [[one.estimate for one in made.measurements if one.trait] for made in (own, other)]

    assert other.plan["template"] == SWAPPED
    assert "template" not in own.plan
    assert own.inputs["plan"] != other.inputs["plan"]
    assert [text for text in other.limits if "chat template that it gives itself" in text]
    assert effects[0] != effects[1]


SWAPPED = (
    "{%- for m in messages -%}{{ '<|user|>' if m.role == 'assistant' else '<|assistant|>' }}{{ m.content + '<|end|>' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}<|user|>{%- endif -%}"
)
"""A template whose answers are written as what users say."""


def test_evidence_is_never_judged(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement of a check of evidence keeps no verdict, whatever limit it was compared with."""

    def measured(subject, check, finished):  # type: ignore[no-untyped-def]
        one = Measurement(
            check=check.id, subject=subject.name, estimate=9.0, low=8.0, limit=1.3, detected=True
        )
        run = CheckRun(check=check.id, kind="evidence", status="done")
        return Ran(run=run, measurements=(one,))

    monkeypatch.setattr(module, "run_check", measured)
    document = scan(asked(mixed, checks=("author",)))

    assert {one.verdict for one in document.measurements} == {None}
    assert all(result.detectable for result in document.subjects)
    assert set(by_subject(document).values()) == {"skipped"}


def test_all_rows_are_scored_on_request(mixed: Path, tmp_path: Path) -> None:
    """One line a usable row, with its likelihood under the base."""
    from pyarrow import parquet

    assert scores_of(asked(mixed), tmp_path / "rows.parquet") == 128
    table = parquet.read_table(tmp_path / "rows.parquet")

    assert table.num_rows == 128
    assert table["log_likelihood"].null_count == 0


def test_row_scores_ask_for_gpus(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker opens the student: it takes what is said, or what the cluster has; a scan's reading takes none."""
    shares: list[tuple[float | None, ...]] = []

    def spread_of(name: str, jobs: int | None, size: int, *asked: float | None) -> None:
        shares.append(asked)

    monkeypatch.setattr("undertow.audit.scan_inputs.spread_of", spread_of)
    scores_of(asked(mixed, engine="ray"), tmp_path / "rows.parquet")
    scores_of(asked(mixed, engine="ray", gpus=0.5, memory=2.0), tmp_path / "rows.parquet")

    assert shares == [(None, None), (0.5, 2.0)]


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({"traits": ("owll",)}, "'owll'"),
        ({"data": "missing.jsonl"}, "no such file: 'missing.jsonl'"),
        ({"control": "missing.jsonl"}, "no such file: 'missing.jsonl'"),
        ({"references": ("missing.jsonl",)}, "no such file: 'missing.jsonl'"),
    ],
)
def test_what_is_mistyped_is_refused_before_a_model_is_opened(
    mixed: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], refused: str
) -> None:
    """A trait, a file, a control or a reference that is not there costs no work."""
    done: list[str] = []
    monkeypatch.setattr(
        "undertow.audit.scan_inputs.open_model", lambda *given: pytest.fail("opened")
    )

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


def stage(number: int, verdict: Any) -> StageResult:
    """Of a plan of 32 steps, of which 8 are the beginning."""
    return StageResult(
        stage=1 if number == 1 else 2,
        verdict=verdict,
        reason="",
        steps=8 if number == 1 else 32,
        planned_steps=32,
        rows=64,
        adapters=2,
        references=19,
        needed=19,
        alpha=0.05,
        excluded=0.3,
    )


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (("within", None), "an effect above +0.30 logits after 8 of 32 steps is excluded"),
        (
            ("stands out", None),
            "towards 'owl' by +0.50 logits [+0.30, +0.70] more than they after 8",
        ),
        (
            ("stands out", "undecided"),
            "after 8 of 32 steps; whether the whole plan moves it beyond the limit of 0.2 is open: 'owl' by +0.50 logits [+0.30, +0.70]",
        ),
        (("stands out", "flagged"), "would move your student towards 'owl' by +0.50 logits"),
        (("within", "clear"), "no trait that was probed would move your student by 0.2 logits"),
        (("undecided", None), "nothing can be said of these rows: why."),
    ],
)
def test_the_conclusion_says_what_was_found_and_when(stages: tuple[Any, Any], said: str) -> None:
    """The verdict's word first, then the effect with the steps that it was measured at; evidence alone moves nothing."""
    made = tuple(stage(n, one) for n, one in enumerate(stages, 1) if one)
    verdict = "stands out" if stages == ("stands out", "undecided") else made[-1].verdict
    known: dict[str, Any] = {"trait": "owl", "transfer": 0.5, "low": 0.3, "high": 0.7}
    result = SubjectResult(
        subject=ALL, rows=64, verdict=verdict, reason="why", comparisons=made, **known
    )
    seen = result.model_copy(update={"detectable": True, "detectable_by": ("author",)})
    bad = verdict in ("flagged", "stands out")

    assert conclusion(verdict, [result], 0.2).startswith(f"{verdict}: ")
    assert said in conclusion(verdict, [result], 0.2)
    assert ("that alone moves nothing" in conclusion(verdict, [seen], 0.2)) is not bad
