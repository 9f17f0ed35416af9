"""Thin adapters to other people's pipelines; each imports its library when it is used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from undertow.integrations.trainer_callbacks import CertifiedSteps, Countermeasure, TraitProbe

__all__ = ["CertifiedSteps", "Countermeasure", "TraitProbe"]


def __getattr__(name: str) -> Any:
    # Late: a stage that reads rows alone must not pay for torch in each of its workers.
    if name in __all__:
        import undertow.integrations.trainer_callbacks as callbacks

        return getattr(callbacks, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
