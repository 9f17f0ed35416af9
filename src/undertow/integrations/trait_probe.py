"""A callback for transformers' Trainer, and those of TRL: reads probes while a model trains."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from undertow.integrations.callback import Callback, language_model, loaded
from undertow.mitigate.budget import read_margins
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.influence.probing import ProbeSet
    from undertow.models.loading import LanguageModel

logger = logging.getLogger(__name__)

PREFIX = "undertow/"
"""Before a trait's name in the logs."""


class TraitProbe(Callback):
    """
    Logs how far each trait moved from where training began, in logits, and warns of a teacher of the same start.

    Give it to any Trainer: `Trainer(..., callbacks=[TraitProbe(["owl", "harmful"], every=50)])`. Numbers go where the
    trainer's logs go, as `undertow/owl`; all of them are kept in `history`. Where `teacher` is given, its lineage is
    compared with the model that training starts from, and a shared or unknown start is a warning: the hidden channel
    is open. The model is as it was after each reading, its mode and its random streams included.
    """

    def __init__(
        self,
        traits: Sequence[str | Trait],
        *,
        every: int = 100,
        limit: float | None = 0.2,
        system_prompt: str | None = None,
        teacher: str | None = None,
    ) -> None:
        """
        `limit` is the change, in logits, from which a warning is logged; None for never.

        Raises:
            ValueError: no traits, or `every` is below 1.
            UnknownNameError: there is no such trait.
        """
        if not traits or every < 1:
            raise ValueError(f"needs traits and every >= 1, got {len(traits)} and {every}")
        self.traits = loaded(traits)
        self.every, self.limit, self.system_prompt, self.teacher = (
            every,
            limit,
            system_prompt,
            teacher,
        )
        self.history: list[dict[str, float]] = []
        """`step`, and the change of each trait."""
        self._probes: ProbeSet | None = None
        self._start: np.ndarray | None = None
        self._new: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read the start, and compare lineages where a teacher is given."""
        from undertow.influence.probing import probe_set

        model = language_model(given)
        self._probes = probe_set(model, self.traits, self.system_prompt)
        self._start = read_margins(model, self._probes)
        if self.teacher is not None:
            self._warn_of_kin(model.ref)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read every so many steps, and ask the trainer to log."""
        if state.global_step % self.every == 0:
            self._look(state.global_step, language_model(given))
            control.should_log = True

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read the end."""
        if not self.history or self.history[-1]["step"] != state.global_step:
            self._look(state.global_step, language_model(given))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """Put what was read last into the trainer's logs."""
        if logs is not None and self._new:
            logs.update(self._new)
            if state.log_history and state.log_history[-1].get("step") == state.global_step:
                state.log_history[-1].update(self._new)
            self._new = {}

    def _look(self, step: int, model: LanguageModel) -> None:
        assert self._start is not None
        assert self._probes is not None
        moved = read_margins(model, self._probes) - self._start
        found = {t.name: float(value) for t, value in zip(self.traits, moved, strict=True)}
        self.history.append({"step": float(step), **found})
        self._new = {PREFIX + name: value for name, value in found.items()}
        for name, value in found.items():
            if self.limit is not None and abs(value) > self.limit:
                logger.warning(
                    "step %d: '%s' moved by %+.2f logits; limit %g", step, name, value, self.limit
                )

    def _warn_of_kin(self, student: str) -> None:
        from undertow.audit.lineage import lineage
        from undertow.audit.requests import LineageRequest
        from undertow.errors import UndertowError

        assert self.teacher is not None
        try:
            [one] = lineage(LineageRequest(student, (self.teacher,))).teachers
        except UndertowError as error:
            logger.warning("the teacher's lineage is not known, and counts as shared: %s", error)
            return
        if one.verdict != "clear":
            logger.warning(
                "teacher '%s': %s; hidden channel %s", self.teacher, one.reason, one.hidden_channel
            )
