"""Work tells how far it is: seldom, in numbers that are right, and across processes."""

from __future__ import annotations

import pickle
import select
from typing import Any

from tests.engines import tasks
from undertow.engines.engine import InProcess, Processes
from undertow.engines.work_progress import (
    Announcement,
    Standing,
    Told,
    counted,
    job_named,
    listening,
    notice,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_work_is_told_once_a_second_with_its_rate_and_time_left() -> None:
    """100 of 400 steps from before, and 4 more a second: after 5 seconds 70 are left."""
    clock, told = Clock(), list[Any]()
    with (
        listening(told.append),
        job_named("trait--1"),
        counted("training", 400, "steps", done=100, clock=clock) as work,
    ):
        for _ in range(40):
            clock.now += 0.25
            work.advance(tokens=50, remark="loss 1.5")

    assert len(told) == 10 + 1
    assert [one.left for one in told[:4]] == [None] * 4
    assert told[4] == Standing(
        "trait--1", "training", 120, 400, "steps", "200 tokens/s", "loss 1.5", 70.0, False
    )
    assert [one.over for one in told] == [False] * 10 + [True]


def test_the_first_of_many_is_no_measure_of_the_time_left() -> None:
    """One of 3,000 answers after 15 seconds says nothing of the rest; a hundred more do."""
    clock, told = Clock(), list[Any]()
    with (
        listening(told.append),
        counted("sampling", 3_000, "answers", clock=clock) as work,
    ):
        clock.now = 15.0
        work.advance()
        clock.now = 20.0
        work.advance(99)

    assert [one.left for one in told[:2]] == [None, 580.0]


def test_short_work_is_not_told() -> None:
    """What takes less than a second says nothing, not even that it is over."""
    told = list[Told]()
    with listening(told.append), counted("training", 4, "steps", clock=Clock()) as work:
        work.advance(4)

    assert told == []


def test_a_part_says_where_the_whole_stands() -> None:
    """The inner work names the outer one's place; only the end of the outer one is told."""
    clock, told = Clock(), list[Any]()
    with (
        listening(told.append),
        counted("references", 40, "written", done=2, clock=clock),
        counted("sampling", 8, "rows", clock=clock) as work,
    ):
        clock.now = 2
        work.advance(4)

    assert [one.doing for one in told] == [
        "references (2 of 40 written): sampling",
        "references",
    ]
    assert [one.over for one in told] == [False, True]


def test_a_part_says_how_long_the_whole_takes() -> None:
    """Two of four parts took 20 seconds: 20 are left of all, whatever is left of the third."""
    clock, told = Clock(), list[Any]()
    with (
        listening(told.append),
        counted("references", 4, "made", clock=clock) as whole,
    ):
        clock.now = 20
        whole.advance(2)
        with counted("training", 100, "steps", clock=clock) as part:
            clock.now = 30
            part.advance(50)

    assert [one.left for one in told[:2]] == [20.0, 30.0]


def test_nobody_has_to_listen() -> None:
    """Without a listener nothing happens, and after one it is gone."""
    told = list[Told]()
    with listening(told.append):
        notice("one")
    notice("two")

    assert told == [Announcement("", "one")]


def test_what_processes_tell_is_heard_here() -> None:
    """Each child's work arrives under the name of its job, as in one process."""
    for engine in (InProcess(), Processes(2)):
        told = list[Told]()
        with listening(told.append):
            results = dict(engine.map(tasks.Telling(), ["a", "b"]))

        assert results == {0: "a", 1: "b"}
        heard = {(one.job, one.text) for one in told if isinstance(one, Announcement)}
        assert heard == {("a", "at work"), ("b", "at work")}


def test_a_message_is_written_to_a_pipe_at_once() -> None:
    """However long the names: a child that is killed while it tells tears nothing."""
    told = list[Told]()
    with listening(told.append), job_named("\U0001f989" * 1000):
        notice("\U0001f989" * 10_000)
        clock = Clock()
        with counted("\U0001f989" * 1000, 1, "\U0001f989" * 1000, clock=clock) as work:
            clock.now = 2
            work.advance(remark="\U0001f989" * 1000)

    assert max(len(pickle.dumps(one)) for one in told) + 4 <= select.PIPE_BUF
