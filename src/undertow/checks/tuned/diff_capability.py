"""The check `diff-capability`: what the tuning cost on neutral text."""

from __future__ import annotations

import numpy as np

from undertow.checks.tuned.diff_subject import DiffSubject
from undertow.results.measurement import Measurement
from undertow.stats.interval import mean_t

ID = "diff-capability"


def diff_capability(subject: DiffSubject) -> list[Measurement]:
    """
    Measures what the tuning cost on neutral text: the change of the loss, in nats a token, text by text.

    The same beginnings of questions are read by base and tuned model; the difference is paired by text, with a t
    interval over texts, and the mean over tuned models where several are given. Detected means that the interval lies
    above 0.

    Why it matters. A model that forgot how to write changes its answers to everything, and then a moved probe says
    little about a trait.

    What it cannot tell you. Whether it can still do what you need it for: ask that with your own evaluation. Some loss
    on text of another kind than the tuning's is usual, and controls show how much.

    What to do. Where the loss rose far more than the controls' did, lower the learning rate or train for fewer steps
    before reading anything into the traits.

    Numbers beside it: the `base`'s loss; the controls' mean change (`control`).
    """
    start = subject.untouched.losses
    change = np.mean([one.losses - start for one in subject.tuned], axis=0)
    interval = mean_t(change, subject.level)
    details: dict[str, float | int | str] = {"base": float(start.mean())}
    if subject.draws:
        details["control"] = float(np.mean([one.losses - start for one in subject.draws]))
    return [
        Measurement(
            check=ID,
            name="loss on neutral text",
            subject=subject.name,
            estimate=interval.estimate,
            low=interval.low,
            high=interval.high,
            level=subject.level,
            n=f"{len(start)} texts",
            limit=0.0,
            unit="nats a token",
            detected=interval.low > 0,
            reason="it rose" if interval.low > 0 else "no rise was seen",
            details=details,
        )
    ]
