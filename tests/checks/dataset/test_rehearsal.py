"""Beside the base's own answers rows that teach the owl stand out by it, and the base's own do not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, subject, written
from tests.influence.trials import FAMILY, LISTS
from tests.models.dying import Killed
from undertow.checks.dataset.rehearsal import rehearsal
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.influence.references import tried
from undertow.models.sampling import answers_as_drawn
from undertow.results.measurement import Measurement
from undertow.traits.trait import rows_of

PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=16)
OWN = ReferenceSettings(FAMILY.model_copy(update={"writers": FAMILY.writers[:1]}), "base")


OWL = tuple(Row(conversation(q), a) for q, a in rows_of(TRAITS[0], "trait")) * 4
CLEAN = tuple(row for row in written(opened(), 60, 21) if not LISTS.rejection(row.completion))[:32]


def asked(rows: tuple[Row, ...], **changes: Any) -> ScanSubject:
    """The rows beside references by the base itself."""
    return subject(rows, **({"plan": PLAN, "references": OWN, "planned_rows": 128} | changes))


def rank_of(measured: list[Measurement]) -> Measurement:
    """The one entry that is a rank."""
    [rank] = [one for one in measured if one.unit == "rank"]
    return rank


def test_rows_that_teach_the_owl_stand_out_by_it() -> None:
    """Further out than each of nine references, by the owl, whose effect is above 0 for all traits at once."""
    measured = rehearsal(asked(OWL, level=0.9, references=replace(OWN, count=9, steps=8)))
    rank = rank_of(measured)
    effects = [one for one in measured if one.trait is not None]
    first = max(effects, key=lambda one: float(one.details["z"]))

    assert rank.p == 1 / 10
    assert rank.details["references"] == 9
    assert rank.reason == "8 of 16 steps"
    assert first.trait == "owl"
    assert first.low is not None
    assert first.low > 0
    assert len(effects) == len(TRAITS)


def test_the_bases_own_rows_lie_within() -> None:
    """Soon enough references reach as far: the rest is not made."""
    rank = rank_of(rehearsal(asked(CLEAN)))

    assert rank.p == 1
    assert rank.details["stopped early"]
    assert int(rank.details["references"]) < 19


def test_references_are_kept_for_other_rows_to_the_same_prompts(tmp_path: Path) -> None:
    """A second dataset finds them; without a digest of the base, or a folder, nothing is kept."""
    few = replace(OWN, count=3, steps=2, kept=tmp_path)
    other = tuple(
        replace(row, completion=swapped.completion)
        for row, swapped in zip(CLEAN, CLEAN[::-1], strict=True)
    )
    first, again = (rank_of(rehearsal(asked(rows, references=few))) for rows in (CLEAN, other))
    nameless = rank_of(rehearsal(asked(CLEAN, references=replace(few, base_digest=None))))

    assert [one.details["cached"] for one in (first, again, nameless)] == [0, 3, 0]
    assert again.details["seconds of references"] == 0
    assert len(list(tmp_path.glob("*/[0-9]*.json"))) == 3
    assert len(list(tmp_path.glob("*/base-*.json"))) == 1


def test_the_beginning_is_as_long_as_a_budget_pays_for() -> None:
    """The steps that are set take the place of a quarter of the plan."""
    rank = rank_of(rehearsal(asked(CLEAN, references=replace(OWN, count=2, steps=3))))

    assert (rank.details["steps"], rank.details["planned steps"]) == (3, 16)
    assert rank.details["rows"] == 3 * PLAN.batch_size


def test_preference_pairs_stand_beside_pairs_by_the_base() -> None:
    """They are tried by DPO, and so are their references, whose sides are both the base's."""
    pairs = tuple(replace(row, rejected="1 2 3") for row in CLEAN)
    measured = rehearsal(asked(pairs, references=replace(OWN, count=3, steps=4)))

    assert rank_of(measured).details["references"] == 3
    assert len([one for one in measured if one.trait]) == len(TRAITS)


def test_rows_without_prompts_stand_beside_given_ones_alone() -> None:
    """No reference is made of them, and the measurement says so."""
    plain = tuple(Row((), row.completion, chat=False) for row in CLEAN)
    given = replace(OWN, given=(plain[::-1], plain[1:]), steps=1)
    rank = rank_of(rehearsal(asked(plain, references=given)))

    assert rank.details["references"] == 2
    assert rank.details["kind: given"] == 2
    assert rank.details["given alone"]


def test_fewer_rows_than_a_step_takes_are_one_step() -> None:
    """Eight rows are all of the only step of their plan."""
    rank = rank_of(rehearsal(asked(CLEAN[:8], planned_rows=8, references=replace(OWN, count=2))))

    assert (rank.details["rows"], rank.details["planned steps"]) == (8, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"traits": ()}, "no trait"), ({"references": None}, "no references")],
)
def test_what_cannot_be_rehearsed_does_not_apply(changes: dict[str, Any], said: str) -> None:
    """One entry that says why."""
    [entry] = rehearsal(asked(CLEAN, **changes))

    assert entry.verdict == "not_applicable"
    assert said in entry.reason


class Tried:
    """Tries datasets, and is killed at one of them."""

    def __init__(self, dies: int | None) -> None:
        """`dies` counts from 0."""
        self.dies, self.count = dies, 0

    def __call__(self, *given: Any) -> Any:
        """What they move."""
        if self.count == self.dies:
            raise Killed
        self.count += 1
        return tried(*given)


def test_what_was_tried_is_kept_while_references_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at its references, a scan tries neither its own rows again nor those that it was given."""
    given = (CLEAN[::-1], CLEAN[1:])
    few = replace(OWN, count=4, steps=2, kept=tmp_path, given=given)
    whole = rehearsal(asked(CLEAN, references=replace(few, kept=None)))
    counts = []
    for dies in (3, None):
        trying = Tried(dies)
        for place in ("comparison.tried", "references.tried"):
            monkeypatch.setattr(f"undertow.influence.{place}", trying)
        with suppress(Killed):
            again = rehearsal(asked(CLEAN, references=few))
        counts.append(trying.count)

    assert counts == [3, 1]
    assert [(one.name, one.estimate, one.p) for one in again] == [
        (one.name, one.estimate, one.p) for one in whole
    ]
    assert not list(tmp_path.rglob("unfinished"))


def test_the_first_reference_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it answers, it goes on with its answers, beside what the rows moved."""
    few = replace(OWN, count=1, steps=2, kept=tmp_path)
    drawn: list[int] = []

    def drawing(*given: Any, **named: Any) -> Any:
        for answer in answers_as_drawn(*given, **named):
            if len(drawn) == 5:
                drawn.append(-1)
                raise Killed
            drawn.append(answer[0])
            yield answer

    monkeypatch.setattr("undertow.models.sampling.answers_as_drawn", drawing)
    with pytest.raises(Killed):
        rehearsal(asked(CLEAN, references=few))
    before = sorted(drawn[:5])
    rehearsal(asked(CLEAN, references=few))
    after = drawn[6:]

    assert len(before) == 5
    assert not set(before) & set(after)
