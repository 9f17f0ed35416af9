"""The measurement, one number about a subject with its interval and its unit; the verdict, and what follows from it."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from undertow.data.closed import Stored

Verdict = Literal[
    "flagged", "stands out", "within", "clear", "undecided", "skipped", "not_applicable", "error"
]
"""
About the whole plan: `flagged`, the interval lies above the limit; `clear`, below it. About the beginning of a dataset's
plan beside those of its references: `stands out`, p <= alpha; `within`, p > alpha. `undecided`: none of them. The others
say why nothing was judged, in `reason`.
"""

OF_REFERENCES: tuple[Verdict, ...] = ("stands out", "within")
"""Those that only a scan beside references gives."""

SEVERITY: tuple[Verdict, ...] = (
    "flagged",
    "stands out",
    "error",
    "undecided",
    "skipped",
    "not_applicable",
    "within",
    "clear",
)
"""From the most severe; what was not judged counts more than what was cleared."""

AuditVerdict = Literal["passed", "within", "failed", "undecided"]
"""What an auditor signs; `within` is about the beginning of the plan alone."""

_AUDIT_VERDICTS: dict[Verdict, AuditVerdict] = {
    "clear": "passed",
    "within": "within",
    "stands out": "failed",
    "flagged": "failed",
}

Kind = Literal["transfer", "evidence"]
"""What a check gives: a judgement on transfer, or evidence in a unit of its own that never judges transfer."""


class Measurement(Stored):
    """What a check measured on a subject, for one trait or for none in particular."""

    check: str
    """Id of the check, e.g. `rehearsal`."""
    name: str = ""
    """What was measured, where a check measures several things, e.g. `digits`."""
    subject: str
    """`all`, or the name of a source."""
    trait: str | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    """None where the interval is open, or there is none."""
    level: float | None = None
    """Of the interval."""
    n: str = ""
    """What the interval rests on, e.g. `4 adapters`, `4096 rows`."""
    p: float | None = None
    """Of the stated null, after the check's own correction for multiplicity."""
    limit: float | None = None
    """What the interval (or p, or e-value) was compared with."""
    unit: str = ""
    detected: bool | None = None
    """Of evidence: whether it speaks against the check's null at its stated error rate."""
    verdict: Verdict | None = None
    """Of a check of kind `transfer`, filled by the audit; None for evidence that was measured."""
    reason: str = ""
    """Why the verdict, or the evidence, is what it is."""
    details: dict[str, float | int | str] = Field(default_factory=dict)
    """Further numbers, under names that the check's page explains."""


class FormatReading(Stored):
    """One way of asking a category's questions, as the untrained base answered it."""

    name: str
    mass: float | None = None
    """Mean over held-out questions of the probability on all candidates; None where it could not be asked."""
    agreement: float | None = None
    """
    Correlation over the candidates of their mean margins with those in the format that is used; None of that format
    itself, and of one that is not usable.
    """
    reason: str = ""
    """Why it could not be asked."""


class ProbeChoice(Stored):
    """In which format the probes of a category are asked, chosen on the untrained base alone."""

    base: str
    category: str
    used: str
    """Name of the format."""
    usable: bool
    """Whether the base's answer mass in it reaches `least`."""
    enough: float
    """The first format, in their order, that reaches this answer mass is used; else the plain question."""
    least: float
    """An answer mass below which answers are hardly ever among the candidates. Both floors are choices."""
    formats: tuple[FormatReading, ...]
    """In the order in which they are preferred."""
    sentence: str
    """What that means, in words."""

    @model_validator(mode="after")
    def _used_is_among_them(self) -> ProbeChoice:
        names = [one.name for one in self.formats]
        if self.used not in names:
            raise ValueError(f"used is {self.used!r}, and the formats are {names}")
        return self

    @property
    def seldom_answered(self) -> bool:
        """Whether the base answers what it is asked with a candidate less often than `enough`, so that margins tell more."""
        masses = {one.name: one.mass for one in self.formats}
        return self.used in masses and (masses[self.used] or 0.0) < self.enough


def not_applicable(check: str, subject: str, reason: str) -> Measurement:
    """The entry of a check that the subject gives no ground for (no teacher, say); it never affects the exit code."""
    return Measurement(check=check, subject=subject, verdict="not_applicable", reason=reason)


def skipped(check: str, subject: str, reason: str) -> Measurement:
    """The entry of a check that could have been made and was not (a missing extra, say)."""
    return Measurement(check=check, subject=subject, verdict="skipped", reason=reason)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe of some verdicts; `skipped` if there is none."""
    return min(verdicts, key=SEVERITY.index, default="skipped")


def audit_verdict(verdict: Verdict) -> AuditVerdict:
    """The verdict as an auditor signs it."""
    return _AUDIT_VERDICTS.get(verdict, "undecided")


def exit_code(
    verdicts: Collection[str], failing: Collection[str], *, broken: bool, allow_undecided: bool
) -> int:
    """1 if any verdict is a failing one, 4 if a check broke, 5 if anything is left open, else 0."""
    if set(verdicts) & set(failing):
        return 1
    if broken:
        return 4
    return 5 if {"undecided", "skipped"} & set(verdicts) and not allow_undecided else 0


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
        packages={name: found for name in _PACKAGES if (found := version_of(name))},
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


def version_of(name: str) -> str | None:
    """The version of a package that is installed here."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Revision of the source tree that this package runs from, with `-dirty` where it was changed; none if installed."""
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
