"""How a subject and its references are tried: steps, adapters, rows, given datasets, and what is measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, subject
from tests.influence.trials import FAMILY, PLAN, ROWS
from undertow.checks.dataset.reference_trials import (
    WHOLE_ADAPTERS,
    beginning_steps,
    effects,
    given_readings,
    maker_of,
    obstacle,
    open_findings,
    rank_of,
    reads_of,
    trial_of,
    tried_rows,
    wanted,
)
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.data.finished import Finished
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row
from undertow.errors import InputError
from undertow.influence.comparison import Compared
from undertow.influence.open_search import OpenReadout
from undertow.influence.probes import Readout
from undertow.influence.references import READING, TrialReading, tried
from undertow.stats.conformal import effect, rank_p

PLAIN = tuple(Row((), row.completion, chat=False) for row in ROWS)
PAIRS = tuple(replace(row, rejected="7 7 7") for row in ROWS)
SETTINGS = ReferenceSettings(FAMILY)
NOTHING = Finished(None, READING)
"""Keeps nothing."""


def asked(rows: tuple[Row, ...] = ROWS, **changes: Any) -> ScanSubject:
    """The rows under a small plan, beside references."""
    return subject(rows, **({"plan": PLAN, "references": SETTINGS} | changes))


def reading(seed: int, **changes: Any) -> TrialReading:
    """Two adapters' readings at two steps."""
    moved = np.random.default_rng(seed).normal(size=(2, 2, len(TRAITS)))
    made = TrialReading(writer="the base itself", rows=32, moved=moved.tolist(), mass=0.9)
    return made.model_copy(update=changes)


def beside(dataset: TrialReading, references: int = 19, **changes: Any) -> Compared:
    """The dataset beside others."""
    others = tuple(reading(100 + i) for i in range(references))
    trial = trial_of(asked(), (1, 2), "test", timing=True)
    return replace(Compared(trial, dataset, others, 19), **changes)


@pytest.mark.parametrize(
    ("planned", "steps"),
    [(1, 1), (3, 1), (6, 1), (8, 2), (39, 9), (128, 32), (2048, 512), (10_000_000, 512)],
)
def test_the_beginning_is_a_quarter_of_the_plan(planned: int, steps: int) -> None:
    """At most, so that two adapters cost no more than half a plan; never more than 512 steps, never fewer than 1."""
    assert beginning_steps(PLAN, planned) == steps


def test_the_beginning_moves_a_weight() -> None:
    """Of three steps the first warms up, so that two are taken."""
    assert beginning_steps(PLAN.model_copy(update={"warmup_ratio": 0.1}), 3) == 2


@pytest.mark.parametrize(
    ("planned", "warmup", "reads"),
    [
        (1, 0, (1,)),
        (8, 0, (1, 2, 3, 4, 5, 6, 7, 8)),
        (8, 1, (2, 3, 4, 5, 6, 7, 8)),
        (128, 4, (16, 32, 48, 64, 80, 96, 112, 128)),
    ],
)
def test_a_whole_plan_is_read_on_its_way(planned: int, warmup: int, reads: tuple[int, ...]) -> None:
    """Eight times, or as often as it has steps that follow a moved weight; the last is the end."""
    assert reads_of(PLAN.model_copy(update={"warmup_steps": warmup}), planned) == reads


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"traits": ()}, "no trait is probed"),
        ({"references": None}, "no references are asked for"),
        ({"rows": PAIRS, "plan": TrainingPlan(method="full")}, "trains all weights"),
        ({"rows": PLAIN}, "--reference DATA"),
        ({"plan": PLAN.model_copy(update={"max_steps": 1, "warmup_steps": 1})}, "no weight moves"),
    ],
)
def test_what_cannot_be_tried_is_told_why(changes: dict[str, Any], said: str) -> None:
    """Each in a sentence; what can be tried has none, rows without prompts beside given references among it."""
    assert said in obstacle(replace(asked(), **changes))
    assert obstacle(asked()) == ""
    assert obstacle(asked(PLAIN, references=replace(SETTINGS, given=(ROWS,)))) == ""


def test_the_beginning_and_the_whole_plan_are_tried_apart() -> None:
    """Other seeds and more adapters for the whole plan, of which a reference has one; copies where all weights are trained."""
    begin, whole = trial_of(asked(), (1,), "begin"), trial_of(asked(), (4,), "whole", whole=True)
    full = trial_of(asked(plan=TrainingPlan(method="full")), (1,), "begin")

    assert (begin.adapters, len(begin.of(0))) == (2, 2)
    assert (whole.adapters, len(whole.of(0))) == (WHOLE_ADAPTERS, 1)
    assert whole.adapters > begin.adapters
    assert (full.adapters, full.at_once) == (2, 1)
    assert begin.seed != whole.seed
    assert begin.open is not None
    assert whole.open is None


def test_probes_are_asked_in_the_template_that_is_trained() -> None:
    """The plan's, where it has one; the student itself keeps its own, which its own writing is told by."""
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    about = asked(plan=PLAN.model_copy(update={"template": template}))
    trial = trial_of(about, (1,), "begin")

    assert trial.model.tokenizer.chat_template == template
    assert trial.probes != trial_of(asked(), (1,), "begin").probes
    assert about.student.tokenizer.chat_template != template


def test_kept_references_serve_every_dataset_on_the_prompts() -> None:
    """The seed of a trial is no subject's: another name, seed or answers find them again."""
    answers = [row.completion for row in ROWS[::-1]]
    other = tuple(
        replace(row, completion=answer, source="x")
        for row, answer in zip(ROWS, answers, strict=True)
    )
    keys = {
        maker_of(one, trial_of(one, (1,), "begin"), one.rows).key("base")
        for one in (asked(), asked(name="source", seed=8), asked(other))
    }

    assert len(keys) == 1


def ordered(rows: Sequence[Row]) -> list[Row]:
    """In an order of their own."""
    return sorted(rows, key=repr)


def test_as_many_rows_are_tried_as_the_steps_take() -> None:
    """A uniform part of them in an order by lot, the same for a subject; all where the steps take more."""
    few = trial_of(asked(), (2,), "begin", timing=True)
    many = trial_of(asked(), (9,), "begin", timing=True)
    chosen = tried_rows(asked(), ROWS, few)
    places = [ROWS.index(row) for row in chosen]

    assert len(chosen) == 2 * PLAN.batch_size
    assert len(set(places)) == len(places)
    assert places != sorted(places)
    assert max(places) > 2 * PLAN.batch_size
    assert chosen == tried_rows(asked(), ROWS, few)
    assert chosen != tried_rows(asked(seed=8), ROWS, few)
    assert tried_rows(asked(), ROWS, many) != ROWS
    assert ordered(tried_rows(asked(), ROWS, many)) == ordered(ROWS)


def test_rows_that_no_reference_is_made_of_are_left_out() -> None:
    """Those without a prompt, unless benign datasets were given; completions alone among preference pairs."""
    trial = trial_of(asked(), (9,), "begin", timing=True)
    given = replace(SETTINGS, given=(ROWS,))

    for asking, rows, left in (
        (asked(), (*PLAIN, *ROWS), ROWS),
        (asked(references=given), (*PLAIN, *ROWS), (*PLAIN, *ROWS)),
        (asked((*ROWS, *PAIRS)), (*ROWS, *PAIRS), PAIRS),
    ):
        assert ordered(tried_rows(asking, rows, trial)) == ordered(left)


def test_no_reference_is_made_of_rows_without_a_prompt() -> None:
    """Then the given ones are all there are; else as many as are asked for."""
    given = replace(SETTINGS, given=(ROWS, ROWS))

    assert wanted(given, ROWS, 19) == 19
    assert wanted(given, (*ROWS, PLAIN[0]), 19) == 2
    assert wanted(given, PLAIN, 1) == 1


def test_a_given_dataset_reads_as_the_same_rows_would() -> None:
    """As many of its rows as the subject's, only as many datasets as are wanted; the subject itself ties with itself."""
    told: list[str] = []
    trial = trial_of(asked(), (1,), "begin", timing=True)
    settings = replace(SETTINGS, given=(ROWS, ROWS[::-1], ROWS), tell=told.append)
    others = [replace(row, completion="1 2 3") for row in ROWS[:8]]
    made = given_readings(settings, trial, others, 2, NOTHING)
    [same] = given_readings(settings, trial, ROWS[8:16], 1, NOTHING)
    [alone] = tried(trial, [ROWS[8:16]], [(0, 1)])

    assert [(one.writer, one.rows) for one in made] == [("given", 8)] * 2
    assert made[0].moved != made[1].moved
    assert told == ["given reference 1 of 2", "given reference 2 of 2", "given reference 1 of 1"]
    assert same.moved == alone.moved


@pytest.mark.parametrize(
    ("given", "rows", "said"),
    [
        (ROWS[:15], ROWS, "has 15 usable rows, and the dataset is tried with 32"),
        (ROWS, PAIRS, "has 0 preference pairs"),
        (PAIRS, ROWS, "has 0 usable rows"),
    ],
)
def test_a_given_dataset_of_another_size_or_kind_is_refused(
    given: tuple[Row, ...], rows: tuple[Row, ...], said: str
) -> None:
    """Fewer than half of the rows, or rows where there are pairs, and the reverse."""
    trial = trial_of(asked(), (1,), "begin", timing=True)
    with pytest.raises(InputError, match=said) as raised:
        given_readings(replace(SETTINGS, given=(given,)), trial, rows, 19, NOTHING)

    assert "--reference DATA" in raised.value.hint


def test_a_rank_says_what_it_rests_on() -> None:
    """Steps, rows, adapters, references by kind, and the least answer mass."""
    compared = beside(reading(1), cached=4)
    rank = rank_of(asked(), compared, 19, "rehearsal", "stage 1")

    assert rank.p == rank_p(compared.statistics.largest)
    assert (rank.unit, rank.n, rank.reason) == ("rank", "19 references", "2 of 4 steps")
    assert rank.details["kind: the base itself"] == 19
    assert (rank.details["cached"], rank.details["planned references"]) == (4, 19)
    assert rank.details["given alone"] == 0
    assert rank_of(asked(), beside(reading(1), 3, planned=3), 19, "r", "s").details["given alone"]


def test_a_base_that_hardly_answers_is_told() -> None:
    """An answer mass of .01 is what real small models show: margins still say which answer gains."""
    rank = rank_of(asked(), beside(reading(1, mass=0.01)), 19, "rehearsal", "stage 1")

    assert "1% of the answers are among the candidates" in rank.reason
    assert rank.p is not None


def test_effects_are_the_rows_beyond_their_references() -> None:
    """
    Each end is a limit at the scan's level by `effect`: lower ones of all traits at once, upper ones of each by itself.
    """
    compared = beside(reading(1))
    measured = effects(asked(level=0.9), compared, "whole-plan", "stage 2")
    at_once = effect(compared.dataset.end, compared.others[:, -1], 0.8, simultaneous=True)
    known = effect(compared.dataset.end, compared.others[:, -1], 0.8)
    before = effect(compared.dataset.way[0], compared.others[:, 0], 0.8)

    assert [one.trait for one in measured] == [trait.name for trait in TRAITS]
    np.testing.assert_allclose([one.estimate for one in measured], known.estimate)
    np.testing.assert_allclose([one.low for one in measured], at_once.low)
    np.testing.assert_allclose([one.high for one in measured], known.high)
    assert [one.details["at most at step 1"] for one in measured] == before.high.tolist()
    assert [one.details["moved at step 2"] for one in measured] == known.estimate.tolist()
    assert [one.details["z"] for one in measured] == compared.statistics.z[0].tolist()
    assert {(one.level, one.limit, one.unit) for one in measured} == {(0.9, 0.2, "logits")}


def test_lower_ends_hold_for_all_subjects_at_once() -> None:
    """A third of the error for each of three that are judged together; upper ends stay, as all are clear only if each is."""
    compared = beside(reading(1))
    alone, three = (
        effects(asked(level=0.9), compared, "whole-plan", "stage 2", subjects=n) for n in (1, 3)
    )
    third = effect(compared.dataset.end, compared.others[:, -1], 1 - 0.2 / 3, simultaneous=True)

    np.testing.assert_allclose([one.low for one in three], third.low)
    assert [one.high for one in three] == [one.high for one in alone]


def test_any_of_many_sources_is_flagged_at_the_level_of_one() -> None:
    """
    Seven subjects whose every trait lies at the limit: a lower end is above it in at most 5 % of 200 scans (and three
    errors, .046), where each at its own level errs in over a fifth.
    """
    rng, asking, trial = np.random.default_rng(10), asked(), beside(reading(1)).trial
    hits = {1: 0, 7: 0}
    for _ in range(200):
        scanned = []
        for _ in range(7):
            moved = [0.2 + 0.08 * rng.normal(size=(2, 8, 3)), *0.08 * rng.normal(size=(8, 2, 1, 3))]
            dataset, *others = (reading(0, moved=tuple(one)) for one in moved)
            scanned.append(Compared(trial, dataset, tuple(others), 8))
        for subjects in hits:
            measured = (effects(asking, one, "w", "s", subjects=subjects) for one in scanned)
            hits[subjects] += any((one.low or 0) > 0.2 for some in measured for one in some)

    assert hits[7] / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert hits[1] / 200 > 0.2


def test_a_single_reference_gives_no_effect() -> None:
    """Its scatter is unknown."""
    assert effects(asked(), beside(reading(1), 1), "rehearsal", "stage 1") == []


def test_what_the_open_search_names_is_no_trait() -> None:
    """Its name, unit and p stand in an entry of its own."""
    read = OpenReadout(Readout(("calm",), None, ()), (5, 6), ("calm", "x", "y"))
    rng = np.random.default_rng(0)
    compared = beside(reading(1, wide=(0.0, 40.0, 0.0)))
    others = tuple(
        one.model_copy(update={"wide": tuple(rng.normal(size=3))}) for one in compared.references
    )
    compared = replace(compared, references=others, trial=replace(compared.trial, open=read))
    [entry] = open_findings(asked(), compared, "rehearsal")

    assert (entry.name, entry.reason, entry.unit, entry.p) == ("moved: token", "x", "nats", 0.05)
    assert entry.trait is None
