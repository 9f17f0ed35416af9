"""What a tuning cost on neutral text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.checks.tuned.simulated_readings import reading, subject
from undertow.checks.tuned.diff_capability import diff_capability


def test_a_rise_of_the_loss_is_seen_text_by_text() -> None:
    """A small rise on every text is detected, none is not."""
    rng = np.random.default_rng(5)
    losses = rng.normal(3, 1, 64)
    one = subject(np.zeros((2, 3)), [np.zeros((2, 3))])
    start = reading(np.zeros((2, 3)), losses)
    worse = reading(np.zeros((2, 3)), losses + rng.normal(0.02, 0.02, 64))
    [risen] = diff_capability(replace(one, untouched=start, tuned=(worse,)))
    [still] = diff_capability(replace(one, untouched=start, tuned=(start,)))

    assert risen.detected
    assert not still.detected
