"""The machines that a scan is priced on: accelerators by what their makers state, or this machine as it is measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING

from pydantic import Field

from undertow.data.closed import Closed, parse, read_toml
from undertow.errors import ConfigError, UnknownNameError
from undertow.models.hardware import fast_in_bfloat16, free_memory, quickest

if TYPE_CHECKING:
    from undertow.data.plan import TrainingPlan
    from undertow.models.language_model import LanguageModel
    from undertow.models.meta_costs import RowSize

_SIDES = tuple(256 << k for k in range(7))
"""Of the matrices that are multiplied: small ones tell how fast an accelerator is called, large ones take a processor minutes."""

_COPIED = tuple(1 << k for k in range(22, 35))
"""Numbers in float32 that are copied; fewer stay in a cache."""

_LONG = 0.01
"""Seconds from which a trial is long enough to be told from its call."""

ROOM = 1 / 8
"""Of the memory that is left, for a trial: a measurement takes none from whoever else computes here."""

HERE = "here"
"""Names this machine."""

PROCESSOR = {"layer": 5e-4, "step": 1.5e-3, "peak": 1.25}
"""The same of a processor: assumed, but for the peak, of which 1.1 and 1.2 were measured."""


class Accelerator(Closed):
    """What the maker of an accelerator states of it."""

    operations: float = Field(gt=0)
    """A second, dense, in 16 bits."""
    memory: float = Field(gt=0)
    bandwidth: float = Field(gt=0)
    """Bytes a second."""
    source: str
    layer: float = 1.6e-3
    """Seconds that calling for a layer's operations takes in a forward pass, however small they are."""
    step: float = 1.4e-2
    """The same in a step of training."""
    peak: float = 2.0
    """
    Times what a pass keeps for its backward pass, at its peak. All three are as measured on an H200 and its host in
    bfloat16 (docs/what-fits.md); of other GPUs they are assumed.
    """
    trained: float = 0.35
    """Of the operations a second what training reaches, as is usual of models of billions of weights."""
    scored: float = 0.45
    """The same of scoring."""


@dataclass(frozen=True)
class Machine:
    """Accelerators of one kind, and what an hour of one costs."""

    name: str
    count: int
    accelerator: Accelerator
    hourly: float | None = None
    """Of one accelerator, in whatever the user counts."""


_Trial = tuple[Callable[[], object], float]
"""Work, and how much of it is done in one go."""


def known_accelerators() -> dict[str, Accelerator]:
    """Those that `--machine` names."""
    table = read_toml(files("undertow.audit") / "accelerators.toml")
    return {name: parse(Accelerator, entry, where=name) for name, entry in table.items()}


def machine_of(text: str) -> Machine:
    """
    `8xH100-80GB`, `H100-80GB@2.5` with the price of an hour of one, or `here`, which is measured.

    Raises:
        ConfigError: it has another form.
        UnknownNameError: there is no such accelerator.
    """
    matched = re.fullmatch(
        r"(?:([0-9]+)x)?([A-Za-z0-9.-]+)(?:@([0-9]{1,9}(?:\.[0-9]+)?))?", text, re.ASCII
    )
    if matched is None or not re.fullmatch("[1-9][0-9]{0,5}", matched[1] or "1"):
        raise ConfigError(
            f"--machine is '{text}'; allowed: NAME, NxNAME or NxNAME@PRICE-OF-AN-HOUR, with N from 1 to 999,999",
            hint="--machine 8xH100-80GB",
        )
    count, name = int(matched[1] or 1), matched[2]
    hourly = float(matched[3]) if matched[3] else None
    if name == HERE:
        if count > 1:
            raise ConfigError(
                f"--machine is '{text}', and here is one machine, which is measured; allowed: here or here@PRICE-OF-AN-HOUR",
                hint="--machine here, or NxNAME of an accelerator that there are several of",
            )
        return Machine(HERE, 1, _measured(), hourly)
    known = known_accelerators()
    if name not in known:
        raise UnknownNameError("accelerator", name, [*known, HERE], where="--machine")
    return Machine(name, count, known[name], hourly)


def tried_with(
    machine: Machine, student: LanguageModel, plan: TrainingPlan, size: RowSize
) -> Machine:
    """
    The machine, with what layers of the student reach on it where it is this one: of its operations, and in a pass.

    A product of matrices says what a processor can do, and not what it does for layers as narrow as a small model's. The
    machine stays as it is where the layers would take more than an eighth of its memory.
    """
    from undertow.models.layer_speed import layer_speed

    known = machine.accelerator
    speed = layer_speed(student, plan, size, ROOM * known.memory) if machine.name == HERE else None
    if speed is None:
        return machine
    reached = {
        "scored": speed.costs.scoring / speed.scored / known.operations,
        "trained": speed.costs.training / speed.trained / known.operations,
        "layer": speed.token / speed.costs.layers,
        "step": 0.0,
        "source": f"{known.source}, and by {speed.costs.layers} layers of the student",
    }
    return replace(machine, accelerator=known.model_copy(update=reached))


def _measured() -> Accelerator:
    """This machine's device, by a product and a copy of matrices."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if fast_in_bfloat16(device) else torch.float32
    memory = free_memory(device)

    def product(side: int) -> _Trial:
        matrix = torch.ones(side, side, dtype=dtype, device=device)
        return lambda: matrix @ matrix, 2.0 * side**3

    def copy(numbers: int) -> _Trial:
        copied = torch.ones(numbers, device=device)
        # Memory that is new costs a processor more than the copy.
        into = torch.empty_like(copied)
        return lambda: into.copy_(copied), 2.0 * copied.nbytes

    room = ROOM * memory
    return Accelerator(
        operations=_rate(product, _within(_SIDES, lambda side: 3 * 4 * side**2 <= room), device),
        memory=memory,
        bandwidth=_rate(copy, _within(_COPIED, lambda numbers: 2 * 4 * numbers <= room), device),
        source=f"measured on this {device} in {str(dtype).removeprefix('torch.')}",
        **({} if device == "cuda" else PROCESSOR),
    )


def _within(sizes: Sequence[int], fits: Callable[[int], bool]) -> list[int]:
    """Those that fit, and the first in any case."""
    return [size for size in sizes if size == sizes[0] or fits(size)]


def _rate(trial: Callable[[int], _Trial], sizes: Sequence[int], device: str) -> float:
    """What is done a second in the first trial that takes `_LONG`, or in the last."""
    rate = 0.0
    for size in sizes:
        work, amount = trial(size)
        seconds = max(quickest(work, device), 1e-9)
        rate = amount / seconds
        if seconds >= _LONG:
            break
    return rate
