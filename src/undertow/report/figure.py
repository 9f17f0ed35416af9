"""Figures as blocks: lanes over an axis, heat tables, line plots, and diagrams of boxes and arrows."""

from __future__ import annotations

from dataclasses import dataclass

from undertow.report.page import Block, Phrase, Table
from undertow.report.svg import Axis, Mark, Tick


@dataclass(frozen=True)
class Lane:
    """One row of a figure: whose it is, what is drawn over the axis, and its value in words."""

    who: Phrase
    marks: tuple[Mark, ...]
    value: Phrase = ""
    limits: str = ""
    style: str = ""
    strip: str = ""
    """The same in characters."""


@dataclass(frozen=True)
class Pointer:
    """Words above the lanes that say what lies at a place of the axis."""

    at: float
    text: str
    style: str = ""
    opening: str = ""
    """Words before the text, where there is room."""


@dataclass(frozen=True)
class Panel:
    """Lanes over one axis."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    title: Phrase = ""
    pointers: tuple[Pointer, ...] = ()
    unit: str = ""
    """Beside the axis."""
    left_out: int = 0
    """Lanes that are only in the table."""
    rest: str = ""
    """The same in words."""
    style: str = ""


@dataclass(frozen=True)
class Lanes(Block):
    """A figure of one or several panels."""

    style: str
    caption: str
    panels: tuple[Panel, ...]
    unit: str = ""
    key: tuple[Phrase, ...] = ()
    legend: str = ""
    """The key in a terminal."""
    rest: str = ""
    numbers: Table | None = None
    """The values behind it."""
    indented: bool = False
    """Whether a terminal keeps a column for the titles of panels."""


@dataclass(frozen=True)
class HeatCell:
    """One number of a heat table."""

    value: str
    limits: str
    sign: str
    strength: float
    """Opacity of the colour, up to 0.6 so that the number stays readable."""
    matching: bool
    """Whether its row and column have the same name."""


@dataclass(frozen=True)
class Heat(Block):
    """A table of numbers, coloured by their size."""

    name: str
    caption: str
    unit: str
    row_label: str
    column_label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]


@dataclass(frozen=True)
class PlotLine:
    """One series: its points in percent of width and height, from the upper left."""

    name: str
    style: int
    points: tuple[tuple[float, float], ...]
    spans: tuple[tuple[float, float, float], ...] = ()
    """Intervals: the place across, and both ends down."""
    hollow: frozenset[int] = frozenset()
    """The points that are told from nothing, by their place."""

    @property
    def path(self) -> str:
        """The points as the attribute of an SVG polyline."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Plot(Block):
    """Lines over a common axis."""

    caption: str
    x_label: str
    y_label: str
    x: Axis
    y: Axis
    lines: tuple[PlotLine, ...]
    numbers: Table
    zero: float | None = None
    """Where nothing differs, in percent down from above; None where the axis has no such place."""
    remark: str = ""
    """What whiskers and hollow points are, where there are any."""


@dataclass(frozen=True)
class DiagramBox:
    """A box of a diagram, placed in CSS pixels."""

    x: int
    y: int
    name: str
    note: str
    style: str
    round: bool
    title: str
    """Shown on demand."""


@dataclass(frozen=True)
class Diagram(Block):
    """Boxes, and arrows from one to another."""

    label: str
    width: int
    height: int
    box_width: int
    box_height: int
    boxes: tuple[DiagramBox, ...]
    arrows: tuple[str, ...]
    """Paths of SVG."""
    key: tuple[tuple[str, str], ...] = ()
    """(style, what it means)."""
    rest: str = ""
