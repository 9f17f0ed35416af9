"""The theorem experiment's measurements as plots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from undertow.lab.beyond_first_order import OPTIMISERS
from undertow.lab.theorem_design import Array, TheoremConfig
from undertow.lab.theorem_measurements import INITIALISATIONS, Findings
from undertow.results.run import Curves, Series


def curves(findings: Sequence[Findings], config: TheoremConfig) -> tuple[Curves, ...]:
    """How inner product, loss, displacement and sampled labels behave, by setting."""
    return (
        Curves(
            name="inner-product-by-step-size",
            caption="Inner product of the student's and the teacher's step: median magnitude",
            x_label="teacher's step size",
            y_label="magnitude of the inner product",
            series=tuple(_by_step_size(findings, config, "inner")),
            log_x=True,
            log_y=True,
        ),
        Curves(
            name="cosine-by-step-size",
            caption="Cosine of the student's and the teacher's step: median",
            x_label="teacher's step size",
            y_label="cosine",
            series=tuple(_by_step_size(findings, config, "cosine")),
            log_x=True,
        ),
        Curves(
            name="loss-by-rate",
            caption="Change of the teacher's loss along the student's step, over what the lemma "
            "predicts to first order: median, same initialisation",
            x_label="multiple of the student's step",
            y_label="change / predicted change",
            series=tuple(_loss_by_rate(findings, config)),
            log_x=True,
        ),
        Curves(
            name="displacement-by-steps",
            caption="Cosine of the student's and the teacher's displacement: median",
            x_label="steps of both",
            y_label="cosine",
            series=tuple(_displacement(findings, config)),
            log_x=True,
        ),
        Curves(
            name="sampled-labels",
            caption="Replicates with a positive inner product where the student sees sampled "
            f"labels (teacher's step size {config.hard_step_size:g}, same initialisation)",
            x_label="sampled labels",
            y_label="share of replicates",
            series=tuple(_sampled(findings, config)),
            log_x=True,
        ),
    )


def predicted_share(found: Findings, config: TheoremConfig) -> Array:
    """Phi(eps * sqrt(n * Q)): share of positive inner products predicted for n sampled labels."""
    labels = found.outputs * np.array(config.draws)[:, None]
    settled = config.hard_step_size * np.sqrt(labels * found.first.quadratic)
    shares: Array = np.array(
        [[(1 + math.erf(z / math.sqrt(2))) / 2 for z in row] for row in settled]
    )
    means: Array = shares.mean(axis=1)
    return means


def _by_step_size(
    findings: Sequence[Findings], config: TheoremConfig, quantity: str
) -> Iterable[Series]:
    for found in findings:
        values = found.first.inner if quantity == "inner" else found.first.cosine
        for init in INITIALISATIONS:
            shown = np.abs(values[init]) if quantity == "inner" else values[init]
            yield _series(f"{found.name}, {init}", config.step_sizes, np.median(shown, axis=1))


def _loss_by_rate(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Series]:
    for found in findings:
        predicted = -np.outer(config.rates, config.step_size * found.first.quadratic)
        over = found.first.loss_change["same-init"] / predicted
        yield _series(found.name, config.rates, np.median(over, axis=1))


def _displacement(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Series]:
    for found in findings:
        for optimiser in OPTIMISERS:
            for init in INITIALISATIONS:
                middle = np.median(found.displacement[optimiser, init], axis=1)
                yield _series(f"{found.name}, {optimiser}, {init}", config.steps, middle)


def _sampled(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Series]:
    for found in findings:
        if found.sampled is not None:
            labels = [found.outputs * draws for draws in config.draws]
            measured = (found.sampled > 0).mean(axis=1)
            yield _series(f"{found.name}, measured", labels, measured)
            yield _series(f"{found.name}, predicted", labels, predicted_share(found, config))


def _series(name: str, x: Sequence[float], y: Array) -> Series:
    return Series(name=name, x=tuple(map(float, x)), y=tuple(map(float, y)))
