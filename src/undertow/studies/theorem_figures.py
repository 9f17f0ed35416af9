"""The theorem study's measurements as tables and plots: shares of replicates, deviations, curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.results.run_document import Curves, Matrix, Series
from undertow.stats import clopper_pearson
from undertow.studies.theorem import INITIALISATIONS, Findings
from undertow.studies.theorem_networks import Array, TheoremConfig
from undertow.studies.theorem_steps import OPTIMISERS

Hits = NDArray[np.bool_]


def matrices(findings: Sequence[Findings], config: TheoremConfig) -> tuple[Matrix, ...]:
    """Shares of replicates with their exact intervals, and deviations from the lemma."""
    return (*_first_step(findings, config), *_beyond(findings, config))


def deviation(finding: Findings, config: TheoremConfig) -> Array:
    """|S . D / eps - Q| / Q of students that share the initialisation, shape (step sizes, R)."""
    sizes = np.array(config.step_sizes)[:, None]
    ratio: Array = finding.first.inner["same-init"] / sizes / finding.first.quadratic
    return np.abs(ratio - 1)


def _first_step(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Matrix]:
    sizes, rates = _texts(config.step_sizes), _texts(config.rates)
    starts = [(f, init) for f in findings for init in INITIALISATIONS]
    yield _shares(
        "positive-inner-product",
        "Replicates whose student's step has a positive inner product with the teacher's",
        ("teacher's step size", sizes),
        {f"{f.name}, {init}": f.first.inner[init] > 0 for f, init in starts},
        config.level,
    )
    yield _sizes(
        "lemma-deviation",
        "Largest relative deviation of inner product / step size from the quadratic form of the "
        "lemma, same initialisation",
        sizes,
        {f.name: deviation(f, config).max(axis=1) for f in findings},
    )
    yield _sizes(
        "foreign-dependence",
        "How much of a foreign student's step S is due to the teacher's step: median of "
        "|S(step size) - S(0)| / |S(0)|",
        sizes,
        {f.name: np.median(f.first.dependence, axis=1) for f in findings},
    )
    yield _shares(
        "loss-falls",
        "Replicates whose teacher's loss is lower after the student's step than before it "
        f"(teacher's step size {config.step_size:g})",
        ("multiple of the student's step", rates),
        {f"{f.name}, {init}": f.first.loss_change[init] < 0 for f, init in starts},
        config.level,
    )
    yield _shares(
        "loss-falls-below-control",
        "Replicates whose teacher's loss is lower than after the step of a student of the unmoved "
        f"teacher (teacher's step size {config.step_size:g})",
        ("multiple of the student's step", rates),
        {f"{f.name}, {init}": f.first.loss_gap[init] < 0 for f, init in starts},
        config.level,
    )


def _beyond(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Matrix]:
    starts = [(f, init) for f in findings for init in INITIALISATIONS]
    trained = [(f, o, init) for f in findings for o in OPTIMISERS for init in INITIALISATIONS]
    pairs = [(teacher, student) for teacher in OPTIMISERS for student in OPTIMISERS]
    yield _shares(
        "optimisers",
        "Replicates whose first steps have a positive inner product, by optimiser",
        ("teacher's, student's", [f"{teacher}, {student}" for teacher, student in pairs]),
        {f"{f.name}, {i}": np.stack([f.optimisers[*p, i] > 0 for p in pairs]) for f, i in starts},
        config.level,
    )
    yield _shares(
        "small-batches",
        "Replicates whose first steps have a positive inner product, by the size of the student's "
        "batch and its optimiser, same initialisation",
        ("inputs in the batch", _texts(config.batches)),
        {f"{f.name}, {o}": f.batches[o] > 0 for f in findings for o in OPTIMISERS},
        config.level,
    )
    yield _shares(
        "several-steps",
        "Replicates whose displacements after several steps of both have a positive inner product",
        ("steps", _texts(config.steps)),
        {f"{f.name}, {o}, {init}": f.displacement[o, init] > 0 for f, o, init in trained},
        config.level,
    )
    yield _shares(
        "several-steps-loss",
        "Replicates whose teacher's loss is lower after several steps than that of a student of "
        "the untrained teacher",
        ("steps", _texts(config.steps)),
        {f"{f.name}, {o}, {init}": f.several_gap[o, init] < 0 for f, o, init in trained},
        config.level,
    )


def _shares(
    name: str,
    caption: str,
    columns: tuple[str, Sequence[str]],
    hits: Mapping[str, Hits],
    level: float,
) -> Matrix:
    """
    Share of replicates in which something holds, with Clopper-Pearson limits.

    Args:
        name: Permanent name.
        caption: What holds.
        columns: What the columns vary, and its values.
        hits: By row, whether it holds, shape (columns, R).
        level: Of the limits.
    """
    intervals = [
        [clopper_pearson(int(hit.sum()), hit.size, level) for hit in row] for row in hits.values()
    ]
    return Matrix(
        name=name,
        caption=caption,
        row_label="setting",
        column_label=columns[0],
        rows=tuple(hits),
        columns=tuple(columns[1]),
        values=tuple(tuple(i.estimate for i in row) for row in intervals),
        low=tuple(tuple(i.low for i in row) for row in intervals),
        high=tuple(tuple(i.high for i in row) for row in intervals),
        unit="share of replicates",
    )


def _sizes(name: str, caption: str, sizes: Sequence[str], values: Mapping[str, Array]) -> Matrix:
    return Matrix(
        name=name,
        caption=caption,
        row_label="setting",
        column_label="teacher's step size",
        rows=tuple(values),
        columns=tuple(sizes),
        values=tuple(tuple(map(float, row)) for row in values.values()),
        unit="relative",
    )


def _texts(values: Sequence[float]) -> list[str]:
    return [f"{value:g}" for value in values]


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
            series=tuple(_sampled_shares(findings, config)),
            log_x=True,
        ),
    )


def predicted_share(finding: Findings, config: TheoremConfig) -> Array:
    """Phi(eps * sqrt(n * Q)): share of positive inner products predicted for n sampled labels."""
    labels = finding.outputs * np.array(config.draws)[:, None]
    settled = config.hard_step_size * np.sqrt(labels * finding.first.quadratic)
    shares: Array = np.array(
        [[(1 + math.erf(z / math.sqrt(2))) / 2 for z in row] for row in settled]
    )
    means: Array = shares.mean(axis=1)
    return means


def _by_step_size(
    findings: Sequence[Findings], config: TheoremConfig, quantity: str
) -> Iterable[Series]:
    for finding in findings:
        values = finding.first.inner if quantity == "inner" else finding.first.cosine
        for init in INITIALISATIONS:
            shown = np.abs(values[init]) if quantity == "inner" else values[init]
            yield _series(f"{finding.name}, {init}", config.step_sizes, np.median(shown, axis=1))


def _loss_by_rate(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Series]:
    for finding in findings:
        predicted = -np.outer(config.rates, config.step_size * finding.first.quadratic)
        over = finding.first.loss_change["same-init"] / predicted
        yield _series(finding.name, config.rates, np.median(over, axis=1))


def _displacement(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Series]:
    for finding in findings:
        for optimiser in OPTIMISERS:
            for init in INITIALISATIONS:
                middle = np.median(finding.displacement[optimiser, init], axis=1)
                yield _series(f"{finding.name}, {optimiser}, {init}", config.steps, middle)


def _sampled_shares(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Series]:
    for finding in findings:
        if finding.sampled is not None:
            labels = [finding.outputs * draws for draws in config.draws]
            measured = (finding.sampled > 0).mean(axis=1)
            yield _series(f"{finding.name}, measured", labels, measured)
            yield _series(f"{finding.name}, predicted", labels, predicted_share(finding, config))


def _series(name: str, x: Sequence[float], y: Array) -> Series:
    return Series(name=name, x=tuple(map(float, x)), y=tuple(map(float, y)))
