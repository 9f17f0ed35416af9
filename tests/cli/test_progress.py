"""Progress says how far and how long, and no more than its reader can use."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from undertow.cli.progress import LiveProgress, PlainProgress, QuietScreen, shown_progress
from undertow.engines.work_progress import Announcement, Standing


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _live(**settings: object) -> tuple[LiveProgress, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120, **settings)  # type: ignore[arg-type]
    return LiveProgress(console), written


def test_a_stage_begins_with_a_line() -> None:
    """Each stage is announced with its amount of work."""
    written: list[str] = []
    progress = PlainProgress(written.append, Clock())
    progress.stage("teachers", 4)
    progress.stage("students", 16)

    assert written == ["teachers (4)", "students (16)"]


def test_within_a_stage_a_line_comes_at_most_every_ten_seconds() -> None:
    """300 steps of a second make 30 lines."""
    written: list[str] = []
    clock = Clock()
    progress = PlainProgress(written.append, clock)
    progress.stage("students", 300)
    for _ in range(300):
        clock.now += 1
        progress.advance()

    assert len(written) == 1 + 30


def test_a_line_tells_the_time_left_and_the_remark() -> None:
    """After a quarter of the work in a minute, three minutes are left."""
    written: list[str] = []
    clock = Clock()
    progress = PlainProgress(written.append, clock)
    progress.stage("students", 16)
    clock.now = 60
    progress.advance(4, "owlet-a\x07")

    assert written[-1] == "  students: 4/16, 3 min left; owlet-a\\x07"


def _told(job: str = "trait--1", **fields: object) -> Standing:
    given = Standing(job, "training", 96, 192, "steps", "371 tokens/s", "loss 1.2", 240.0, False)
    return replace(given, **fields)  # type: ignore[arg-type]


def test_work_in_jobs_is_in_the_line_of_its_stage() -> None:
    """All jobs at work, each with how far it is, its rate and its time left; what is over is not."""
    written: list[str] = []
    clock = Clock()
    progress = PlainProgress(written.append, clock)
    progress.stage("students", 4, 1)
    progress.hear(_told("control--1\x07", left=None))
    progress.hear(_told("over"))
    progress.hear(_told("over", over=True))
    clock.now = 10
    progress.hear(_told())

    assert written == [
        "students (4, 1 already done)",
        "  students: 1/4; "
        "control--1\\x07: training: 96 of 192 steps, 371 tokens/s, loss 1.2; "
        "trait--1: training: 96 of 192 steps, 371 tokens/s, loss 1.2, 4 min left",
    ]


def test_what_was_done_before_does_not_shorten_the_time_left() -> None:
    """8 of 16 from before, one more in a minute: 7 minutes are left."""
    written: list[str] = []
    clock = Clock()
    progress = PlainProgress(written.append, clock)
    progress.stage("students", 16, 8)
    clock.now = 60
    progress.advance(1)

    assert written[-1] == "  students: 9/16, 7 min left"


def test_a_verb_without_stages_tells_of_its_work_alone() -> None:
    """At most every 10 seconds since the last line of any kind; a notice is written at once."""
    written: list[str] = []
    clock = Clock()
    progress = PlainProgress(written.append, clock)
    for second in range(25):
        clock.now = second
        if second == 5:
            progress.say("… rehearsal on the whole")
        progress.hear(_told("", doing=f"training {second}", left=None))
    progress.hear(Announcement("trait--1", "a torn line"))

    assert [line.partition(":")[0] for line in written] == [
        "… rehearsal on the whole",
        "  training 15",
        "note",
    ]


def test_quiet_is_quiet_but_for_notices(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither stages, steps nor work; what a reader should know is said."""
    screen = QuietScreen()
    screen.stage("students", 4)
    screen.advance(1, "owl")
    screen.say("… rehearsal")
    screen.hear(_told())
    screen.hear(Announcement("", "a torn line"))
    screen.finish()

    assert capsys.readouterr().err == "note: a torn line\n"


def test_a_live_line_a_job_comes_and_goes() -> None:
    """Each job at work has one; without a stage the terminal is given back when the last is over."""
    progress, written = _live()
    for job in ("trait--1", "control [red]--1"):
        progress.hear(_told(job))
    progress.say("… between")
    progress.hear(_told("trait--1", over=True))
    assert "\x1b[?25h" not in written.getvalue()
    progress.hear(_told("control [red]--1", over=True))

    text = written.getvalue()
    assert "… between" in text
    assert all(job in text for job in ("trait--1: training", "control [red]--1: training"))
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_live_bars_show_names_as_they_are() -> None:
    """Square brackets in a name are text, not colours; counts and stages are shown."""
    progress, written = _live()
    progress.stage("students [red]", 4)
    progress.advance(3)
    progress.finish()

    assert "students [red]" in written.getvalue()
    assert "3/4" in written.getvalue()


def test_live_bars_give_the_terminal_back() -> None:
    """The cursor is shown again at the end, and ending twice or without a stage does no harm."""
    progress, written = _live()
    progress.finish()
    progress.stage("students", 4)
    progress.finish()
    progress.finish()

    assert written.getvalue().rindex("\x1b[?25h") > written.getvalue().rindex("\x1b[?25l")


def test_no_color_is_respected() -> None:
    """With NO_COLOR set, bars move but nothing is coloured."""
    progress, written = _live(_environ={"NO_COLOR": "1", "TERM": "xterm-256color"})
    progress.stage("students", 4)
    progress.advance(2)
    progress.finish()

    # Styles with a colour number start with 3 or 4; the cursor's own sequences end in another letter.
    styles = [
        part.split("m")[0] for part in written.getvalue().split("\x1b[")[1:] if "m" in part[:12]
    ]
    assert "students" in written.getvalue()
    assert not [style for style in styles if style.startswith(("3", "4", "9"))]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _fail_at_work() -> None:
    with shown_progress() as progress:
        progress.stage("students", 4)
        progress.advance(1 // 0)


def test_a_terminal_gets_bars_and_is_given_back_whatever_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the bars are drawn on stderr, and an error in the work does not leave its cursor hidden."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(ZeroDivisionError):
        _fail_at_work()

    assert "students" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[?25h")
    assert capsys.readouterr().out == ""
