"""The design of the bench of countermeasures: every arm is explained, has its random arm, and no seed was tuned on."""

from __future__ import annotations

from bench.mitigation.design import SEED, SEEDS, arms_of, tasks
from bench.mitigation.situation import replicate_seed
from bench.mitigation.table import NEEDS, SITUATIONS, table

TUNING = 70_001
UNTREATED = {"plain", "nothing"}


def test_every_arm_is_explained_and_every_situation_names_arms() -> None:
    """The page of figures says what each arm needs; what it lists by situation was tried at full dose."""
    planned = tasks()
    arms = {arm for task in planned for arm in arms_of(task)}
    tried: dict[str, set[str]] = {}
    for task in planned:
        tried.setdefault(f"{task.kind} {task.dose:.0%}", set()).update(arms_of(task))

    assert arms - UNTREATED == set(NEEDS)
    for _, dataset, listed in SITUATIONS:
        assert set(listed) <= tried[dataset]


def test_every_dataset_has_its_untreated_arm_and_its_replicates() -> None:
    """In each group, so that shares are of students of the same rows and orders."""
    groups: dict[tuple[str, float, str], set[int]] = {}
    for task in tasks():
        assert UNTREATED & set(arms_of(task))
        groups.setdefault((task.kind, task.dose, task.group), set()).add(task.number)

    assert all(numbers == set(range(SEEDS)) for numbers in groups.values())
    assert SEEDS >= 4


def test_no_reported_seed_was_tuned_on() -> None:
    """Replicates of the reported seed share no stream with those of the tuning seed; groups of one dataset share theirs."""
    reported = {replicate_seed(task) for task in tasks()}

    assert not reported & {replicate_seed(task) for task in tasks(TUNING)}
    assert len(reported) == len({(task.kind, task.number) for task in tasks()})
    assert SEED != TUNING


def test_no_method_is_picked_by_the_replicates_that_measure_it() -> None:
    """The table of situations has a row for each method that was tried, in the order of the design, the misses too."""
    rows = [line.split(" | ") for line in table().splitlines() if line.startswith("| you ")]
    planned = [(situation, arm) for situation, _, arms in SITUATIONS for arm in arms]

    assert [(row[0].removeprefix("| "), row[1].strip("`")) for row in rows] == planned
