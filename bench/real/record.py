"""What was measured so far, on disk after every case: no failure and no time limit costs what came before."""

from __future__ import annotations

import gc
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import torch

from undertow.data.files import atomic_write

SHORTEST = 2.0
"""Seconds that must be left for a case to begin."""

Values = Mapping[str, object]


class TimeLimit(Exception):
    """A case outran its seconds."""


@dataclass(frozen=True)
class Case:
    """One thing that was measured, or why it was not."""

    section: str
    name: str
    seconds: float
    """Of the whole case, loading and warm-up included."""
    values: Values = field(default_factory=dict)
    error: str = ""
    skipped: str = ""


class Record:
    """The cases of one run, written as JSON whenever one is added."""

    def __init__(self, path: Path, began: float, budget: float, about: Values) -> None:
        """`began` is in the seconds of `time.monotonic`; nothing begins once `budget` seconds are over."""
        self.path, self.began, self.about = path, began, dict(about)
        self.cases: list[Case] = []
        self._end = self._until = began + budget
        self._section = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def section(self, name: str, measure: Callable[[Record], None], share: float) -> None:
        """Measure a section within `share` seconds of what is left; what it raises is recorded."""
        self._section, self._until = name, min(self._end, time.monotonic() + share)
        self.say(f"== {name}: at most {max(0.0, self._until - time.monotonic()):.0f} s")
        if not self._affords():
            self._add(Case(name, "all", 0.0, skipped="no time was left"))
            return
        try:
            measure(self)
        except Exception as error:
            self._add(Case(name, "all", 0.0, error=_described(error)))
        _free()

    def case(self, name: str, measure: Callable[[], Values], most: float = 60.0) -> None:
        """Measure one case within `most` seconds and what its section has left; what it raises is recorded."""
        if not self._affords():
            self._add(Case(self._section, name, 0.0, skipped="its section's time was over"))
            return
        started = time.monotonic()
        values: Values = {}
        error = ""
        try:
            with _alarm(min(most, self._until - started)):
                values = measure()
        except Exception as raised:
            error = _described(raised)
        self._add(Case(self._section, name, time.monotonic() - started, values, error))
        _free()

    def say(self, line: str) -> None:
        """A line of progress with the seconds since the beginning."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {line}", flush=True)

    def _affords(self) -> bool:
        return self._until - time.monotonic() >= SHORTEST

    def _add(self, case: Case) -> None:
        self.cases.append(case)
        self._write()
        shown = case.error or (case.skipped and f"skipped: {case.skipped}") or _shown(case.values)
        self.say(f"{case.section}: {case.name} ({case.seconds:.1f} s): {shown}")

    def _write(self) -> None:
        document = {
            "schema": "undertow.bench-real/1",
            **self.about,
            "wall_seconds": round(time.monotonic() - self.began, 1),
            "cases": [asdict(case) for case in self.cases],
        }
        atomic_write(self.path, json.dumps(document, indent=1, default=str) + "\n")


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise TimeLimit(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.1, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _described(error: BaseException) -> str:
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:600]}"


def _shown(values: Values) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, int | float):
            parts.append(f"{name} {value:.5g}")
        elif isinstance(value, str):
            parts.append(f"{name} {value[:200]}")
    return ", ".join(parts)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
