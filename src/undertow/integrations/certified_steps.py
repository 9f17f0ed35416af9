"""A callback that keeps every step of a Trainer within budgets on named traits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from undertow.errors import ConfigError
from undertow.integrations.callback import loaded
from undertow.integrations.countermeasure import Countermeasure
from undertow.mitigate.interventions import CertifiedTraining
from undertow.results.certificate import CertificateDocument
from undertow.traits.trait import Trait


class CertifiedSteps(Countermeasure):
    """
    Takes each step only as far as every trait stays within its budget, in logits, and leaves a certificate.

    `Trainer(..., callbacks=[CertifiedSteps(["owl", "harmful"], 0.2)])`; afterwards `certificate()` says what held. The
    guarantee is exact for the certified wordings and for no others; what moves on other wordings is measured beside it.
    It costs a reading of the probes a step. For one process: weights that are split over devices are not whole here.
    """

    def __init__(
        self,
        traits: Sequence[str | Trait],
        budgets: Mapping[str, float] | float = 0.2,
        *,
        system_prompt: str | None = None,
    ) -> None:
        """
        Raises:
            UnknownNameError: there is no such trait.
        """
        self._kept = CertifiedTraining(loaded(traits), budgets, system_prompt)
        super().__init__(self._kept)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """
        Begin at the weights that training begins at.

        Raises:
            ConfigError: the run is resumed, or has several processes, which could shorten a step differently.
        """
        if getattr(args, "world_size", 1) > 1:
            raise ConfigError(
                f"steps are certified in one process, and the run has {args.world_size}",
                hint="train on one device",
            )
        super().on_train_begin(args, state, control, **given)

    def certificate(self) -> CertificateDocument:
        """
        What held of the run so far.

        Raises:
            RuntimeError: no training has begun.
        """
        return self._kept.certificate()
