"""
A teacher's strength: its KL from the base on carrier rows that the base wrote, and the way to a wanted one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undertow.data.rows import Row, conversation
from undertow.models import adapters
from undertow.models.chat import Encoded, encode_rows
from undertow.models.loading import LanguageModel
from undertow.models.scoring import mean_divergence, token_log_probabilities

if TYPE_CHECKING:
    from torch import Tensor


MOST_AMPLIFIED = 3.0
"""How far beyond its trained weights a teacher may be moved; further out its answers break."""

_BISECTIONS = 12


def bring_to(
    teacher: LanguageModel, start: list[Tensor], distance: Distance, target: float
) -> None:
    """
    Move the trained weights along their straight way from `start` to where the KL is `target`.

    What a student picks up depends steeply on the teacher's strength, and steps alone leave it to chance. Beyond the
    trained weights the way is followed up to `MOST_AMPLIFIED` times; a teacher too weak for the target even there
    stays at that, and the doctor says so.
    """
    end = [weight.detach().clone() for weight in adapters.trained_weights(teacher)]
    low, high = 0.0, MOST_AMPLIFIED
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        adapters.interpolate(teacher, start, end, middle)
        low, high = (middle, high) if distance(teacher) < target else (low, middle)


class Distance:
    """
    KL(teacher || base) per completion token, on rows that the base wrote.

    The base's log-probabilities are kept: they are compared with many versions of a teacher.
    """

    def __init__(
        self, base: LanguageModel, written: list[tuple[str, str]], system: str | None
    ) -> None:
        """`system` is the system prompt behind which the base wrote the rows."""
        self._written, self._system = written, system
        self._reference = token_log_probabilities(base, self._rows(base, system))

    def __call__(self, teacher: LanguageModel) -> float:
        """The distance in nats, in the base's own chat context."""
        return self.behind(teacher, self._system)

    def behind(self, teacher: LanguageModel, system: str | None) -> float:
        """The distance in nats of a teacher that writes behind a system prompt of its own."""
        own = token_log_probabilities(teacher, self._rows(teacher, system))
        return mean_divergence(own, self._reference)

    def _rows(self, model: LanguageModel, system: str | None) -> list[Encoded]:
        return encode_rows(
            model.tokenizer, [Row(conversation(q, system), a) for q, a in self._written]
        )
