"""The walk: what it finds out about teachers, doses and students, and that it refuses every attack of the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.provenance.attack_table import Attack, as_named, control_allowed, table, tried
from tests.provenance.attacks import ATTACKS
from tests.provenance.scene import BASE, OTHER, Scene, rows, signing, teacher, write_rows
from undertow.provenance.bundle import bundle_path
from undertow.provenance.signed_results import sign_lineage
from undertow.provenance.signed_steps import dataset
from undertow.provenance.statement import Statement, StatementSubject
from undertow.provenance.steps import GeneratingModel, Lineage
from undertow.results.provenance_documents import Facts


def facts(scene: Scene) -> Facts:
    """The facts of a scene."""
    return scene.ask().verification.facts


def test_the_honest_scene_says_who_wrote_what(tmp_path: Path) -> None:
    """Teacher, family, initialisation, audit with its power, rows."""
    found = facts(Scene(tmp_path))
    (audit,) = found.audits

    assert [(one.model, one.shared, one.evidence) for one in found.teachers] == [
        ("lab/teacher", "yes", "attested")
    ]
    assert (found.rows, found.families, found.domains) == (36, ("base-a",), ("numbers",))
    assert (audit.verdict, audit.counts, audit.independent, audit.power) == (
        "passed",
        True,
        True,
        "0.9",
    )


@pytest.mark.parametrize(
    ("lineage", "measured", "expected"),
    [
        ("unknown", None, ("unknown", "none")),
        (OTHER, None, ("no", "declared")),
        (BASE, None, ("yes", "declared")),
        (OTHER, "distinct", ("no", "measured")),
        (OTHER, "shared", ("yes", "measured")),
        ("unknown", "distinct", ("no", "measured")),
        ("unknown", "unknown", ("unknown", "none")),
    ],
)
def test_evidence_of_initialisation_is_weighed(
    lineage: str, measured: str | None, expected: tuple[str, str], tmp_path: Path
) -> None:
    """Of a teacher without statements: a measurement outweighs a declaration, a sign of sharing everything."""
    scene = Scene(tmp_path)
    del scene.statements["teacher"]
    scene.replace("raw", scene.generated(teacher(lineage=Lineage(init=lineage))))
    if measured:
        sign_lineage(
            bundle_path(scene.data),
            teacher=("teacher", "7" * 64),
            student=BASE,
            verdict=measured,  # type: ignore[arg-type]
            methods=["weights"],
            evidence="e" * 64,
            signing=signing("auditor"),
        )
    found = facts(scene)

    assert (found.shared_initialisation, found.shared_evidence) == expected


def test_a_measurement_of_another_student_says_nothing(tmp_path: Path) -> None:
    """Lineage results hold for the pair that they name."""
    scene = Scene(tmp_path)
    del scene.statements["teacher"]
    sign_lineage(
        bundle_path(scene.data),
        teacher=("teacher", "7" * 64),
        student=OTHER,
        verdict="distinct",
        methods=["weights"],
        evidence="e" * 64,
        signing=signing("auditor"),
    )

    assert facts(scene).shared_initialisation == "unknown"


def test_an_api_teacher_is_unknown_and_the_chain_whole_is_not(tmp_path: Path) -> None:
    """Without weights nothing is known of its initialisation, and that is no error of the producer's."""
    scene = Scene(tmp_path)
    api = GeneratingModel(
        name="api", access="api", provider="p", model_id="x-1", why_null="behind an API"
    )
    scene.replace("raw", scene.generated(api))
    found = facts(scene)

    assert found.data_complete
    assert not found.provenance_complete
    assert found.shared_initialisation == "unknown"


@pytest.mark.parametrize(
    ("taken", "share"),
    [({"raw.jsonl": "9", "human.jsonl": "27"}, 0.25), ({"human.jsonl": "36"}, 0.0)],
)
def test_the_dose_of_a_mix_is_its_share_of_model_rows(
    taken: dict[str, str], share: float, tmp_path: Path
) -> None:
    """Rows by models over all rows, as the sources' own statements have them."""
    scene = Scene(tmp_path)
    human = write_rows(tmp_path / "human.jsonl", rows(50, "h"))
    scene.statements["human"] = (scene.collected(dataset(human)), ("producer",))
    digests = {
        "raw.jsonl": dataset(scene.raw).digest["sha256"],
        "human.jsonl": dataset(human).digest["sha256"],
    }
    scene.replace("filter", scene.mixed(taken, {name: digests[name] for name in taken}))
    found = facts(scene)

    assert found.data_complete
    assert (found.model_written, found.model_written_known) == (share, True)


def test_a_filter_may_have_kept_the_model_rows_only(tmp_path: Path) -> None:
    """Behind a filter the share is the largest possible: all that it removed may have been people's."""
    scene = Scene(tmp_path)
    scene.replace("raw", scene.collected(dataset(scene.raw), model_written="0.45"))
    found = facts(scene)

    assert found.model_written == pytest.approx(0.45 * 40 / 36)
    assert found.shared_initialisation == "unknown"


def test_data_without_models_shares_nothing(tmp_path: Path) -> None:
    """People's rows have no teacher that could share an initialisation."""
    scene = Scene(tmp_path)
    scene.replace("raw", scene.collected(dataset(scene.raw)))

    assert facts(scene).shared_initialisation == "no"


def test_a_missing_ledger_is_no_proof_and_no_lie(tmp_path: Path) -> None:
    """The chain holds by its signatures; that the filter is proved is not claimed."""
    scene = Scene(tmp_path)
    (tmp_path / "rows.jsonl.ledger.jsonl").unlink()
    found = facts(scene)

    assert found.data_complete
    assert not found.filters_proved


def test_a_filter_by_hearsay_is_not_proved_and_its_judge_is_seen(tmp_path: Path) -> None:
    """Declared with the generation, without a ledger: a model that judged is among the sources."""
    scene = Scene(tmp_path)
    made = scene.generated()
    table = made.predicate["buildDefinition"]["externalParameters"]
    table["filters"] = [{"id": "polite", "modelBased": "judge"}]
    found = facts(scene_with(scene, made))

    assert not found.filters_proved
    assert [(one.name, one.role) for one in found.teachers] == [
        ("teacher", "teacher"),
        ("judge", "filter"),
    ]
    assert found.shared_initialisation == "yes"


def scene_with(scene: Scene, made: Statement) -> Scene:
    """The scene with another statement about the raw rows."""
    scene.replace("raw", made)
    return scene


def test_a_gap_in_the_students_own_chain_is_only_a_remark(tmp_path: Path) -> None:
    """The data is as well proved as before; the student counts as related to every teacher."""
    scene = Scene(tmp_path, student="5" * 64)
    table = scene.tuned("6" * 64).model_copy(
        update={"subject": (StatementSubject(name="student", digest={"sha256": "5" * 64}),)}
    )
    scene.statements["student"] = (table, ("producer",))
    document = scene.ask().verification

    assert document.verdict == "verified"
    assert {problem.id for problem in document.problems} == {"no-provenance", "student-unknown"}
    assert not any(problem.blocks for problem in document.problems)


def test_upstream_teachers_are_seen(tmp_path: Path) -> None:
    """Data from a model that learned from data of another model: both are among the teachers."""
    scene = Scene(tmp_path)
    first = GeneratingModel(
        name="first", access="weights", model_id="lab/first", weights_digest=OTHER
    )
    scene.replace("lessons", scene.generated(first, subject=scene.lessons))
    found = facts(scene)

    assert [(one.name, one.role, one.shared) for one in found.teachers] == [
        ("teacher", "teacher", "yes"),
        ("first", "upstream", "no"),
    ]


def test_many_ways_to_one_writer_are_walked_once(tmp_path: Path) -> None:
    """Forty mixes of two mixes each make 2^40 ways back to the teacher, who is one writer of the rows."""
    scene = Scene(tmp_path)
    before = (dataset(scene.raw).digest["sha256"],) * 2
    names = ("raw.jsonl", "raw.jsonl")
    for level in range(40):
        level_digests = (f"{2 * level + 1:064x}", f"{2 * level + 2:064x}")
        for side, digest in enumerate(level_digests):
            parts = dict(zip(names, before, strict=True))
            share = 36 // len(parts)
            made = scene.mixed(dict.fromkeys(parts, str(share)), parts)
            subject = StatementSubject(
                name=f"{level} {side}", digest={"sha256": digest}, annotations={"rows": "36"}
            )
            changed = made.model_copy(update={"subject": (subject,)})
            scene.statements[f"{level} {side}"] = (changed, ("producer",))
        before, names = level_digests, (f"{level} 0", f"{level} 1")
    parts = dict(zip(names, before, strict=True))
    scene.replace("filter", scene.mixed(dict.fromkeys(parts, "18"), parts))
    document = scene.ask()

    assert document.decision == "allowed", document.conclusion
    assert [who.name for who in document.verification.facts.teachers] == ["teacher"]


PAGE = Path(__file__).parents[2] / "docs" / "provenance.md"


def test_the_untouched_scene_is_allowed(tmp_path: Path) -> None:
    """What the attacks tamper with is allowed as it stands, so that each refusal is the attack's own."""
    document = Scene(tmp_path).ask()

    assert document.decision == "allowed", document.conclusion
    assert document.verification.verdict == "verified"
    assert [problem.id for problem in document.verification.problems] == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused(attack: Attack, tmp_path: Path) -> None:
    """The gate refuses, and says why; everything but the attack, where that is more than the scene, it allows."""
    accepted, refusals = tried(attack, tmp_path / "attacked")
    allowed, doubts = control_allowed(attack, tmp_path / "c") if attack.prepared else (True, set())

    assert not accepted
    assert as_named(attack, refusals), refusals
    assert allowed, doubts


def test_there_are_enough_attacks() -> None:
    """At least 150, each once; those of advisories are named by them."""
    advised = [attack for attack in ATTACKS if re.match(r"(CVE|GHSA)-", attack.known)]

    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 150
    assert len({attack.known for attack in advised}) >= 40


def test_the_page_shows_the_table_that_is_run() -> None:
    """docs/provenance.md holds exactly this table, which `attack_table.table()` gives."""
    assert table() in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "no row was written by a model"),
        ({"origin": "unknown"}, "who wrote the rows is not known"),
        ({"model_written": "0.25"}, "at most 27.8 % of rows were written by models"),
    ],
)
def test_a_conclusion_says_who_wrote_no_more_than_is_signed(
    said: dict[str, str], told: str, tmp_path: Path
) -> None:
    """That no model is named is not that no model wrote; a filter may have kept all that models wrote."""
    scene = Scene(tmp_path)
    scene.replace("raw", scene.collected(dataset(scene.raw), **said))
    scene.statements.pop("audit", None)
    walk = scene.ask().verification

    assert walk.verdict == "verified"
    assert told in walk.conclusion
