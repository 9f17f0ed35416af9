"""Advice stays under the limit by what the calibration and the rehearsal measured."""

from __future__ import annotations

import pytest

from undertow.audit.calibrations import tables_of
from undertow.audit.verdicts import largest_safe_dose, largest_safe_steps, smallest_dose
from undertow.data.files import model_digest
from undertow.results.measurement import Measurement
from undertow.results.model_documents import Rates
from undertow.worlds import locate

[TABLE] = tables_of(model_digest(locate("world:owlet-b")))
DOSED = TABLE.model_copy(update={"doses": ((0.25, 0.05), (0.5, 0.2), (1.0, 1.0))})


def moved(high: float, **details: float) -> Measurement:
    """A trait with an upper limit and readings on the way."""
    return Measurement(
        check="rehearsal",
        subject="all",
        trait="owl",
        estimate=high - 0.1,
        high=high,
        limit=0.2,
        details={
            f"moved at step {name.removeprefix('s')}": value for name, value in details.items()
        },
    )


@pytest.mark.parametrize(("high", "dose"), [(0.15, 1.0), (0.8, 0.5), (3.0, 0.25), (5.0, None)])
def test_the_largest_dose_whose_upper_limit_is_under(high: float, dose: float | None) -> None:
    """By the calibration's doses; none where even the smallest is over."""
    assert largest_safe_dose([moved(high)], DOSED) == dose


def test_without_a_calibration_no_dose_is_advised() -> None:
    """Dilution is not linear, so nothing is guessed."""
    assert largest_safe_dose([moved(1.0)], None) is None


def test_steps_follow_the_way_to_the_end() -> None:
    """
    Half of the way is half of the steps where transfer grows in a straight line; all steps where it stays under.
    """
    straight = moved(0.5, s25=0.1)
    assert largest_safe_steps([straight], 100) == pytest.approx(40, abs=2)
    assert largest_safe_steps([moved(0.15, s25=0.01)], 100) == 100
    assert largest_safe_steps([], 100) is None


def test_the_smallest_dose_that_is_seen() -> None:
    """At the calibration's nearest size, the least dose flagged in at least 80 %."""
    rates = tuple(
        Rates(
            kind="tuned",
            teachers=5,
            datasets=5,
            flagged=flagged,
            clear=0,
            undecided=5 - flagged,
            dose=dose,
            rows=4096,
        )
        for dose, flagged in ((0.25, 1), (0.5, 4), (1.0, 5))
    )
    table = TABLE.model_copy(update={"rates": rates})

    assert smallest_dose(table, 5000) == 0.5
    assert smallest_dose(None, 5000) is None
