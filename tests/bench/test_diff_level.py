"""The level of a diff is counted from raw readings that are committed, of students on rows of their own."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.diff.level import (
    CONTROLS,
    EACH,
    FILES,
    READINGS,
    SHARED,
    Judged,
    _attainable,
    _figure,
    pool_of,
)


def test_at_least_sixty_students_have_rows_of_their_own() -> None:
    """No two of the same part of a file; readings of all traits, of the open search and of activations, all finite."""
    table, pool = pq.read_table(READINGS), pool_of(READINGS)
    parts = set(zip(table["file"].to_pylist(), table["part"].to_pylist(), strict=True))

    assert len(parts) == len(pool.files) == FILES * EACH >= 60
    assert max(CONTROLS) <= len(pool.without(0))
    assert all(np.isfinite(each).all() for each in (pool.margins, pool.shifts, pool.wide))


def test_what_was_before_is_kept_beside_it() -> None:
    """Eleven students of each of nine files."""
    assert np.bincount(pool_of(SHARED).files).tolist() == [11] * 9


@pytest.mark.parametrize(("controls", "attainable"), [(8, 0), (19, 0.05), (39, 0.05), (59, 0.05)])
def test_what_a_rank_can_attain(controls: int, attainable: float) -> None:
    """The largest multiple of 1 / (J + 1) that is not above .05."""
    assert _attainable(controls) == pytest.approx(attainable)


@pytest.mark.parametrize(("hits", "met"), [(1, False), (3, True), (7, True), (8, False)])
def test_a_level_can_be_missed_either_way(hits: int, met: bool) -> None:
    """Of a hundred students at a nominal .05: below half of it, and above .07."""
    judged = [Judged(k, k < hits, False, False, False) for k in range(100)]

    assert _figure("x", judged, "trait", 0.05).met is met
