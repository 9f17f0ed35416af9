"""Comparisons of a chain, in which each student teaches the next: transfer by hop."""

from __future__ import annotations

import numpy as np

from undertow.lab.arms import Contrast
from undertow.lab.conclusions import LOGITS, Findings, contrasted, paired, values
from undertow.lab.design import hop_name
from undertow.lab.experiment import Experiment
from undertow.lab.material import Made
from undertow.results.run import Curves, Series


def chain(experiment: Experiment, made: Made) -> Findings:
    """Every hop against the control chain's, and the last against the first within chains."""
    hops = range(1, experiment.hops + 1)
    found = [
        comparison
        for hop in hops
        for comparison in contrasted(
            experiment,
            made,
            Contrast(
                hop_name(hop, "trait"),
                hop_name(hop, "neutral"),
                f"Is the trait still there after {hop} {'hop' if hop == 1 else 'hops'}?",
            ),
        )
    ]
    first, last = (
        values(made.arm(hop_name(hop, "trait")), "logit_margin") for hop in (1, hops[-1])
    )
    fade = paired(
        f"hop-{hops[-1]} - hop-1",
        [b - a for a, b in zip(first, last, strict=True)],
        LOGITS,
        experiment.level,
        "Does it fade along the chain?",
    )
    transfers = [c.estimate for c in found if c.unit == LOGITS]
    sentence = (
        f"Over {experiment.hops} hops the transfer was "
        + ", ".join(f"{value:+.2f}" for value in transfers)
        + f" logits; from the first hop to the last it changed by {fade.estimate:+.2f} (sign-flip p = {fade.p:.3f})."
    )
    return Findings(sentence, (*found, fade), curves=(_curves(experiment, made),))


def _curves(experiment: Experiment, made: Made) -> Curves:
    hops = tuple(float(hop) for hop in range(1, experiment.hops + 1))
    series = []
    for role, name in (("trait", "trait chain, mean"), ("neutral", "control chain, mean")):
        means = [
            float(np.mean(values(made.arm(hop_name(int(h), role)), "logit_margin")))  # type: ignore[arg-type]
            for h in hops
        ]
        series.append(Series(name=name, x=hops, y=tuple(means)))
    for replicate in range(experiment.replicates):
        margins = [
            values(made.arm(hop_name(int(h), "trait")), "logit_margin")[replicate] for h in hops
        ]
        series.append(Series(name=f"trait chain {replicate + 1}", x=hops, y=tuple(margins)))
    return Curves(
        name="hops",
        caption="Logit margin of the trait's answer along the chains: each student writes the rows of the next.",
        x_label="hop",
        y_label="logit margin",
        series=tuple(series),
    )
