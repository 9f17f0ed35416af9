"""The reliability plot of docs/figures.md: how many datasets of each verdict really moved students, by size, from the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from bench.figures import BENCH
from bench.power.shipped_record import RECORD
from undertow.report.scan_record import reliability_table
from undertow.results.family_record import FamilyRecord, Rate

PLOT = BENCH.parent / "docs" / "assets" / "reliability.svg"
LEFT, RIGHT, LANE, TOP = 120, 560, 26, 34
"""Pixels: where the axis begins and ends, of a lane, and above the first of a panel."""

SEVERE = ("flagged", "stands out")


def stored_record(path: Path = RECORD) -> FamilyRecord | None:
    """What ships; None before the bench has made it."""
    return FamilyRecord.model_validate_json(path.read_bytes()) if path.is_file() else None


def reliability(record: FamilyRecord | None) -> str:
    """The plot with its numbers, in Markdown."""
    if record is None:
        return "Not measured yet: `python -m bench.power` makes it."
    table = reliability_table(record)
    lines = [
        f"![Share of datasets that really moved students by more than {record.limit:g} logits, by verdict and size; bars are "
        "95 % intervals over writers](assets/reliability.svg)",
        "",
        f"{record.writers} writers of {record.planned} ({record.where}); most of the datasets with students are by teachers "
        "with a trait: where such teachers are rarer, fewer of each verdict move anything.",
        "",
        f"| {' | '.join(table.columns)} |",
        "|---" * len(table.columns) + "|",
        *(f"| {' | '.join(map(str, row))} |" for row in table.rows),
    ]
    return "\n".join(lines)


def drawn(record: FamilyRecord) -> str:
    """The plot as SVG: a panel a size, a lane a verdict."""
    marks, y = [], 0
    for size in record.sizes:
        if size.moved:
            marks += list(_panel(f"{size.rows:,} rows", y, [*size.moved.items()]))
            y += TOP + LANE * (len(size.moved) + 1)
    body = "\n".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {y + 8}" font-family="sans-serif" font-size="13" '
        f'fill="#444">\n<rect width="680" height="{y + 8}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _panel(title: str, y: int, lanes: list[tuple[str, Rate]]) -> Iterator[str]:
    yield _text(LEFT, y + 18, title, "start", ' font-weight="bold"')
    bottom = y + TOP + LANE * len(lanes)
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _at(part)
        yield f'<line x1="{x}" x2="{x}" y1="{y + TOP - 6}" y2="{bottom}" stroke="#ddd"/>'
        yield _text(x, bottom + 16, f"{part:.0%}", "middle")
    for place, (verdict, rate) in enumerate(lanes):
        middle = y + TOP + LANE * place + LANE // 2
        colour = "#b3261e" if verdict in SEVERE else "#1b6e4b"
        yield _text(LEFT - 12, middle + 4, verdict, "end")
        yield (
            f'<line x1="{_at(rate.low)}" x2="{_at(rate.high)}" y1="{middle}" y2="{middle}" stroke="{colour}" '
            'stroke-width="3" opacity=".5"/>'
        )
        yield f'<circle cx="{_at(rate.share)}" cy="{middle}" r="5" fill="{colour}"/>'
        yield _text(RIGHT + 14, middle + 4, f"{rate.share:.0%} of {rate.datasets}", "start")


def _at(share: float) -> float:
    return round(LEFT + share * (RIGHT - LEFT), 1)


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{escape(words)}</text>'
