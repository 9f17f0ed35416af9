"""How alike two models represent the same texts."""

from __future__ import annotations

import numpy as np

from tests.checks.lineage.model_sides import PARENT, side
from undertow.checks.lineage.lineage_activations import cka, lineage_activations
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.worlds import locate


def test_cka_is_no_test_of_a_start() -> None:
    """Strangers of the same corpus score high, and nothing is detected."""
    [one] = lineage_activations(LineageSubject("t", side(PARENT), side(locate("world:owlet-a"))))
    rng = np.random.default_rng(0)
    unrelated = cka(rng.standard_normal((200, 8)), rng.standard_normal((200, 8)))

    assert one.detected is None
    assert one.estimate is not None
    assert one.estimate > 0.2 > abs(unrelated) + 0.1
