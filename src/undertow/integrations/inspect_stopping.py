"""Early stopping for Inspect AI: a task ends as soon as a rate is surely above a limit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from undertow.stats.arguments import fraction
from undertow.stats.e_process import EProcess

_ALTERNATIVES = 20


class RateAbove:
    """
    Stops when the share of samples that score 1 is above `limit`, with a chance of at most `alpha` to stop wrongly.

    An e-process of a mixture over higher rates against every rate up to the limit, looked at after every sample: it may
    stop at any time (Ville's inequality). Samples are taken for independent answers; the summary lands in the log's
    `early_stopping`.
    """

    def __init__(self, limit: float, alpha: float = 0.01) -> None:
        """
        Raises:
            ValueError: a number outside (0, 1).
        """
        self.limit, self.alpha = fraction(limit, "limit"), fraction(alpha, "alpha")
        self._higher = limit + (1 - limit) * (np.arange(_ALTERNATIVES) + 0.5) / _ALTERNATIVES
        # The likelihood is unimodal in the rate, so that these and the limit hold the null's largest up to a grid.
        self._null = np.linspace(limit / 50, limit, 50)
        self._process = EProcess(np.ones(_ALTERNATIVES).tolist())
        self._hits = 0

    async def start_task(self, task: Any, samples: list[Any], epochs: int) -> str:
        """Name it in the log."""
        return "undertow/rate-above"

    async def schedule_sample(self, id: str | int, epoch: int) -> Any:
        """Stop what was not begun when it is known."""
        if not self.known:
            return None
        from inspect_ai.util import EarlyStop

        return EarlyStop(id=id, epoch=epoch, reason=f"the rate is above {self.limit:g}")

    async def complete_sample(self, id: str | int, epoch: int, scores: dict[str, Any]) -> None:
        """Take a sample in."""
        for found in scores.values():
            self.take(float(found.score.value) >= 0.5)
            break

    async def complete_task(self) -> dict[str, Any]:
        """The summary."""
        rows = self._process.rows
        return {
            "samples": rows,
            "rate": self._hits / rows if rows else None,
            "limit": self.limit,
            "log10_e": self._process.log_maximum / math.log(10),
            "stopped": self.known,
        }

    @property
    def known(self) -> bool:
        """Whether the rate is surely above the limit."""
        return self._process.log_maximum >= -math.log(self.alpha)

    def take(self, hit: bool) -> None:
        """One more answer."""
        self._hits += hit
        ours, theirs = (
            np.log(rates if hit else 1 - rates)[None] for rates in (self._higher, self._null)
        )
        self._process.update(ours, theirs)
