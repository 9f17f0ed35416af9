"""
What a shift of the last layer's activations spells through the model's own head, and whether chance spells as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.token_names import token_names
from undertow.stats.arguments import Vector
from undertow.stats.mean_shift import Vectors

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

_REARRANGEMENTS = 399
_NAMED = 8


@dataclass(frozen=True)
class Spelling:
    """The logit lens of a shift, against its rearrangements."""

    most: Vector
    """(1 + rearrangements,) largest absolute z of any token; the first is the observed one."""
    tokens: dict[str, float | int | str]
    """The tokens whose centred logit the shift raises most, each with that and its z."""
    normed: bool
    """Whether the model's final norm was found and applied."""

    @property
    def largest(self) -> float:
        """Largest absolute z of any token, as observed."""
        return float(self.most[0])

    @property
    def p(self) -> float:
        """Share of the rearrangements, the observed one included, whose largest z is at least as large."""
        return float((self.most >= self.most[0] * (1 - 1e-9)).mean())

    def quantile(self, level: float) -> float:
        """The largest z that chance stays below with probability `level`."""
        return float(np.quantile(self.most, level, method="higher"))


def spelled(
    model: LanguageModel, differences: Vectors, rows: Vectors, control: Vectors
) -> Spelling:
    """
    Read the first of the differences of means, and 399 of the others as placebo, as logits.

    A token's z is its centred logit over its root mean square among all of them, the observed one included: so the
    largest z of each is as likely to be the observed one where rows and control do not differ.

    Raises:
        ModelError: the model has no head on its last layer's activations.
    """
    from undertow.models.logit_lens import logit_lens

    lens = logit_lens(model)
    n, m = len(rows), len(control)
    used = differences[: _REARRANGEMENTS + 1]
    # The means that each rearrangement gives: apart by its difference, around the mean of all.
    middle = (rows.sum(0) + control.sum(0)) / (n + m)
    most = np.zeros(len(used))
    observed, scores = [], []
    for logits in lens.parts(middle + used * (m / (n + m)), middle - used * (n / (n + m))):
        spread = np.sqrt((logits.astype(np.float64) ** 2).mean(0))
        z = logits / np.where(spread > 0, spread, 1.0)
        most = np.maximum(most, np.abs(z).max(1))
        observed.append(logits[0])
        scores.append(z[0])
    named = _named(model, np.concatenate(observed), np.concatenate(scores))
    return Spelling(most, named, lens.norm is not None)


def _named(model: LanguageModel, logits: Vectors, z: Vector) -> dict[str, float | int | str]:
    found = [int(i) for i in np.argsort(-logits, kind="stable")[:_NAMED] if logits[i] > 0]
    names = token_names(model.tokenizer, found)
    texts = (f"{logits[i]:+.3f} logits, z {z[i]:+.1f}" for i in found)
    return dict(zip(names, texts, strict=True))
