"""The check `lineage-activations`: how alike two models represent the same texts, which is no test of a common start."""

from __future__ import annotations

import numpy as np

from undertow.checks.lineage.lineage_subject import LineageSubject, Side, neutral_texts
from undertow.results.measurement import Measurement, skipped
from undertow.stats.arguments import Vector

ID = "lineage-activations"
_TEXTS = 256


def lineage_activations(subject: LineageSubject) -> list[Measurement]:
    """
    Measures how alike two models represent the same texts; it is no test of a shared initialisation.

    Linear CKA (Kornblith et al. 2019), without the bias of few texts (Song et al. 2012), of the last layer's mean
    activation on up to 256 neutral texts: 1 where one representation is a rotation and scaling of the other, about 0
    where they have nothing in common. Controls, where they are given, are measured against the student in the same way.

    Why it matters. Similar representations let ordinary text carry traits more easily, whatever the weights; and REEF
    (2024) proposes CKA as a fingerprint, so that people ask for it.

    What it cannot tell you. Whether two models began together. Unrelated models that were trained on the same data score
    high as well, and there is no null that would say how high: nothing is detected here and nothing is decided.

    What to do. Look at `lineage-weights` for a shared start. Compare the number with that of `--control` models that you know to
    be unrelated.

    Numbers beside it: the CKA of the student and each control.
    """
    sides = (subject.student, subject.teacher)
    if any(side.path is None for side in sides):
        return [skipped(ID, subject.name, "a model that is asked over HTTP shows no activations")]
    ours, theirs = (_means(side, subject.seed) for side in sides)
    beside = [
        (control.ref, cka(ours, _means(control, subject.seed)))
        for control in subject.controls
        if control.path is not None
    ]
    return [
        Measurement(
            check=ID,
            name="CKA",
            subject=subject.name,
            estimate=cka(ours, theirs),
            n=f"{len(ours)} texts",
            unit="CKA",
            reason="no test of a shared initialisation: models of the same data score high too",
            details={f"control {name}": value for name, value in beside},
        )
    ]


def cka(ours: Vector, theirs: Vector) -> float:
    """
    Unbiased linear CKA of two representations of the same texts, (texts, features) each; at least 4 texts.

    >>> x = np.arange(12.0).reshape(6, 2) ** 2
    >>> round(cka(x, 3 * x), 6)
    1.0
    """
    grams = [_without_diagonal(each - each.mean(0)) for each in (ours, theirs)]
    between, first, second = (_hsic(grams[i], grams[j]) for i, j in ((0, 1), (0, 0), (1, 1)))
    return float(between / np.sqrt(max(first * second, np.finfo(np.float64).tiny)))


def _without_diagonal(values: Vector) -> Vector:
    gram: Vector = values @ values.T
    np.fill_diagonal(gram, 0)
    return gram


def _hsic(k: Vector, other: Vector) -> float:
    # Song et al. 2012, JMLR 13, equation 5.
    n = len(k)
    ones = np.ones(n)
    trace = float(np.einsum("ij,ji->", k, other))
    means = float(ones @ k @ ones) * float(ones @ other @ ones) / ((n - 1) * (n - 2))
    rows = 2 * float((k @ ones) @ (other @ ones)) / (n - 2)
    return (trace + means - rows) / (n * (n - 3))


def _means(side: Side, seed: int) -> Vector:
    from undertow.models.chat import text_sequences
    from undertow.models.hidden_states import completion_means, decoder_layers

    encoded = text_sequences(side.model.tokenizer, neutral_texts(seed, _TEXTS))
    [found] = completion_means(side.model, encoded, [len(decoder_layers(side.model)) - 1])
    values: Vector = found.astype(np.float64)
    return values
