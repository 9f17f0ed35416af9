"""The machines that a scan is priced on: accelerators by what their makers state, or this machine as it is measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from pydantic import Field

from undertow.data.closed import Closed, parse, read_toml
from undertow.errors import ConfigError, UnknownNameError
from undertow.models.hardware import fast_in_bfloat16, free_memory, quickest

_SIDE = 1024


class Accelerator(Closed):
    """What the maker of an accelerator states of it."""

    operations: float = Field(gt=0)
    """A second, dense, in 16 bits."""
    memory: float = Field(gt=0)
    bandwidth: float = Field(gt=0)
    """Bytes a second."""
    source: str


@dataclass(frozen=True)
class Machine:
    """Accelerators of one kind, and what an hour of one costs."""

    name: str
    count: int
    accelerator: Accelerator
    hourly: float | None = None
    """Of one accelerator, in whatever the user counts."""


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
    matched = re.fullmatch(r"(?:(\d+)x)?([A-Za-z0-9.-]+)(?:@(\d+(?:\.\d+)?))?", text)
    if matched is None or matched[1] == "0":
        raise ConfigError(
            f"--machine is '{text}'; allowed: NAME, NxNAME or NxNAME@PRICE-OF-AN-HOUR",
            hint="--machine 8xH100-80GB",
        )
    count, name = int(matched[1] or 1), matched[2]
    hourly = float(matched[3]) if matched[3] else None
    if name == "here":
        return Machine("here", 1, _measured(), hourly)
    known = known_accelerators()
    if name not in known:
        raise UnknownNameError("accelerator", name, [*known, "here"], where="--machine")
    return Machine(name, count, known[name], hourly)


def _measured() -> Accelerator:
    """This machine's device, by a product and a copy of matrices."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if fast_in_bfloat16(device) else torch.float32
    matrix = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device)
    product = quickest(lambda: matrix @ matrix, device)
    copied = torch.ones(16 * _SIDE, _SIDE, device=device)
    copying = quickest(copied.clone, device)
    return Accelerator(
        operations=2 * _SIDE**3 / max(product, 1e-9),
        memory=free_memory(device),
        bandwidth=2 * copied.nbytes / max(copying, 1e-9),
        source=f"measured on this {device} in {str(dtype).removeprefix('torch.')}",
    )
