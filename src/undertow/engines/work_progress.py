"""
How far the work inside a job is: told while it goes on, to whoever listens, from this process or one that an engine began.

    with listening(hear):                               the command line, once
        with job_named("trait--1"):                     the lab, around each job
            with counted("training", 192, "steps") as work:
                work.advance(tokens=3_100, remark="loss 1.83")

Whoever works says nothing of who listens, as with logging: a loop deep in a model is the same in a scan, a run and a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

BETWEEN = 1.0
"""Least seconds from one telling of a piece of work to the next: a listener may be at the end of a pipe."""

_SETTLED = 5.0
"""Seconds before which nobody is told how much time is left: what a batch ends together comes in bursts."""

_FEW = 1 / 200
"""Share of a work before which nobody is told either: the first of many answers comes with a hundred others."""

_LONGEST = 150
"""Characters of a name or a remark: what is told fits into a pipe at once, or a killed process would tear it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a piece of work is."""

    job: str
    """Empty outside the jobs of a run."""
    doing: str
    done: int
    total: int
    """0 where nobody knows."""
    unit: str
    rate: str
    """Of this sitting, in words."""
    remark: str
    left: float | None
    """Seconds; None where nobody can say."""
    over: bool
    """Whether it ended."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a reader should know of a job, whatever else is shown."""

    job: str
    text: str


Told = Standing | Announcement
Listener = Callable[[Told], None]


def _nobody(told: Told) -> None:
    """Where nobody listens, nothing is said."""


_LISTENER: ContextVar[Listener] = ContextVar("listener", default=_nobody)
_JOB: ContextVar[str] = ContextVar("job", default="")
_OUTER: ContextVar[CountedWork | None] = ContextVar("outer", default=None)


def current_listener() -> Listener:
    """Who listens here."""
    return _LISTENER.get()


def listen(listener: Listener) -> None:
    """Tell this one from now on: for a process that does nothing but work for another."""
    _LISTENER.set(listener)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within the block, work is told to this one."""
    before = _LISTENER.get()
    _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.set(before)


@contextmanager
def job_named(name: str) -> Iterator[None]:
    """Within the block, work is part of this job."""
    before = _JOB.get()
    _JOB.set(name)
    try:
        yield
    finally:
        _JOB.set(before)


def notice(text: str) -> None:
    """Tell what should be known of the work at hand, such as that a part of it is done again."""
    _LISTENER.get()(Announcement(_JOB.get()[:_LONGEST], text[: 4 * _LONGEST]))


@contextmanager
def counted(
    doing: str,
    total: int,
    unit: str,
    *,
    done: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[CountedWork]:
    """A piece of work of so many units, of which some may be done from before."""
    outer = _OUTER.get()
    work = CountedWork(doing, total, unit, done, clock, outer)
    _OUTER.set(work)
    try:
        yield work
    finally:
        _OUTER.set(outer)
        work.end()


class CountedWork:
    """Counts what is done, and tells it at most once a second."""

    def __init__(
        self,
        doing: str,
        total: int,
        unit: str,
        done: int,
        clock: Callable[[], float],
        outer: CountedWork | None,
    ) -> None:
        """`outer` is the work that this one is a part of."""
        self._doing, self._total, self._unit = doing, total, unit
        self._clock, self._outer = clock, outer
        self._before = self.done = done
        self._tokens = 0
        self._remark = ""
        self._began = self._told = clock()
        self._shown = False

    def advance(self, n: int = 1, *, tokens: int = 0, remark: str = "") -> None:
        """So many more units, with the tokens that they had, and what is to be said of them."""
        self.done += n
        self._tokens += tokens
        self._remark = remark or self._remark
        now = self._clock()
        if now - self._told >= BETWEEN:
            self._told = now
            self._tell(now, over=False)

    def end(self) -> None:
        """Say that it is over, if it or a part of it was ever told, and it is no part itself."""
        if self._shown and self._outer is None:
            self._tell(self._clock(), over=True)

    @property
    def place(self) -> str:
        """Where this work stands, for what is a part of it."""
        of = f" of {self._total:,}" if self._total else ""
        return f"{self._doing} ({self.done:,}{of} {self._unit})"

    def _show(self) -> None:
        self._shown = True
        if self._outer is not None:
            self._outer._show()

    def _left(self, now: float) -> float | None:
        """Seconds left of the whole that this work is a part of, if anybody can say, else of itself."""
        of_whole = self._outer._left(now) if self._outer else None
        seconds, new = now - self._began, self.done - self._before
        if of_whole is not None or not new or not self._total or seconds < _SETTLED:
            return of_whole
        if new < _FEW * self._total:
            return None
        return seconds / new * max(self._total - self.done, 0)

    def _tell(self, now: float, *, over: bool) -> None:
        self._show()
        seconds, new = now - self._began, self.done - self._before
        within = f"{self._outer.place}: " if self._outer else ""
        rate = f"{self._tokens / seconds:,.0f} tokens/s" if self._tokens else ""
        if not rate and new:
            rate = f"{new / seconds:.3g} {self._unit}/s"
        _LISTENER.get()(
            Standing(
                job=_JOB.get()[:_LONGEST],
                doing=(within + self._doing)[:_LONGEST],
                done=self.done,
                total=self._total,
                unit=self._unit[:_LONGEST],
                rate=rate[:_LONGEST],
                remark=self._remark[:_LONGEST],
                left=self._left(now),
                over=over,
            )
        )
