"""
The open search: what moved is found under its own name, chance is not, and few runs are treated as few.
"""

from __future__ import annotations

import numpy as np
import pytest

from undertow.checks.open_search import Looked, corrected, open_search
from undertow.data.streams import generator
from undertow.stats import holm
from undertow.stats.moderated import moderated_t


def looked(
    seed: int,
    *,
    runs: tuple[int, int] = (4, 4),
    items: int = 200,
    tail: float | None = None,
    shared: float = 0.0,
    what: str = "probe",
    scale: float = 0.1,
) -> Looked:
    """
    Runs without any effect: items of unequal scale; `shared` of the variance in three common factors, t of `tail`.
    """
    rng = np.random.default_rng(seed)
    loads = rng.normal(size=(3, items)) / np.sqrt(3)
    scales = scale * np.exp(0.5 * rng.normal(size=items))

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) if tail is None else rng.standard_t(tail, size=shape)

    total = sum(runs)
    values = np.sqrt(shared) * drawn(total, 3) @ loads + np.sqrt(1 - shared) * drawn(total, items)
    values *= scales
    names = tuple(f"{what} {i}" for i in range(items))
    return Looked(what, names, values[: runs[0]], values[runs[0] :])  # type: ignore[arg-type]


def search(groups: list[Looked], **options: float) -> list[str]:
    """
    Names of what was found.
    """
    found = open_search(groups, "all", generator(0, "open-search"), **options)  # type: ignore[arg-type]
    return [entry.name for entry in found]


def test_what_moved_is_found_with_its_size_and_its_p() -> None:
    """
    One probe of 200 that moved by 2 logits in every run of 4; p is the least that 4 v 4 runs give.
    """
    group = looked(1)
    group.moved[:, 17] += 2
    (entry,) = open_search([group], "web", generator(0, "open-search"))

    assert (entry.subject, entry.what, entry.name, entry.unit) == (
        "web",
        "probe",
        "probe 17",
        "logits",
    )
    assert entry.estimate == pytest.approx(group.moved[:, 17].mean() - group.placebo[:, 17].mean())
    assert entry.p == pytest.approx(2 / 70)


def test_what_fell_is_found_too() -> None:
    """
    A token that became less likely; the correction covers both kinds together.
    """
    probes, tokens = looked(1), looked(2, what="token", scale=3.0, items=500)
    tokens.moved[:, 3] -= 60

    assert search([probes, tokens]) == ["token 3"]


def test_kinds_of_other_scale_do_not_hide_each_other() -> None:
    """
    Each kind has a variance prior of its own, so that noisy tokens leave quiet probes their power.
    """
    probes, tokens = looked(1), looked(2, what="token", scale=30.0)
    probes.moved[:, 5] += 2

    assert search([probes, tokens]) == ["probe 5"]


def test_the_surest_come_first_and_no_more_than_asked_for() -> None:
    """
    A run of findings is cut, the largest statistics kept.
    """
    group = looked(4)
    group.moved[:, :30] += np.linspace(40, 2, 30) * group.moved[:, :30].std(0) + 3

    assert len(search([group], most=5)) == 5
    assert search([group], most=5) == search([group], most=10)[:5]


def test_three_runs_are_corrected_by_holm_on_the_moderated_t() -> None:
    """
    No split of 3 v 3 runs has p below .1, so the t distribution must be trusted.
    """
    group = looked(6, runs=(3, 3))
    group.moved[:, 8] += 3
    test = moderated_t(group.moved, group.placebo)
    p, strength = corrected([group], generator(0, "open-search"), 0.95)

    assert p.tolist() == holm(test.p).tolist()
    assert strength.tolist() == np.abs(test.t).tolist()
    assert search([group]) == ["probe 8"]


@pytest.mark.parametrize(
    ("runs", "tail", "shared", "most"),
    [
        ((4, 4), None, 0.0, 0.05),
        ((4, 4), 3.0, 0.8, 0.05),
        ((3, 3), None, 0.0, 0.06),
        ((3, 3), 3.0, 0.0, 0.06),
        ((3, 3), None, 0.8, 0.13),
    ],
)
def test_searches_without_an_effect_find_nothing_mostly(
    runs: tuple[int, int], tail: float | None, shared: float, most: float
) -> None:
    """
    At level .95: exact for 4 v 4; for 3 v 3 approximate, and above the level where common factors rule the items.
    """
    seeds = range(250 if runs == (3, 3) else 100)
    alarms = [
        bool(search([looked(s, runs=runs, items=60, tail=tail, shared=shared)])) for s in seeds
    ]

    assert np.mean(alarms) <= most + 0.02


def test_a_level_that_runs_cannot_reach_exactly_is_left_to_the_t() -> None:
    """
    At .99 the 70 splits of 4 v 4 runs give no p below .01.
    """
    group = looked(1)
    group.moved[:, 17] += 3
    (entry,) = open_search([group], "all", generator(0, "open-search"), level=0.99)

    assert entry.p < 0.01


def test_nothing_to_look_at_finds_nothing() -> None:
    """
    No kinds, no entries.
    """
    assert open_search([], "all", generator(0, "open-search")) == ()


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (Looked("probe", ("a",), np.zeros((4, 2)), np.zeros((4, 2))), "1 names for arrays"),
        (Looked("probe", ("a", "b"), np.zeros((3, 2)), np.zeros((4, 2))), "in the same runs"),
        (Looked("probe", ("a", "b"), np.full((4, 2), np.nan), np.zeros((4, 2))), "must be finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(group: Looked, message: str) -> None:
    """
    Names, runs and finite values.
    """
    with pytest.raises(ValueError, match=message):
        search([looked(0, items=2), group])
