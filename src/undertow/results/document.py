"""What every document says of its making: package versions, git revision, hardware, time, memory, command."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import Field

from undertow.data.closed import Stored

_PACKAGES = (
    "undertow",
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "pyarrow",
)


class Document(Stored):
    """Base of a whole result that a command made; named first among the bases, since its facts come last."""

    packages: dict[str, str] = Field(default_factory=dict)
    git_revision: str | None = None
    hardware: dict[str, str] = Field(default_factory=dict)
    wall_seconds: float
    """Working time, summed over all sittings of a resumed run."""
    peak_memory_mb: float | None = None
    command: str
    """The command that reproduces it."""


@dataclass(frozen=True)
class Environment:
    """What a stored result says of its surroundings."""

    packages: dict[str, str]
    git_revision: str | None
    hardware: dict[str, str]
    peak_memory_mb: float

    @property
    def fields(self) -> dict[str, Any]:
        """The same under the names that a document has for it."""
        return {
            "packages": self.packages,
            "git_revision": self.git_revision,
            "hardware": self.hardware,
            "peak_memory_mb": self.peak_memory_mb,
        }


def environment(*, workers: int | None, device: str) -> Environment:
    """
    Read it off this process, its finished children and the machine.

    Peak memory is this process's plus that of its largest child once a worker: an upper bound.
    """
    cores = os.cpu_count() or 1
    parent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Environment(
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        git_revision=_git_revision(),
        hardware={
            "machine": platform.machine(),
            "cores": str(cores),
            "device": device,
            "system": platform.system(),
            "python": platform.python_version(),
        },
        peak_memory_mb=(parent + child * (workers or cores)) / 1024,
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """
    Revision of the source tree that this package runs from, with `-dirty` where it was changed; none if installed.
    """
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            [
                "git",
                "-C",
                str(here),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
