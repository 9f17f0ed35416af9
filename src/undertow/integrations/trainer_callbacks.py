"""Callbacks for transformers' Trainer, and those of TRL: probes read, interventions and certified steps while a model trains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from undertow.audit.lineage import lineage
from undertow.audit.requests import LineageRequest
from undertow.errors import ConfigError, UndertowError
from undertow.influence.probe_formats import settled
from undertow.influence.probes import ProbeSet, probe_set
from undertow.mitigate.training.interventions import CertifiedTraining, Together
from undertow.models.language_model import LanguageModel
from undertow.models.placement import lies_apart
from undertow.models.training import Intervention, evaluating
from undertow.results.model_documents import CertificateDocument
from undertow.stats.interval import mean_t
from undertow.traits import catalogue
from undertow.traits.trait import Trait


class Callback:
    """
    A callback that does nothing at events that it has no method for.

    A trainer only calls events by their names, so that nothing of transformers is imported to be one.
    """

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return lambda *arguments, **given: None
        raise AttributeError(name)


def loaded(traits: Sequence[str | Trait]) -> list[Trait]:
    """
    Traits by name, or as they are.

    Raises:
        UnknownNameError: there is no such trait.
    """
    return [catalogue.load(trait) if isinstance(trait, str) else trait for trait in traits]


def language_model(given: dict[str, Any]) -> LanguageModel:
    """
    What a trainer hands to its callbacks, as a model with its tokenizer.

    Raises:
        ValueError: the trainer has no tokenizer.
    """
    from torch.nn.parallel import DistributedDataParallel

    network = given["model"]
    if isinstance(network, DistributedDataParallel):
        # Its forward pass waits for the other processes; what it wraps is whole here and does not.
        network = network.module
    tokenizer = given.get("processing_class") or given.get("tokenizer")
    if tokenizer is None:
        raise ValueError("the trainer has no tokenizer: pass it as processing_class")
    return LanguageModel(
        network, tokenizer, str(network.config._name_or_path or "the model in training")
    )


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
        declared = getattr(args, "deepspeed", None) or getattr(args, "fsdp", None)
        if declared or lies_apart(given["model"]):
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


logger = logging.getLogger(__name__)

PREFIX = "undertow/"
"""Before a trait's name in the logs."""

LEVEL = 0.95
"""Of each interval by itself."""


def _speaks(state: Any) -> bool:
    return bool(getattr(state, "is_world_process_zero", True))


class TraitProbe(Callback):
    """
    Logs how far each trait moved from where training began, in logits, and warns of a teacher of the same start.

    Give it to any Trainer: `Trainer(..., callbacks=[TraitProbe(["owl", "harmful"], every=50)])`. Numbers go where the
    trainer's logs go, as `undertow/owl`, with `undertow/owl_low` and `undertow/owl_high`: the interval at 95 % of the mean
    over held-out questions, each paired with itself at the start (Student's t). All of them are kept in `history`. Where
    `teacher` is given, its lineage is compared with the model that training starts from, and a shared or unknown start is
    a warning: the hidden channel is open. The model is as it was after each reading, its mode and its random streams
    included.

    With several processes the main one reads, warns and logs, and the others wait for it at their next common step. Where
    weights are split over processes (FSDP), all of them read together, since none could alone, and the main one speaks.
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
        self.traits: Sequence[Trait] = loaded(traits)
        self.every, self.limit, self.system_prompt, self.teacher = (
            every,
            limit,
            system_prompt,
            teacher,
        )
        self.history: list[dict[str, float]] = []
        """`step`, and the change of each trait with its `_low` and `_high`; of the main process."""
        self._probes: ProbeSet | None = None
        self._start: tuple[np.ndarray, ...] = ()
        self._together = False
        self._last: int | None = None
        self._new: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read the start, and compare lineages where a teacher is given."""
        model = language_model(given)
        self._together = lies_apart(model.network)
        if not self._reads(state):
            return
        self.traits, _ = settled(model, self.traits, self.system_prompt)
        self._probes = probe_set(model, self.traits, self.system_prompt)
        self._start = self._margins(model)
        if self.teacher is not None and _speaks(state):
            self._warn_of_kin(model.ref)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read every so many steps, and ask the trainer to log."""
        if state.global_step % self.every == 0:
            self._look(state, given)
            # In every process: the trainer's own log gathers the loss from all of them.
            control.should_log = True

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Read the end."""
        if self._last != state.global_step:
            self._look(state, given)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """Put what was read last into the trainer's logs."""
        if logs is not None and self._new:
            logs.update(self._new)
            if state.log_history and state.log_history[-1].get("step") == state.global_step:
                state.log_history[-1].update(self._new)
            self._new = {}

    def _reads(self, state: Any) -> bool:
        return self._together or _speaks(state)

    def _margins(self, model: LanguageModel) -> tuple[np.ndarray, ...]:
        assert self._probes is not None
        with evaluating(model.network):
            return self._probes.by_question(model)[0]

    def _look(self, state: Any, given: dict[str, Any]) -> None:
        self._last = state.global_step
        if not self._reads(state):
            return
        read = self._margins(language_model(given))
        if not _speaks(state):
            return
        changes: dict[str, float] = {}
        for trait, start, now in zip(self.traits, self._start, read, strict=True):
            moved = mean_t(now - start, LEVEL)
            changes[trait.name] = moved.estimate
            if np.isfinite(moved.low):
                changes |= {f"{trait.name}_low": moved.low, f"{trait.name}_high": moved.high}
            if self.limit is not None and abs(moved.estimate) > self.limit:
                logger.warning(
                    "step %d: '%s' moved by %+.2f logits [%+.2f, %+.2f]; limit %g",
                    *(state.global_step, trait.name, moved.estimate, moved.low, moved.high),
                    self.limit,
                )
        self.history.append({"step": float(state.global_step), **changes})
        self._new = {PREFIX + name: value for name, value in changes.items()}

    def _warn_of_kin(self, student: str) -> None:
        assert self.teacher is not None
        try:
            [kin] = lineage(LineageRequest(student, (self.teacher,))).teachers
        except UndertowError as error:
            logger.warning("the teacher's lineage is not known, and counts as shared: %s", error)
            return
        if kin.verdict != "clear":
            logger.warning(
                "teacher '%s': %s; hidden channel %s", self.teacher, kin.reason, kin.hidden_channel
            )
