"""How often verdicts on simulated scans are wrong: the beginning alone, the whole plan, doses, many sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.test_verdicts import ALPHA, rank
from tests.audit.test_verdicts import effect as measured
from undertow.audit.verdicts import advice, beginnings, judged, subject_result, whole_plan
from undertow.results.measurement import Measurement
from undertow.results.scan_document import ALL
from undertow.stats.conformal import effect

LIMIT, TRAITS, ADAPTERS, REFERENCES = 0.2, 16, 8, 8
SETS = 600
ERROR = (ALPHA * (1 - ALPHA) / SETS) ** 0.5
"""Standard error of a share of alpha over the simulated sets: .009."""


def whole(rng: np.random.Generator, real: np.ndarray, own: float = 0.0) -> list[Measurement]:
    """
    Effects of a whole plan on rows that really move each trait by `real` logits, as the check measures them.

    Adapters scatter by .08 logits, half of the variance in one factor of all traits, and by `own` times what they move.
    """

    def noise(*shape: int) -> np.ndarray:
        both = rng.normal(size=(*shape, 1)) + rng.normal(size=(*shape, TRAITS))
        return 0.08 / np.sqrt(2) * both

    moved = real * (1 + own * rng.normal(size=(ADAPTERS, 1)))
    references = rng.normal(0, 0.03, (REFERENCES, 1, TRAITS)) + noise(REFERENCES, 1)
    rows = moved + noise(ADAPTERS)
    low = effect(rows, references, 1 - 2 * ALPHA, simultaneous=True).low
    found = effect(rows, references, 1 - 2 * ALPHA)
    ends = zip(found.estimate, low, found.high, strict=True)
    return [measured(f"trait {i}", *map(float, each)) for i, each in enumerate(ends)]


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(-4, 4), st.floats(0, 4)), min_size=1, max_size=4),
)
def test_the_beginning_alone_neither_clears_nor_flags(
    place: int, effects: list[tuple[float, float]]
) -> None:
    """Whatever the rank, the traits and their effects: no table continues a quarter of the steps to the plan's end."""
    some = [rank(place / 20)]
    some += [measured("harmful", e, e - half, e + half, 1) for e, half in effects]
    stage = beginnings({ALL: some}, ALPHA)[ALL]
    result = subject_result(ALL, 2048, [(stage, some)], [])

    assert result.verdict == ("stands out" if place == 1 else "within")
    assert {judged(one).verdict for one in some} == {None}


def test_traits_that_move_together_are_not_cleared() -> None:
    """
    Half of the traits move by .2 to .3: each is below the limit in at most 5 % of 600 sets (and three errors), and so is
    a set whose traits just reach it, one or all.
    """
    rng = np.random.default_rng(3)
    wrong = 0.0
    for _ in range(SETS):
        real = np.where(np.arange(TRAITS) < TRAITS // 2, rng.uniform(0.2, 0.3, TRAITS), 0.0)
        cleared = [judged(one).verdict == "clear" for one in whole(rng, real)]
        wrong += float(np.mean(cleared[: TRAITS // 2]))

    assert wrong / SETS <= ALPHA + 3 * ERROR
    for moved in (1, TRAITS):
        real = np.where(np.arange(TRAITS) < moved, LIMIT, 0.0)
        sets = [whole_plan([rank(1, 8, 2), *whole(rng, real)], ALPHA) for _ in range(SETS)]
        assert sum(one is not None and one.verdict == "clear" for one in sets) / SETS <= (
            ALPHA + 3 * ERROR
        )


def test_benign_rows_are_cleared_trait_by_trait() -> None:
    """
    Rows that move nothing are clear in 95 % of 600 sets or more. Where upper ends hold for all 16 traits at once, as
    lower ones must, in fewer than 80 %.
    """
    rng = np.random.default_rng(11)
    clear = at_once = 0
    for _ in range(SETS):
        some = whole(rng, np.zeros(TRAITS))
        clear += all(judged(one).verdict == "clear" for one in some)
        widest = [2 * (one.estimate or 0.0) - (one.low or 0.0) for one in some]
        at_once += max(widest) < LIMIT

    assert clear / SETS >= 0.95
    assert at_once / SETS < 0.8


def test_an_effect_just_above_the_limit_is_seldom_cleared_however_it_scatters() -> None:
    """One trait moves by .2 to .25, and adapters by .62 of that: clear in at most 5 % of 600 sets, mostly undecided."""
    rng = np.random.default_rng(4)
    verdicts = []
    for _ in range(SETS):
        real = np.zeros(TRAITS)
        real[3] = rng.uniform(0.2, 0.25)
        stage = whole_plan([rank(1, 8, 2), *whole(rng, real, own=0.62)], ALPHA)
        verdicts.append(stage.verdict if stage else "")

    assert verdicts.count("clear") / SETS <= ALPHA + 3 * ERROR
    assert verdicts.count("undecided") / SETS > 0.8


def test_an_advised_dose_stays_under_the_limit() -> None:
    """
    Where transfer is a straight line in the dose: over it in at most 5 % of 600 sets; the dose by the estimate in over 30 %.
    """
    rng = np.random.default_rng(9)
    real = np.zeros(TRAITS)
    real[5] = 0.45
    given = [advice(whole(rng, real, own=0.3)) for _ in range(SETS)]
    over = {
        name: np.mean([float(str(one[name])) * real[5] > LIMIT for one in given])
        for name in ("largest_safe_dose", "dose_of_estimate")
    }

    assert over["largest_safe_dose"] <= ALPHA + 3 * ERROR
    assert over["dose_of_estimate"] > 0.3


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_benign_sources_raise_an_alarm_in_five_percent_of_scans(shared: float) -> None:
    """
    A file of 20 sources beside 419 references each, alike or not: any of them stands out in 5 % of 300 scans at most
    (and three errors), where every one at its own 5 % would in a quarter of them or more.
    """
    rng = np.random.default_rng(10)
    names, references, scans = [ALL, *map(str, range(20))], 419, 300
    alarms, alone = 0, 0
    for _ in range(scans):
        # Ranks of normal draws, of which a part is common to all sources.
        far = np.sqrt(shared) * rng.normal() + np.sqrt(1 - shared) * rng.normal(size=len(names))
        places = np.searchsorted(np.sort(rng.normal(size=references)), -far) + 1
        p = dict(zip(names, places / (references + 1), strict=True))
        stages = beginnings({name: [rank(p[name], references)] for name in names}, ALPHA)
        alarms += any(stage.verdict == "stands out" for stage in stages.values())
        alone += min(p.values()) <= ALPHA

    assert alarms / scans <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / scans) ** 0.5
    assert alone / scans > (0.5 if not shared else 0.25)
