"""A callback that puts interventions into the training of a Trainer, and those of TRL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from undertow.errors import ConfigError
from undertow.integrations.callback import Callback, language_model
from undertow.mitigate.interventions import Together

if TYPE_CHECKING:
    from undertow.models.training import Intervention


class Countermeasure(Callback):
    """
    Lets interventions act around every step of the optimiser.

    `SFTTrainer(..., callbacks=[Countermeasure(Penalised([Corridor([owl], weight=1.0)]))])`. What certifies comes last.
    For weights that lie whole in this process (one device, or DDP with generators that are seeded alike).
    """

    def __init__(self, *interventions: Intervention) -> None:
        """
        Raises:
            ValueError: no interventions.
        """
        if not interventions:
            raise ValueError("needs at least one intervention")
        self.interventions = Together(interventions)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """
        Begin at the weights that training begins at.

        Raises:
            ConfigError: the run is resumed, so that these are not the base's, or its weights are split over processes.
        """
        if state.global_step > 0:
            raise ConfigError(
                f"the run is resumed at step {state.global_step}: what the model was at the start is not known",
                hint="train from the base in one run",
            )
        if getattr(args, "deepspeed", None) or getattr(args, "fsdp", None):
            raise ConfigError(
                "interventions need the weights whole and an optimiser of this process, not DeepSpeed's or FSDP's",
                hint="train on one device, or with DDP",
            )
        self.interventions.begin(language_model(given), state.max_steps)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The gradients are there, clipped."""
        self.interventions.before_update(given["optimizer"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The optimiser has moved."""
        self.interventions.after_update()
