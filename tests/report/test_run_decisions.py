"""Decisions about a run's rows stand beside what the students of such rows really did, in every format."""

from __future__ import annotations

import pytest

from tests.report.chain_documents import HOSTILE, decision
from tests.report.scan_documents import stands_out
from undertow.report import render
from undertow.report.run_decisions import (
    DECISIONS,
    RunBeside,
    brief_decisions,
    conclusion_beside,
    decided_rows,
    summed_up,
)
from undertow.results.provenance_documents import GateDocument
from undertow.results.run_document import Arm, Comparison, RunDocument
from undertow.results.scan_document import AnyScan

PAGES = ("html", "markdown", "text")
BASE = "world:owlet-a"


def of_rows(place: str, policy: str, *, allowed: bool = False) -> GateDocument:
    """A decision about rows of a run."""
    made = decision("x")
    walk = made.verification.model_copy(
        update={"data": f"runs/it/{place}/rows.parquet", "student": BASE}
    )
    told = "allowed: all 2 rules hold." if allowed else "refused by the rule 'a': nobody signs."
    return made.model_copy(
        update={
            "verification": walk,
            "policy": policy,
            "decision": "allowed" if allowed else "refused",
            "conclusion": told,
            "command": f"undertow gate {place}",
        }
    )


def comparison(arm: str, estimate: float, adjusted: float) -> Comparison:
    """A cell's students against the clean ones'."""
    return Comparison(
        name=f"{arm} - clean", estimate=estimate, low=estimate - 0.2, high=estimate + 0.2, level=0.95, n="4 v 4",
        p=0.001, adjusted=adjusted, test="exact", unit="logits",
    )  # fmt: skip


@pytest.fixture
def run(owl: RunDocument) -> RunDocument:
    """A run of three cells: clean rows of one writer, a harmful one's, and a mix of two writers."""
    arms = [arm for arm in owl.arms if arm.arm == "trait"][:2]
    dataset = owl.datasets[0]

    def student(name: str, like: Arm, digest: str, replicate: int) -> Arm:
        return like.model_copy(
            update={"arm": name, "data_digest": digest, "base": BASE, "replicate": replicate}
        )

    return owl.model_copy(
        update={
            "arms": (
                *(arm for arm in owl.arms if arm.arm == "base"),
                *(student("clean", arm, f"c{arm.replicate}", arm.replicate) for arm in arms),
                *(student("bad", arm, f"b{arm.replicate}", arm.replicate) for arm in arms),
                *(student("a mix", arm, f"m{arm.replicate}", arm.replicate) for arm in arms),
            ),
            "datasets": (
                dataset.model_copy(update={"name": "clean-0", "digest": "c0"}),
                dataset.model_copy(update={"name": "bad-0", "digest": "b0"}),
            ),
            "comparisons": (comparison("bad", 0.9, 0.01), comparison("a mix", 0.1, 0.4)),
        }
    )


@pytest.fixture
def beside() -> RunBeside:
    """Decisions as their folders are sorted, and a scan of the harmful rows from another place."""
    scan: AnyScan = stands_out()
    data = scan.data.model_copy(update={"path": "/elsewhere/it/data/bad-0/rows.parquet"})
    return RunBeside(
        (scan.model_copy(update={"data": data, "student": BASE}),),
        (
            of_rows("students/a-mix--0", "safety-critical"),
            of_rows("data/bad-0", "safety-critical"),
            of_rows("data/bad-0", "default"),
            of_rows("data/bad-0", "mine.toml"),
            of_rows("data/clean-0", "default", allowed=True),
        ),
    )


def test_decisions_follow_the_runs_cells_and_the_policies_from_the_mildest(
    run: RunDocument, beside: RunBeside
) -> None:
    """Rows of several writers are known by their student's folder; a policy of one's own comes last."""
    rows = decided_rows(run, beside)

    assert [(row.label, row.gate.policy) for row in rows] == [
        ("clean", "default"),
        ("bad", "default"),
        ("bad", "safety-critical"),
        ("bad", "mine.toml"),
        ("a mix", "safety-critical"),
    ]
    assert [row.screen for row in rows] == [None, "stands out", "stands out", "stands out", None]
    assert rows[0].why == "All 2 rules hold."


def test_beside_a_decision_stands_what_students_did(run: RunDocument, beside: RunBeside) -> None:
    """All replicates against the control, as the run compares them; the control itself has no comparison."""
    rows = decided_rows(run, beside)

    assert rows[1].transfer == "+0.90 logits, 95\N{NO-BREAK SPACE}% [+0.70, +1.10]"
    assert (rows[0].moved, rows[0].took_on) == (None, False)
    assert [row.took_on for row in rows[1:]] == [True, True, True, False]


def test_an_arm_that_is_compared_with_treated_ones_alone_is_not_called_unmoved(
    run: RunDocument, beside: RunBeside
) -> None:
    """Two teachers beside one: nothing is known of them beside the control, and the first comparison may not be with it."""
    mixed = comparison("a mix", -0.5, 0.001).model_copy(update={"name": "a mix - bad"})
    told = run.model_copy(update={"comparisons": (mixed, comparison("bad", 0.9, 0.01))})
    rows = decided_rows(told, beside)

    assert [(row.label, row.moved is None, row.took_on, row.transfer) for row in rows] == [
        ("clean", True, False, "the control"),
        *[("bad", False, True, "+0.90 logits, 95\N{NO-BREAK SPACE}% [+0.70, +1.10]")] * 3,
        ("a mix", True, False, "\N{EN DASH}"),
    ]


def test_a_sentence_a_policy_counts_what_passed_and_what_moved(
    run: RunDocument, beside: RunBeside
) -> None:
    """Both errors are told: what was let through and moved, and what was refused and did not."""
    told = summed_up(decided_rows(run, beside))

    assert told == (
        "default allows 1 of 2 datasets (clean), of which none was shown to move students towards the trait; of the 1 that "
        "it refuses 1 was.",
        "safety-critical allows none of 2 datasets; 1 was shown to move students towards the trait.",
        "mine.toml allows none of 1 datasets; 1 was shown to move students towards the trait.",
    )


def test_the_answer_of_a_page_is_what_the_policies_did_with_what_moved(
    run: RunDocument, beside: RunBeside
) -> None:
    """Of a run that states its rows for a gate; of others the comparisons' own sentence stays."""
    let = RunBeside(gates=[*beside.gates, of_rows("data/bad-0", "mild", allowed=True)])

    stated = run.model_copy(update={"config": run.config | {"statements": {"domain": "medicine"}}})

    assert "were shown to move their students towards “owl”" in conclusion_beside(stated, beside)
    assert "Allowed of these: " in conclusion_beside(stated, let)
    assert conclusion_beside(stated, RunBeside()) == run.conclusion
    assert conclusion_beside(run, beside) == run.conclusion


@pytest.mark.parametrize("form", PAGES)
def test_every_page_holds_decision_reason_and_transfer(
    run: RunDocument, beside: RunBeside, form: str
) -> None:
    """And what a user would type."""
    page = render(run, form, scans=beside.scans, gates=beside.gates).replace("&#39;", "'")
    page = " ".join(page.replace("&#45;", "-").split())

    told = (DECISIONS, "nobody signs", "safety-critical", "undertow gate data/clean-0", "+0.90")
    assert [words for words in told if words not in page] == []
    assert DECISIONS not in render(run, form)


def test_the_json_of_a_run_holds_no_decision(run: RunDocument, beside: RunBeside) -> None:
    """Its published schema does not know them."""
    assert render(run, "json", gates=beside.gates) == render(run, "json")


def test_a_terminal_has_rows_policies_and_decisions(run: RunDocument, beside: RunBeside) -> None:
    """Without the reasons; what holds for all decisions about the same rows is said once."""
    table = brief_decisions(run, beside)

    assert "why" not in table.columns
    assert all(isinstance(cell, str) for row in table.rows for cell in row)
    assert [row[2:4] for row in table.rows[:2]] == [("default", "allowed"), ("default", "refused")]
    assert [row[-1] for row in table.rows[1:3]] == [
        "+0.90 logits, 95\N{NO-BREAK SPACE}% [+0.70, +1.10]",
        "",
    ]


@pytest.mark.parametrize("form", PAGES)
def test_a_decision_about_other_rows_is_shown_and_escaped(run: RunDocument, form: str) -> None:
    """It has no student; its texts cannot act in the page or in a terminal."""
    page = render(run, form, gates=[decision(HOSTILE)])

    assert DECISIONS in page
    assert form != "html" or "<script>alert" not in page
    assert not any(character in page for character in ("\u202e", "\x1b"))
