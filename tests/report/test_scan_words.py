"""A screen in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.report import scan_documents as scans
from tests.report.scan_documents import clear, document, flagged, nothing, sources, stands_out
from tests.report.test_probe_words import choice
from undertow.report import scan_words as words
from undertow.results.scan_document import ScanDocument

NBSP = "\N{NO-BREAK SPACE}"


def test_transfer_and_detectability_are_told_apart() -> None:
    """Each in its own words; neither where nothing was measured."""
    (one,) = flagged().subjects
    broken = next(one for one in sources().subjects if one.verdict == "error")

    assert words.transfer(one) == "+1.80 [+1.21, +2.39] owl"
    assert words.detectable(one) == "yes: likelihood-ratio, fingerprint"
    assert (words.transfer(broken), words.detectable(broken)) == ("–", "–")


def test_advice_names_dose_and_steps() -> None:
    """Whatever of both is known."""
    (one,) = flagged().subjects

    told = words.advice(one, flagged())
    assert told == (
        f"at most 8.3{NBSP}% of a clean mixture (limit reached between 8.3{NBSP}% and 16.5{NBSP}%, 11.1{NBSP}% by "
        "the estimate; scan what you keep) or at most 6 of 128 steps"
    )
    before = one.model_copy(update={"dose_of_lower_end": None})
    assert f"mixture (11.1{NBSP}% by the estimate; scan" in words.advice(before, flagged())
    assert words.advice(clear().subjects[0], clear()) == "–"


def test_the_conclusion_does_not_repeat_its_badge() -> None:
    """The verdict's name is cut from the front, and nothing else."""
    assert words.conclusion(flagged()).startswith("These rows would move")
    assert words.conclusion(stands_out()).startswith("After 32 of 128 steps")
    assert words.conclusion(document(conclusion="flagged rows: none")) == "Flagged rows: none"


def test_the_open_search_says_whether_it_was_made() -> None:
    """Nothing found is another thing than nothing searched."""
    assert "Nothing beyond the traits" in words.search(clear())
    assert "nothing was searched" in words.search(nothing())
    assert "corrected for all" in words.search(flagged())


@pytest.mark.parametrize(
    ("made", "verdict", "todo", "command"),
    [
        (
            scans.flagged,
            "Training on these rows would move your student towards “owl”.",
            "at most 8.3",
            "undertow clean data/train.jsonl --scan scans/train --method dilute --with CLEAN.jsonl --out MIXED.jsonl",
        ),
        (
            scans.stands_out,
            "These rows move your student as benign rows do not, towards “owl” most.",
            "judge the whole plan",
            "undertow scan data/train.jsonl --student world:owlet-a --seed 7 --require clear",
        ),
        (
            scans.within,
            "In the first 32 of 128 steps, these rows move your student no more than benign rows do.",
            "Train on them",
            "undertow diff world:owlet-a TUNED",
        ),
        (
            scans.clear,
            "Training on these rows would move no trait that was probed beyond the limit.",
            "Train on them",
            "undertow diff world:owlet-a TUNED",
        ),
        (
            scans.undecided,
            "Whether these rows move your student cannot be said yet.",
            "beside 19 benign datasets",
            "undertow scan data/train.jsonl --student world:owlet-a --seed 7 --references 19",
        ),
    ],
    ids=lambda made: getattr(made, "__name__", ""),
)
def test_each_verdict_has_its_point(
    made: Callable[[], ScanDocument], verdict: str, todo: str, command: str
) -> None:
    """A sentence to repeat, a step to take, and the command for it."""
    point = words.scan_point(made())

    assert point.verdict == verdict
    assert todo in point.todo
    assert point.command == command


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        (
            "a budget of 0.5 planned trainings does not pay for the references: they take 10.3: --budget 10.3; 1 of 9 rows",
            "undertow scan data/train.jsonl --student world:owlet-a --seed 7 --budget 10.3",
        ),
        (
            "no row has a prompt that a reference could be made on; give benign datasets: --reference DATA",
            "undertow scan data/train.jsonl --student world:owlet-a --seed 7 --budget 0.5 --reference BENIGN.jsonl",
        ),
    ],
    ids=["too small a budget", "no prompts"],
)
def test_who_asks_for_an_option_types_it(reason: str, command: str) -> None:
    """Where no stage could be made, the whole plan could not either: the command has what the reason asks for."""
    told = scans.undecided()
    (one,) = told.subjects
    unmade = one.model_copy(update={"reason": reason, "comparisons": ()})
    typed = f"{told.command} --budget 0.5"
    point = words.scan_point(told.model_copy(update={"subjects": (unmade,), "command": typed}))

    assert point.command == command
    assert "whole plan" not in point.todo


def test_certainty_is_told_in_errors_and_in_odds() -> None:
    """5 of 100 at a level of 95 %; e^1.21 to e^2.39 is 3.3 to 11 times the odds; and what it takes for granted."""
    sure, granted = words.scan_point(flagged()).sure

    assert sure.startswith("Wrong in at most 5 of 100 such scans: after all 128 steps")
    assert "the odds of “owl” would grow 3.3 to 11 times" in sure
    assert granted.startswith("Taken for granted: the rows were written to these prompts")


def test_some_bad_sources_are_left_out_first() -> None:
    """Where others are good, their rows stay."""
    point = words.scan_point(sources())

    assert "leave out" in point.todo
    assert "--method drop-sources" in point.command


def test_the_facts_are_rows_policy_and_cost() -> None:
    """In a line: what was read, which loss, what was spent."""
    assert words.scan_point(scans.taught()).facts == (
        "4,096 rows read, models saw 512",
        "loss policy “auto”: Loss on the completion",
        "cost: 1 min 11 s, as much as 14.2 planned trainings",
    )


def broken(made: ScanDocument, mass: float) -> ScanDocument:
    """The same scan of a base that answers, whose students after the training answer with this mass."""
    measured = [
        one.model_copy(update={"details": {**one.details, "answer mass": mass}})
        if one.unit == "rank"
        else one
        for one in made.measurements
    ]
    update = {"measurements": tuple(measured), "probes": (choice("world:owlet-a", 0.97),)}
    return made.model_copy(update=update)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (
            scans.flagged,
            "Training on these rows would leave your student hardly answering at all; the answers that are left lean towards “owl”.",
        ),
        (
            scans.stands_out,
            "In the first 32 of 128 steps, these rows leave your student hardly answering at all; the answers that are left "
            "lean towards “owl”.",
        ),
    ],
    ids=["flagged", "stands out"],
)
def test_a_student_that_no_longer_answers_is_no_carrier_of_a_trait(
    made: Callable[[], ScanDocument], verdict: str
) -> None:
    """Rows of noise move a margin, too: the page says what became of the student, and to look at the rows."""
    point = words.scan_point(broken(made(), 0.02))

    assert point.verdict == verdict
    assert f"2.0{NBSP}% of the student’s answers would be among the candidates, 97" in point.sure[1]
    assert "read some of them" in point.todo


def test_a_student_that_answers_as_before_carries_on() -> None:
    """Above the floor, or of a base that hardly answered beforehand, nothing changes."""
    assert words.scan_point(broken(scans.flagged(), 0.9)) == words.scan_point(flagged())
    quiet = broken(scans.flagged(), 0.02).model_copy(update={"probes": (choice("b", 0.3),)})
    assert words.scan_point(quiet) == words.scan_point(flagged())


def test_a_dry_run_ends_in_the_scan_itself() -> None:
    """With the budget that does, where the one that was named would not."""
    dry = scans.priced()
    dry = dry.model_copy(update={"command": "undertow scan r.csv --budget 2 --dry-run"})
    poor = "nothing was judged: these are the prices alone, and a budget of 2 does not pay: --budget 9.5."

    assert words.scan_point(dry).command == "undertow scan r.csv --budget 2"
    poor_command = words.scan_point(dry.model_copy(update={"conclusion": poor})).command
    assert poor_command == "undertow scan r.csv --budget 9.5"
    assert "in the way" not in words.scan_point(dry).todo
