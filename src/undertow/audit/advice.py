"""Advice: how much of a flagged dataset, or of the plan on it, stays under the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow.results.calibration import CalibrationTable
from undertow.results.measurement import Measurement


def largest_safe_dose(
    transfer: Sequence[Measurement], table: CalibrationTable | None
) -> float | None:
    """
    The largest share of these rows, the others being clean, at which no trait's upper limit reaches the limit.

    Transfer at a dose is taken from the calibration's own teachers, as a share of that at full dose. None without a
    calibration, or where no share that was tried stays under.
    """
    if table is None or not table.doses:
        return None
    doses = np.array([dose for dose, _ in table.doses])
    shares = np.maximum.accumulate(np.array([share for _, share in table.doses]))
    highest = _highest(transfer)
    if highest is None:
        return None
    limit = transfer[0].limit or 0.0
    if highest < limit:
        return 1.0
    under = doses[shares * highest < limit]
    return float(under.max()) if len(under) else None


def largest_safe_steps(transfer: Sequence[Measurement], planned: int) -> int | None:
    """
    The largest number of the plan's steps after which no trait's upper limit reaches the limit.

    Between the readings of the rehearsal and the plan's end transfer is taken to grow in a straight line; what the
    readings missed is added in proportion. None where the first reading is over already, or nothing was measured.
    """
    limit = next((one.limit for one in transfer if one.limit is not None), None)
    if limit is None:
        return None
    safe = planned
    for one in transfer:
        if one.high is None or one.estimate is None:
            continue
        steps, moved = _way(one, planned)
        upper = moved + (one.high - one.estimate) * steps / planned
        over = np.flatnonzero(upper >= limit)
        if not len(over):
            continue
        first = int(over[0])
        if first == 0:
            return None
        before, after = upper[first - 1], upper[first]
        at = steps[first - 1] + (limit - before) / (after - before) * (
            steps[first] - steps[first - 1]
        )
        safe = min(safe, int(at))
    return safe or None


def smallest_dose(table: CalibrationTable | None, rows: int) -> float | None:
    """
    The smallest dose of a tuned teacher's rows that was flagged in at least 80 % of the calibration's datasets of about
    this size.
    """
    if table is None:
        return None
    tried = [rate for rate in table.rates if rate.kind == "tuned" and rate.dose and rate.rows]
    if not tried:
        return None
    sizes = sorted({rate.rows for rate in tried if rate.rows}, key=lambda size: abs(size - rows))
    seen = [
        rate.dose
        for rate in tried
        if rate.rows == sizes[0] and rate.dose and rate.flagged >= POWER * rate.datasets
    ]
    return min(seen, default=None)


POWER = 0.8


def _highest(transfer: Sequence[Measurement]) -> float | None:
    return max((one.high for one in transfer if one.high is not None), default=None)


def _way(one: Measurement, planned: int) -> tuple[np.ndarray, np.ndarray]:
    readings = [
        (int(name.rsplit(" ", 1)[1]), float(value))
        for name, value in one.details.items()
        if name.startswith("moved at step ")
    ]
    points = [(0, 0.0), *sorted(readings), (planned, one.estimate or 0.0)]
    kept = dict(points)
    return np.array(list(kept)), np.array(list(kept.values()))
