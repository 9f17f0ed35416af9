"""
A shift of activations projected on each trait's persona direction: an order of names, no evidence of transfer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.comparison import BLOCKS, Compared, block_ratios, block_test
from undertow.results.measurement import Measurement
from undertow.stats.mean_shift import Vectors
from undertow.stats.multiplicity import holm

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject
    from undertow.stats.result import TestResult
    from undertow.traits.trait import Trait


def projections(
    check: str, subject: Subject, pair: Compared, rows: Vectors, control: Vectors
) -> list[Measurement]:
    """
    One measurement a trait that has persona prompts: how far the middle layer's shift goes along its direction.

    `rows` and `control` are the middle layer's activations, (rows, hidden).

    Raises:
        ModelError: the chat template has no system role.
    """
    from undertow.influence.trait_directions import centred_directions
    from undertow.models.steering import layers

    traits = [trait for trait in subject.traits if trait.system_prompts]
    layer = (len(layers(subject.student)) - 1) // 2
    directions = centred_directions(
        subject.student, traits, layer, system_prompt=subject.system_prompt
    )
    tests = [
        _test(rows, control, direction.astype(np.float64), subject.level)
        for direction in directions
    ]
    corrected = holm([test.p for test in tests])
    order = np.argsort([-test.estimate for test in tests], kind="stable")
    ranks = {int(i): rank for rank, i in enumerate(order, 1)}
    return [
        _measurement(check, subject, pair, trait, test, float(corrected[i]), ranks[i], len(traits))
        for i, (trait, test) in enumerate(zip(traits, tests, strict=True))
    ]


def _test(rows: Vectors, control: Vectors, direction: np.ndarray, level: float) -> TestResult:
    square = float(direction @ direction) or 1.0
    along = [side @ direction / square for side in (rows, control)]
    blocks = [block_ratios(values, np.ones(len(values))) for values in along]
    return block_test(blocks[0], blocks[1], level)


def _measurement(
    check: str,
    subject: Subject,
    pair: Compared,
    trait: Trait,
    test: TestResult,
    p: float,
    rank: int,
    traits: int,
) -> Measurement:
    return Measurement(
        check=check,
        name="projection",
        subject=subject.name,
        trait=trait.name,
        estimate=test.estimate,
        low=test.interval.low,
        high=test.interval.high,
        level=subject.level,
        n=f"{BLOCKS} blocks, {pair.n}",
        p=p,
        unit="of the persona prompt's own shift",
        reason=f"rank {rank} of {traits}; orders names only, and does not screen number lists",
        details={"rank": rank},
    )
