"""What a scan/2 says of its references: each word once, what was taken for granted, and what it cost."""

from __future__ import annotations

import pytest

from tests.report.scan_documents import (
    FAMILY,
    HOSTILE,
    PRICES,
    SCANS,
    clear,
    dismissed,
    flagged,
    priced,
    sources,
    stands_out,
    undecided,
    within,
)
from tests.results.test_family_record import rate
from undertow.report import scan_references as told
from undertow.report.figure import Lanes
from undertow.report.page import Fold, Part, Section, Table
from undertow.report.scan_record import reliability, reliability_table
from undertow.results.family_record import FamilyRecord, SizeRecord
from undertow.results.measurement import SEVERITY

NBSP = "\N{NO-BREAK SPACE}"
WORDS = {"flagged", "stands out", "within", "clear", "undecided"}


@pytest.mark.parametrize("kind", SCANS)
def test_each_word_is_defined_once_in_a_sentence(kind: str) -> None:
    """Those that the page uses beside the verdicts, the rest of the five in its glossary."""
    grounds = told.reference_grounds(SCANS[kind]())
    elsewhere = WORDS & grounds.glossary.keys()

    assert not elsewhere & grounds.meanings.keys()
    assert elsewhere | grounds.meanings.keys() >= WORDS
    assert all(one.count(". ") == 0 and one.endswith(".") for one in grounds.meanings.values())


def test_the_words_of_both_stages_count_as_used() -> None:
    """Rows that stood out and were cleared need both words."""
    assert list(told.reference_grounds(dismissed()).meanings) == ["stands out", "clear"]
    assert set(told.reference_grounds(sources()).meanings) == set(SEVERITY)


def test_meanings_hold_the_scans_own_numbers() -> None:
    """Alpha is 1 minus the level; the limit is that of the scan."""
    strict = within().model_copy(update={"level": 0.99, "limit": 0.35})
    meanings = told.meanings(strict)

    assert f"(p{NBSP}≤{NBSP}0.01)" in meanings["stands out"]
    assert f"(p{NBSP}>{NBSP}0.01)" in meanings["within"]
    assert "0.35 logits" in meanings["flagged"]
    assert "0.35 logits" in meanings["clear"]


def test_only_the_whole_plan_is_judged_by_flagged_and_clear() -> None:
    """The words of stage 1 say that it is the beginning."""
    meanings = told.meanings(clear())

    assert all("whole plan" in meanings[word] for word in ("flagged", "clear"))
    assert all("beginning of the plan" in meanings[word] for word in ("stands out", "within"))


def test_every_price_is_expected_and_spent() -> None:
    """A row a part, and the sum; GPU-hours where a GPU did it."""
    table = told.prices_table(flagged().prices)

    assert table.rows[0] == (
        "references, 32 steps each",
        "4.75",
        "1.75",
        "3 min 32 s",
        "1 min 20 s",
        "–",
        "–",
    )
    assert table.rows[-1] == (
        *("all of it", "17.25", "14.25", "12 min 54 s", "10 min 23 s", "0.21", "0.10"),
    )
    assert not {"GPU-hours", "expected GPU-hours"} & {*told.prices_table(PRICES).columns}


def test_a_gpus_hours_are_expected_before_they_are_spent() -> None:
    """Of a dry run only what is expected is known."""
    price = PRICES[0].model_copy(
        update={"gpu_hours": 0.5, "spent_fine_tunes": 0.0, "spent_seconds": 0.0}
    )
    table = told.prices_table([price])

    assert dict(zip(table.columns, table.rows[0], strict=True))["expected GPU-hours"] == "0.50"
    assert "GPU-hours" not in table.columns
    assert told.brief_prices([price]).rows[0][-1].endswith("0.50 GPU-hours")


def test_a_time_that_is_known_in_part_is_no_sum() -> None:
    """The first scan of a base has timed nothing."""
    untimed = (PRICES[0].model_copy(update={"seconds": None}), PRICES[1])

    assert told.prices_table(untimed).rows[-1][3] == "–"


def test_prices_are_told_in_a_line_with_the_budget() -> None:
    """Before the work nothing is spent."""
    assert told.spent(stands_out()) == (
        "2.25 fine-tunes, 1 min 42 s",
        "expected: 5.25 fine-tunes, 3 min 54 s; budget: 2.50 fine-tunes",
    )
    assert told.spent(priced())[0] == "nothing yet"
    assert "--budget F caps it" in told.budget(priced())


def test_what_must_be_known_beforehand_stands_on_every_form() -> None:
    """In the section on references and in a terminal."""
    grounds = told.reference_grounds(undecided())
    note = FAMILY.notes[0]

    assert dict(grounds.labels)["beforehand"] == note
    assert note in repr(next(one for one in grounds.sections if one.id == "references"))


def test_how_often_verdicts_were_right_stands_beside_the_family() -> None:
    """A line a size and verdict, and one a kind of benign rows; an unfinished bench says how much of it there is."""
    measured = {"flagged": rate(0.9), "clear": rate(0.02)}
    size = SizeRecord(rows=4096, level=rate(0.05), outside={HOSTILE: rate(0.4)}, moved=measured)
    record = FamilyRecord(
        digest="d", where="lists", limit=0.2, writers=30, planned=160, sizes=(size,)
    )
    family = FAMILY.model_copy(update={"record": record})
    grounds = told.reference_grounds(within().model_copy(update={"references": family}))
    shown = repr(next(one for one in grounds.sections if one.id == "references"))
    table = reliability_table(record)

    assert "30 writers of 160 planned" in shown
    assert [row[1] for row in table.rows] == [
        "it says “flagged”",
        "it says “clear”",
        "benign rows, of the family",
        f"rows, {HOSTILE}",
    ]
    assert table.rows[0][2:4] == ("students moved by more than 0.20", f"90.0{NBSP}%")
    (figure,) = [one for one in reliability(record) if isinstance(one, Lanes)]
    assert [lane.value for lane in figure.panels[0].lanes] == [f"90{NBSP}%", f"2{NBSP}%"]
    assert figure.numbers == table
    assert "How often it was right" not in repr(told.reference_grounds(within()).sections)


def test_a_terminal_shows_the_sum_of_many_prices() -> None:
    """Sixty sources would fill it with parts; the page has them all."""
    many = sources().model_copy(update={"prices": PRICES * 10})
    (*_, table) = told.reference_grounds(many).brief
    (section,) = [one for one in told.reference_grounds(many).sections if one.id == "prices"]

    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["all of it"]
    assert isinstance(section.blocks[0], Table)
    assert len(section.blocks[0].rows) == 21


def test_subjects_beyond_the_sixth_are_folded() -> None:
    """The most severe stand open, each with its stages; subjects without a stage are in the verdicts alone."""
    grounds = told.reference_grounds(sources())
    stages: Section = next(one for one in grounds.sections if one.id == "stages")
    folded = [block for block in stages.blocks if isinstance(block, Fold)]

    assert sum(isinstance(block, Part) for block in stages.blocks) == 6
    assert [len(fold.blocks) for fold in folded] == [1]
