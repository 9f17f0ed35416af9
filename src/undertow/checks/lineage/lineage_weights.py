"""The check `lineage-weights`: do the hidden units of two models belong together one by one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.lineage.hidden_units import (
    ComparedLayers,
    FeedForward,
    compared,
    layers_of,
    matrices,
)
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.results.measurement import Measurement, skipped
from undertow.stats.multiplicity import cauchy_combination, fisher_combination
from undertow.stats.unit_alignment import agreement_p

if TYPE_CHECKING:
    from undertow.models.checkpoint import Checkpoint


ID = "lineage-weights"
ALIGNED, ROTATED, PERMUTED = "aligned units", "rotated units", "permuted units"
POWER = 0.99


def lineage_weights(subject: LineageSubject) -> list[Measurement]:
    """
    Tests whether the hidden units of two models belong together one by one, as they do where both began as one.

    For each layer the feed-forward matrices of both models are cut into units (the rows that go into one, the columns
    that come out of it), and the mean cosine of units at the same place is held against its mean and variance over all
    permutations of the units, in closed form. An independent initialisation draws its units in any order, so that the
    null is exact up to the normal limit over the units. Layers are combined by Cauchy's rule, which allows for their
    dependence (Fisher's, which does not, stands beside it). Models of different depths are compared layer by best layer,
    with p multiplied by the number tried.

    Two more tests catch copies that were disguised. `rotated units` compares the units' inner products with each other,
    which a rotation of the residual stream leaves alone, by Mantel's moments. `permuted units` lets two of the matrices
    match units freely, by cosine, and counts how many are matched alike: without a common start about one is. Its p
    (Poisson, mean 1) is not exact, as the two matchings may depend on each other. Beside them stand the published
    statistics CSW and MATCH (Zhu et al. 2025), where a layer has at most 2,048 units: CSW is the correlation of the
    best assignment with the identity, and loses its power with little noise.

    Weights are read tensor by tensor, adapters are merged and few bits are widened on the way. Of a layer at most 1,024
    units, drawn by lot, are kept; memory is that of them and of three whole matrices.

    Why it matters. The hidden channel of subliminal learning needs a shared initialisation (Cloud et al. 2025). Cards
    say what someone declared; weights were either started together or not.

    What it cannot tell you. That two models share a start says nothing about what either learned, or which descends
    from which: siblings look like parent and child. Not detected means not seen with this power: a child that was
    trained for so long that its units kept less than the `detectable` cosine, or was both permuted and rotated, is
    missed. Models of other widths cannot be compared, and layers of experts are left out. Embeddings are not looked at:
    words have an order of their own.

    What to do. Where a shared start is found, scan the teacher's rows before training (`undertow scan`), or take a
    teacher of another family. Where none is found, ordinary text and preference pairs still carry traits.

    Numbers beside it: `z`; smallest mean cosine that is `detectable` with 99 % power; `layers` compared; `agreeing`
    units; `csw` and `match`, means over layers; `fisher` p.
    """
    ours, theirs = subject.student.checkpoint, subject.teacher.checkpoint
    mine, others = layers_of(ours), layers_of(theirs)
    reason = _incomparable(ours, theirs, mine, others)
    if reason:
        return [skipped(ID, subject.name, reason)]
    layers = list(compared(subject, mine, others))
    return [_aligned(subject, layers), _rotated(subject, layers), _permuted(subject, layers)]


def _incomparable(
    ours: Checkpoint, theirs: Checkpoint, mine: Sequence[FeedForward], others: Sequence[FeedForward]
) -> str:
    for checkpoint, layers in ((ours, mine), (theirs, others)):
        if not layers:
            return (
                f"'{checkpoint.ref}' has no feed-forward matrices that are known by name and shape"
            )
    shapes = [
        [(part.shape[1]) for part in matrices(checkpoint, layers[0])]
        for checkpoint, layers in ((ours, mine), (theirs, others))
    ]
    if mine[0].width != others[0].width or shapes[0] != shapes[1]:
        sizes = [
            f"{layers[0].width:,} units of {' + '.join(map(str, shape))} numbers"
            for layers, shape in zip((mine, others), shapes, strict=True)
        ]
        return f"the layers differ: '{ours.ref}' has {sizes[0]}, '{theirs.ref}' {sizes[1]}"
    return ""


def _aligned(subject: LineageSubject, layers: Sequence[ComparedLayers]) -> Measurement:
    p = cauchy_combination([min(1.0, one.aligned.p * one.tried) for one in layers])
    alpha = 1 - subject.level
    csw = [one.csw for one in layers if one.csw is not None]
    details: dict[str, float | int | str] = {
        "z": float(np.mean([one.aligned.z for one in layers])) * len(layers) ** 0.5,
        "detectable": min(one.aligned.detectable(alpha / len(layers), POWER) for one in layers),
        "layers": len(layers),
        "fisher": fisher_combination([min(1.0, one.aligned.p * one.tried) for one in layers]),
        "z by layer": " ".join(f"{one.aligned.z:.1f}" for one in layers),
    }
    if csw:
        details["csw"] = float(np.mean(csw))
    mean = float(np.mean([one.aligned.mean for one in layers]))
    seen = p <= alpha
    reason = (
        "units at the same place are more alike than any other order of them would make them"
        if seen
        else "units at the same place are no more alike than others"
    )
    return _measured(
        subject, layers, ALIGNED, mean, p, seen, reason, details, "mean cosine of aligned units"
    )


def _rotated(subject: LineageSubject, layers: Sequence[ComparedLayers]) -> Measurement:
    p = cauchy_combination([min(1.0, one.rotated.p * one.tried) for one in layers])
    mean = float(np.mean([one.rotated.mean for one in layers]))
    seen = p <= 1 - subject.level
    reason = (
        "units stand to each other as those at the same places do"
        if seen
        else "how units stand to each other is not shared"
    )
    details: dict[str, float | int | str] = {
        "z": float(np.mean([one.rotated.z for one in layers])) * len(layers) ** 0.5
    }
    return _measured(
        subject, layers, ROTATED, mean, p, seen, reason, details, "correlation of inner products"
    )


def _permuted(subject: LineageSubject, layers: Sequence[ComparedLayers]) -> Measurement:
    p = cauchy_combination([min(1.0, agreement_p(one.agreeing) * one.tried) for one in layers])
    agreeing, units = sum(one.agreeing for one in layers), sum(one.units for one in layers)
    match = [one.match for one in layers if one.match is not None]
    details: dict[str, float | int | str] = {"agreeing": agreeing, "units": units}
    if match:
        details["match"] = float(np.mean(match))
    seen = p <= 1 - subject.level
    reason = (
        "two matrices that match units freely agree on far more than chance would let them"
        if seen
        else "two matrices that match units freely hardly agree"
    )
    return _measured(
        subject,
        layers,
        PERMUTED,
        agreeing / units,
        p,
        seen,
        reason,
        details,
        "share of units matched alike",
    )


def _measured(
    subject: LineageSubject,
    pairs: Sequence[ComparedLayers],
    name: str,
    estimate: float,
    p: float,
    seen: bool,
    reason: str,
    details: dict[str, float | int | str],
    unit: str,
) -> Measurement:
    units, layers = sum(one.units for one in pairs), len(pairs)
    return Measurement(
        check=ID,
        name=name,
        subject=subject.name,
        estimate=estimate,
        level=subject.level,
        n=f"{units:,} units in {layers} {'layer' if layers == 1 else 'layers'}",
        p=p,
        limit=1 - subject.level,
        unit=unit,
        detected=seen,
        reason=reason,
        details=details,
    )
