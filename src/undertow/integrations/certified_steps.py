"""
A callback for transformers' Trainer, and those of TRL: every step is kept within budgets on named traits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from undertow.traits import catalogue
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.mitigate.budget import TraitBudget
    from undertow.results.certificate import CertificateDocument


class CertifiedSteps:
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
        self.traits = [catalogue.load(one) if isinstance(one, str) else one for one in traits]
        self.budgets, self.system_prompt = budgets, system_prompt
        self._kept: TraitBudget | None = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        # A trainer calls events by name; those that are not looked at do nothing.
        if name.startswith("on_"):
            return lambda *arguments, **given: None
        raise AttributeError(name)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """
        Read the start.
        """
        from undertow.integrations.trait_probe import language_model
        from undertow.mitigate.budget import TraitBudget

        model = language_model(given)
        self._kept = TraitBudget.of(
            model, self.traits, self.budgets, system_prompt=self.system_prompt
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """
        Take the step as far as it may go.
        """
        assert self._kept is not None
        self._kept.budget()

    def certificate(self) -> CertificateDocument:
        """
        What held of the run so far.

        Raises:
            RuntimeError: no training has begun.
        """
        if self._kept is None:
            raise RuntimeError("no training has begun, so there is nothing to certify")
        return self._kept.certificate()
