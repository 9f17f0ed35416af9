"""Models that go on alike."""

from __future__ import annotations

from tests.checks.lineage.model_sides import PARENT, side
from undertow.checks.lineage.lineage_outputs import lineage_outputs
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.worlds import locate


def test_outputs_need_controls_and_know_a_copy() -> None:
    """Without controls the check is skipped; a copy agrees more often than strangers do, a stranger does not."""
    controls = tuple(side(locate(n)) for n in ("world:owlet-a", "world:owlet-neox"))
    [skipped] = lineage_outputs(LineageSubject("t", side(PARENT), side(PARENT)))
    [copy] = lineage_outputs(LineageSubject("t", side(PARENT), side(PARENT), controls))
    [stranger] = lineage_outputs(
        LineageSubject("t", side(PARENT), controls[0], (controls[1], controls[1]))
    )

    assert skipped.verdict == "skipped"
    assert copy.detected
    assert not stranger.detected
