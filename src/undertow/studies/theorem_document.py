"""The theorem study as a stored run: comparisons, notes, limits and the conclusion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.engines.engine import Progress
from undertow.results.run_document import Comparison, Note
from undertow.stats import clopper_pearson
from undertow.studies.theorem import Findings, measure, parts
from undertow.studies.theorem_figures import curves, deviation, matrices, predicted_share
from undertow.studies.theorem_networks import TheoremConfig

Hits = NDArray[np.bool_]

LIMITS = (
    "Networks of a few thousand parameters with smooth activations, at their initialisation: a "
    "pre-trained language model has another curvature and takes larger steps.",
    "The theorem is about a sign: a positive inner product alone is no transfer that anyone would "
    "notice.",
    "Vectors start at zero in every initialisation, so an output bias is no foreign parameter: where "
    "logits are shared, a foreign student can align with the teacher through it.",
    "Filtered data and prompted teachers are not covered, neither by the theorem nor here.",
    "The p-values of the comparisons are not corrected for their number.",
)


def run_theorem(config: TheoremConfig, progress: Progress, *, seed: int) -> dict[str, object]:
    """
    The study, as the parts of a `RunDocument` that it knows.

    Keys: `arms` (none), `comparisons`, `curves`, `matrices`, `notes`, `limits`, `conclusion`.
    """
    progress.stage("settings", len(config.settings) * parts(config))
    findings = [measure(name, config, seed, advance=progress.advance) for name in config.settings]
    progress.finish()
    return {
        "arms": (),
        "comparisons": comparisons(findings, config),
        "curves": curves(findings, config),
        "matrices": matrices(findings, config),
        "notes": tuple(notes(findings, config)),
        "limits": LIMITS,
        "conclusion": conclusion(findings, config),
    }


def comparisons(findings: Sequence[Findings], config: TheoremConfig) -> tuple[Comparison, ...]:
    """Shares of replicates against a fair coin, at the configured step size and the student's step."""
    return tuple(
        _against_coin(name, question, hits, config.level)
        for finding in findings
        for name, question, hits in _questions(finding, config)
    )


def _questions(finding: Findings, config: TheoremConfig) -> Iterable[tuple[str, str, Hits]]:
    first = finding.first
    aligned = {init: _aligned(finding, config, init) for init in first.inner}
    yield (
        f"{finding.name}: same-init aligned",
        "Does the student's step have a positive inner product with its teacher's?",
        aligned["same-init"],
    )
    yield (
        f"{finding.name}: foreign-init aligned",
        "And from another initialisation?",
        aligned["foreign-init"],
    )
    yield (
        f"{finding.name}: same-init lowers the loss",
        "Does the student's step lower the teacher's loss?",
        _lower(first.loss_change["same-init"], config),
    )
    yield (
        f"{finding.name}: foreign-init lowers the loss below its control",
        "And from another initialisation, more than a step towards the unmoved teacher does?",
        _lower(first.loss_gap["foreign-init"], config),
    )


def _against_coin(name: str, question: str, hits: Hits, level: float) -> Comparison:
    number, n = int(hits.sum()), hits.size
    share = clopper_pearson(number, n, level)
    p = coin_p(number, n)
    shown = p <= 1 - level
    more = "more often" if share.estimate > 0.5 else "less often"
    return Comparison(
        name=name,
        estimate=share.estimate,
        low=share.low,
        high=share.high,
        level=level,
        n=f"{n} replicates",
        p=p,
        test="exact binomial against 1/2, Clopper-Pearson interval",
        unit="share of replicates",
        smallest_p=coin_p(0, n),
        claim=f"{more} than a coin" if shown else "not told apart from a coin",
        question=question,
    )


def coin_p(number: int, n: int) -> float:
    """
    Two-sided p of so many heads in n throws of a fair coin, exact.

    >>> coin_p(6, 6), coin_p(3, 6)
    (0.03125, 1.0)
    """
    extreme = max(number, n - number)
    tail = sum(math.comb(n, heads) for heads in range(extreme, n + 1))
    # Integers to the last: 2 ** n as a float would overflow from n = 1024 on.
    return min(1.0, tail / (1 << (n - 1)))


def notes(findings: Sequence[Findings], config: TheoremConfig) -> Iterable[Note]:
    """What a reader of the tables should know before drawing conclusions."""
    for finding in findings:
        change = _lower(finding.first.loss_change["foreign-init"], config)
        gap = _lower(finding.first.loss_gap["foreign-init"], config)
        if clopper_pearson(int(change.sum()), change.size, config.level).low > 0.5:
            yield Note(
                id="pull-of-an-unmoved-teacher",
                level="info",
                subject=finding.name,
                message=f"a foreign student's step lowers the teacher's loss in {change.mean():.0%} "
                "of replicates, but that step is nearly the same where the teacher never moved: "
                "compare with the student of the unmoved teacher",
            )
        if clopper_pearson(int(gap.sum()), gap.size, config.level).low > 0.5:
            shared = finding.name != "auxiliary-logits"
            why = ": both are trained on the same logits, so labels carry the task itself"
            yield Note(
                id="foreign-student-gains",
                level="info",
                subject=finding.name,
                message="a foreign student's step lowers the teacher's loss further than its "
                f"control's in {gap.mean():.0%} of replicates{why if shared else ''}",
            )
        yield from _small_batches(finding, config)
        yield from _sampled(finding, config)


def _small_batches(finding: Findings, config: TheoremConfig) -> Iterable[Note]:
    opposed = (finding.batches["adam"] < 0).mean(axis=1)
    if opposed.any():
        shares = ", ".join(
            f"{share:.1%} at {size}" for size, share in zip(config.batches, opposed, strict=True)
        )
        yield Note(
            id="adam-opposes",
            level="info",
            subject=finding.name,
            message="the theorem does not hold for Adam: its first step opposed the teacher's step "
            f"in {shares} inputs a batch, from the same initialisation",
        )


def _sampled(finding: Findings, config: TheoremConfig) -> Iterable[Note]:
    if finding.sampled is None:
        return
    measured = (finding.sampled > 0).mean(axis=1)
    far = float(np.abs(measured - predicted_share(finding, config)).max())
    yield Note(
        id="sampled-labels",
        level="info",
        subject=finding.name,
        message="with sampled labels the sign is a matter of their number n: the share of positive "
        f"inner products is at most {far:.2f} (over {finding.sampled.shape[1]} replicates) from the "
        "predicted Phi(sqrt(2 n KL)), where KL is the teacher's divergence from its base per "
        "label: 95 % need n KL of 1.35 nats",
    )


def conclusion(findings: Sequence[Findings], config: TheoremConfig) -> str:
    """The counts and deviations, in words that also fit a theorem that fails."""
    size = f"{config.step_size:g}"
    same = np.concatenate([_aligned(f, config, "same-init") for f in findings])
    falls = np.concatenate([_lower(f.first.loss_change["same-init"], config) for f in findings])
    far = max(float(deviation(f, config)[-1].max()) for f in findings)
    foreign = [float(_aligned(f, config, "foreign-init").mean()) for f in findings]
    holds = "held" if same.all() and falls.all() else "did not show in every replicate"
    adam = np.concatenate([f.batches["adam"][0] for f in findings]) > 0
    several = (
        np.concatenate(
            [
                f.displacement[optimiser, init][-1]
                for f in findings
                for optimiser, init in f.displacement
                if init == "same-init"
            ]
        )
        > 0
    )
    return (
        f"The theorem {holds}: from the same initialisation the student's step had a positive "
        f"inner product with the teacher's in {same.sum()} of {same.size} replicates and lowered "
        f"the teacher's loss in {falls.sum()} (step size {size}, {len(findings)} settings), and "
        f"inner product / step size came within {far:.1e} of the lemma's quadratic form at step "
        f"size {config.step_sizes[-1]:g}. From another initialisation it was positive in "
        f"{min(foreign):.0%} to {max(foreign):.0%} of replicates. Beyond the theorem, same "
        f"initialisation: Adam's first step on {config.batches[0]} input(s) was aligned in "
        f"{adam.sum()} of {adam.size}, the displacements after {config.steps[-1]} steps of SGD or "
        f"Adam in {several.sum()} of {several.size}."
    )


def _aligned(finding: Findings, config: TheoremConfig, init: str) -> Hits:
    """Whether S . D is positive at the configured step size."""
    hits: Hits = finding.first.inner[init][config.step_sizes.index(config.step_size)] > 0
    return hits


def _lower(changes: NDArray[np.float64], config: TheoremConfig) -> Hits:
    """Whether the loss is lower after the student's step itself."""
    hits: Hits = changes[config.rates.index(1.0)] < 0
    return hits
