"""
What a training needs to go on after a kill: weights, optimiser, schedule, random streams and counters.

One safetensors file, written whole or not at all: tensors as tensors, everything else as strict JSON in its header;
nothing is pickled. A training that goes on from it is that which was never stopped, bit for bit on a CPU.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from undertow.data.files import atomic_file
from undertow.data.plan import TrainingPlan
from undertow.data.strict_json import decoded
from undertow.engines.work_progress import CountedWork, counted, notice
from undertow.errors import UndertowError, first_line

CHECKPOINT = "training.safetensors"
"""The file, in the folder of what is unfinished."""

SECONDS = 30.0
"""Of work between two checkpoints."""

LARGEST_SHARE = 0.05
"""Of the time that checkpoints may take before they are made less often."""

LONGEST_WAIT = 50.0
"""Seconds of work between two checkpoints, whatever they cost."""

WORTH = 5.0
"""Seconds of work that the end of a training is worth keeping for."""

_RECORD = "record"

_UNREADABLE = (SafetensorError, OSError, ValueError, KeyError, TypeError)


class UnstorableError(ValueError):
    """A part of a state that is neither tensors nor plain values."""


@dataclass(frozen=True)
class LiveTraining:
    """The parts of a training that change as it goes on, but for its random streams."""

    weights: Sequence[torch.nn.Parameter]
    optimizer: Any
    schedule: Any


@dataclass(frozen=True)
class Resumed:
    """What a checkpoint holds beside what it put back."""

    counters: dict[str, Any]
    streams: dict[str, torch.Tensor]


class TrainingCheckpoint:
    """The checkpoint of one training: written now and then, read once, and removed with the folder of its job."""

    def __init__(
        self,
        path: Path,
        every: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`every` is in seconds of work; `SECONDS` if not given."""
        self._path, self._clock = path, clock
        self._every = SECONDS if every is None else every
        self._possible = True
        self._last = clock()
        self._cost = 0.0

    def of_run(self, number: int) -> TrainingCheckpoint:
        """One for each of several runs that have no checkpoint in common."""
        path = self._path.with_name(f"{number}-{self._path.name}")
        return TrainingCheckpoint(path, self._every, self._clock)

    def resume(self, subject: str, training: LiveTraining) -> Resumed | None:
        """
        Put the training back to where its checkpoint was made; None, with nothing changed, if there is none of it.

        `subject` says what is trained on what, so that the checkpoint of another training is not taken for this one's.
        """
        self._last = self._clock()
        stored = self._of(subject)
        if stored is None:
            return None
        record, tensors = stored
        try:
            _put_back(training, record, tensors)
        except _UNREADABLE as error:
            self._drop(f"does not fit ({first_line(error)})")
            return None
        return Resumed(record["counters"], _part(tensors, "stream."))

    def counters(self, subject: str) -> dict[str, Any] | None:
        """The counters of the training's checkpoint, which puts nothing back; None if there is none of it."""
        stored = self._of(subject)
        return None if stored is None else dict(stored[0]["counters"])

    def _of(self, subject: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        """What is stored of the subject; anything else is dropped."""
        try:
            stored = _read(self._path) if self._path.is_file() else None
            if stored is not None and stored[0]["subject"] != subject:
                self._drop("is of another training")
                return None
        except _UNREADABLE as error:
            self._drop(f"cannot be read ({first_line(error)})")
            return None
        return stored

    def offer(
        self,
        subject: str,
        training: LiveTraining,
        now: Callable[[], tuple[dict[str, Any], Mapping[str, torch.Tensor]]],
        *,
        last: bool = False,
    ) -> None:
        """
        Write a checkpoint if it is time, after the `last` step sooner; `now` gives the counters and random streams.

        Raises:
            UndertowError: no space is left.
        """
        started = self._clock()
        wait = max(self._every, self._cost / LARGEST_SHARE)
        wait = min(wait, max(self._every, LONGEST_WAIT))
        if not self._possible or started - self._last < (min(wait, WORTH) if last else wait):
            return
        counters, streams = now()
        try:
            content = _content(subject, training, counters, streams)
        except UnstorableError as error:
            self._possible = False
            notice(f"no checkpoints of this training are made: {error}; a kill repeats it whole")
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._path) as file:
            file.write(content)
        self._last = self._clock()
        self._cost = self._last - started

    def _drop(self, why: str) -> None:
        notice(f"the checkpoint '{self._path}' {why}: this training begins anew")
        self._path.unlink(missing_ok=True)


def training_subject(
    rows: Sequence[Sequence[Any]],
    plan: TrainingPlan,
    generators: Sequence[np.random.Generator],
    total: int,
) -> str:
    """What is trained on what, in which order: names the checkpoint of a training of these runs."""
    digest = hashlib.sha256(plan.model_dump_json().encode())
    orders = [generator.bit_generator.state for generator in generators]
    digest.update(json.dumps([total, orders], default=str).encode())
    for own in rows:
        for row in own:
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _content(
    subject: str,
    training: LiveTraining,
    counters: dict[str, Any],
    streams: Mapping[str, torch.Tensor],
) -> bytes:
    tensors = {f"weight.{i}": _stored(weight) for i, weight in enumerate(training.weights)}
    tensors |= {f"stream.{name}": _stored(state) for name, state in streams.items()}
    record = {
        "subject": subject,
        "counters": counters,
        "optimizer": _form(_optimizer_state(training.optimizer), tensors),
        "schedule": _form(training.schedule.state_dict(), tensors),
    }
    content: bytes = save(tensors, {_RECORD: json.dumps(record, allow_nan=False)})
    return content


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        record = decoded(file.metadata()[_RECORD])
        return record, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


@torch.no_grad()
def _put_back(
    training: LiveTraining, record: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> None:
    stored = [tensors[f"weight.{i}"] for i in range(len(training.weights))]
    for weight, before in zip(training.weights, stored, strict=True):
        if weight.shape != before.shape or weight.dtype != before.dtype:
            raise ValueError(f"a weight of shape {tuple(before.shape)}, not {tuple(weight.shape)}")
    device = training.weights[0].device
    optimizer = _value(record["optimizer"], tensors, device)
    schedule = _value(record["schedule"], tensors, device)
    for weight, before in zip(training.weights, stored, strict=True):
        weight.copy_(before)
    _set_optimizer(training.optimizer, optimizer)
    training.schedule.load_state_dict(schedule)


def _optimizer_state(optimizer: Any) -> dict[str, Any]:
    """
    Its state, with parameters by their place.

    `load_state_dict` would round what an optimiser keeps in more bits than the weights have, so that this is put back by
    hand, and stored in the same order.
    """
    order = [weight for group in optimizer.param_groups for weight in group["params"]]
    place = {id(weight): i for i, weight in enumerate(order)}
    if any(id(key) not in place for key in optimizer.state):
        raise UnstorableError("the optimiser keeps a state of something that is no weight")
    return {
        "state": {place[id(key)]: dict(own) for key, own in optimizer.state.items()},
        "groups": [
            {key: value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ],
    }


def _set_optimizer(optimizer: Any, stored: Mapping[str, Any]) -> None:
    order = [weight for group in optimizer.param_groups for weight in group["params"]]
    for group, before in zip(optimizer.param_groups, stored["groups"], strict=True):
        group.update(before)
    optimizer.state.clear()
    for place, own in stored["state"].items():
        optimizer.state[order[place]] = own


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    # A copy: parts of one storage, or a tensor that is changed while it is written, would not be stored as they are.
    return tensor.detach().to("cpu", copy=True).contiguous()


def _form(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The value as JSON, its tensors by their names."""
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        name = f"state.{len(tensors)}"
        tensors[name] = _stored(value)
        return {"tensor": name, "here": value.device.type == "cpu"}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list):
        return [_form(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_form(item, tensors) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str | int) for key in value):
        return {"table": [[key, _form(item, tensors)] for key, item in value.items()]}
    raise UnstorableError(f"the optimiser or schedule keeps a {type(value).__name__}")


def _value(form: Any, tensors: Mapping[str, torch.Tensor], device: torch.device) -> Any:
    """The value of a form; tensors that were not on the CPU go to the device."""
    if isinstance(form, list):
        return [_value(item, tensors, device) for item in form]
    if not isinstance(form, dict):
        return form
    if "tensor" in form:
        tensor = tensors[form["tensor"]]
        return tensor if form["here"] else tensor.to(device)
    if "float" in form:
        return float(form["float"])
    if "tuple" in form:
        return tuple(_value(item, tensors, device) for item in form["tuple"])
    return {key: _value(item, tensors, device) for key, item in form["table"]}


class KeptTrainer:
    """A trainer of transformers that keeps a checkpoint of ours, in the place of its own pickled ones."""

    def __init__(
        self, trainer: Any, checkpoint: TrainingCheckpoint | None, subject: str, steps: int
    ) -> None:
        """`steps` are those of the whole training."""
        self._trainer, self._checkpoint, self._subject = trainer, checkpoint, subject
        self._steps = steps
        self.seconds = 0.0
        """Of work, over all sittings."""
        self._streams: dict[str, torch.Tensor] = {}

    def train(self) -> None:
        """Train, or go on where the training was killed, and tell how far it is."""
        before = self._checkpoint.counters(self._subject) if self._checkpoint else None
        done = 0 if before is None else int(before["state"]["global_step"])
        with counted("training", self._steps, "steps", done=done) as work:
            self._trainer.add_callback(self._keeper(work))
            if before is None:
                self._trainer.train()
            else:
                self.seconds = before["seconds"]
                self._go_on(before["state"])

    def _go_on(self, state: dict[str, Any]) -> None:
        trainer = self._trainer
        path = Path(trainer.args.output_dir) / "trainer_state.json"
        path.write_text(json.dumps(state), encoding="utf-8")
        if state["global_step"] >= self._steps:
            trainer.create_optimizer_and_scheduler(num_training_steps=self._steps)
            self._put_back()
            trainer.state = type(trainer.state).load_from_json(str(path))
            return
        # Its own ways of reading weights, optimiser and streams are for files that we do not write.
        trainer._load_from_checkpoint = lambda *given, **named: None
        trainer._load_optimizer_and_scheduler = lambda folder: self._put_back()
        trainer._load_rng_state = lambda folder: self._set_streams()
        trainer.train(resume_from_checkpoint=str(path.parent))

    def _live(self) -> LiveTraining:
        trainer = self._trainer
        weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        return LiveTraining(
            weights,
            getattr(trainer.optimizer, "optimizer", trainer.optimizer),
            trainer.lr_scheduler,
        )

    def _put_back(self) -> None:
        assert self._checkpoint is not None
        resumed = self._checkpoint.resume(self._subject, self._live())
        if resumed is None:
            raise UndertowError(
                "the checkpoint of a training on pairs does not fit its model, and was removed",
                hint="type the same command again: this training begins anew",
            )
        self._streams = resumed.streams

    def _set_streams(self) -> None:
        torch.set_rng_state(self._streams["cpu"])
        if "accelerator" in self._streams:
            torch.cuda.set_rng_state(self._streams["accelerator"])

    def _counters(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        streams = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available() and self._trainer.model.device.type == "cuda":
            streams["accelerator"] = torch.cuda.get_rng_state()
        state = json.loads(json.dumps(dataclasses.asdict(self._trainer.state)))
        return {"state": state, "seconds": self.seconds}, streams

    def _keeper(self, work: CountedWork) -> Any:
        from transformers.trainer_callback import TrainerCallback

        kept, clock = self, time.perf_counter

        class Keeper(TrainerCallback):
            """Keeps the checkpoint when a step's loss is in the history, which is the end of the step."""

            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                self._started, self._tokens = clock(), int(state.num_input_tokens_seen or 0)

            def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                logs = kwargs.get("logs") or {}
                if "loss" not in logs:
                    return
                kept.seconds += clock() - self._started
                seen = int(state.num_input_tokens_seen or 0) - self._tokens
                work.advance(tokens=seen, remark=f"loss {float(logs['loss']):.3g}")
                if kept._checkpoint is not None:
                    last = state.global_step >= kept._steps
                    kept._checkpoint.offer(kept._subject, kept._live(), kept._counters, last=last)

        return Keeper()
