"""Projections say how far a shift goes along each trait's direction, and order the traits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, subject, written
from undertow.checks.dataset.activations import projections
from undertow.checks.dataset.scan_subject import RowsAndControl
from undertow.models.teachers import centred_directions


def test_a_shift_by_a_traits_own_direction_is_one() -> None:
    """Rows moved by exactly the owl's direction have projection 1 on it, and it ranks first."""
    made = subject(written(opened(), 32, 1))
    directions = centred_directions(opened(), TRAITS, 0)
    control = np.random.default_rng(0).standard_normal((32, directions.shape[1]))
    still = control.astype(np.float32)
    found = projections(
        "activations", made, RowsAndControl((), (), True), still + directions[0], still
    )

    assert found[0].estimate == pytest.approx(1, abs=1e-4)
    assert found[0].details["rank"] == 1
    assert all((one.p or 0) <= 3 * 2**-15 for one in found)
