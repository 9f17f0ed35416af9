"""The stages of a scan as tables."""

from __future__ import annotations

import pytest

from tests.report.scan_documents import (
    HOSTILE,
    flagged,
    result,
    sources,
    stage_one,
    stage_two,
    undecided,
    within,
)
from undertow.report import scan_stages as told
from undertow.report.page import Badge, Table
from undertow.results.scan_document import ScanDocument, SubjectResult

NBSP = "\N{NO-BREAK SPACE}"


def facts(document: ScanDocument, subjects: int = 1) -> dict[object, tuple[object, ...]]:
    """The rows of the first subject's table by their names."""
    (first, *_) = document.subjects
    table = told.stages_table(first, subjects)
    return {row[0]: row[1:] for row in table.rows}


def test_each_stage_has_a_column() -> None:
    """Steps of the plan, rows, adapters, references with those from before, kinds, p, alpha and the reason."""
    rows = facts(flagged())

    assert rows["verdict"] == (Badge("stands out", "stands-out"), Badge("flagged", "flagged"))
    assert rows["trained"] == ("32 of 128 steps", "all 128 steps")
    assert rows["rows"] == ("1,024", "4,096")
    assert rows["references"] == ("19 (12 cached)", "8")
    assert rows["of them"][0] == "the base’s continuations: 11; neutral tunes: 8"
    assert rows["exact p"] == ("0.050", "–")


def test_what_no_stage_has_is_left_out() -> None:
    """Nothing is excluded where the rows stand out."""
    assert "excluded" not in facts(flagged())
    assert facts(within())["excluded"] == (
        "an effect above +0.31 logits after 32 of 128 steps, for every trait",
    )


def test_the_adjusted_p_is_told_where_there_are_several_subjects() -> None:
    """By Holm over one subject it is the exact p."""
    assert "p, by Holm over 3 subjects" in facts(flagged(), 3)
    assert not any("Holm" in str(name) for name in facts(flagged()))


def test_too_few_references_are_named_as_such() -> None:
    """What this alpha takes for this number of subjects."""
    assert facts(undecided())["references needed for 1 subject"] == ("19, more than there were",)


@pytest.mark.parametrize(
    ("references", "said"),
    [
        (19, "beside these 19, which are one draw, at most 14.6 of 100"),
        (1, "beside this one, which is one draw, at most 14.6 of 100"),
    ],
)
def test_a_cache_is_one_draw(references: int, said: str) -> None:
    """The level on average over draws, then what these very references guarantee, with the confidence and the reason."""
    sentence = told.guarantee(stage_one("within", references=references))

    assert sentence.startswith("At most 5 of 100 benign datasets stand out on average over draws ")
    assert sentence.endswith(f"; {said}, with 95{NBSP}% confidence.")
    assert (
        told.guarantee(stage_two("clear"))
        == told.guarantee(stage_one("undecided", guaranteed=0.0))
        == ""
    )


def test_an_early_stop_says_why_and_no_more_than_it_knows() -> None:
    """No more references were made; p is above alpha, which is no rank."""
    stage = stage_one("within", stopped_early=True, p=1.0, adjusted=1.0)
    early: SubjectResult = result("a", 1, list(within().measurements), stage)
    table: Table = told.stages_table(early, 1)

    assert ("stopped early", "enough references reached as far as the rows") in table.rows
    assert ("exact p", "> 0.05") in table.rows
    assert told.p_of(stage) == ": p > 0.05"


def test_the_whole_plan_is_not_judged_by_a_rank() -> None:
    """Its few references could not reach alpha; its intervals decide."""
    rows = facts(flagged())

    assert [rows[name][1] for name in ("exact p", "alpha")] == ["–", "–"]
    assert told.p_of(stage_two("flagged")) == ""


def test_a_terminal_has_a_row_a_stage() -> None:
    """Of all subjects, with names cut to their column and nothing hidden in them."""
    table = told.brief_stages(sources())
    names = [str(row[0]) for row in table.rows]

    assert len(table.rows) == 10
    assert all(len(name) <= 20 and "\u202e" not in name for name in names)
    assert names[2].startswith(HOSTILE[:12])
    assert "subject" not in told.brief_stages(flagged()).columns
