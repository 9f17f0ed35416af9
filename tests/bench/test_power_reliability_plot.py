"""The reliability plot of docs/figures.md is of the record that ships."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.power.reliability_plot import PLOT, drawn, reliability, stored_record
from undertow.results.family_record import FamilyRecord, Rate, SizeRecord


def record() -> FamilyRecord:
    """Of one size, with two verdicts."""
    moved = {
        "stands out": Rate(share=0.75, low=0.5, high=1.0, datasets=12),
        "within": Rate(share=0.0, low=0.0, high=0.1, datasets=30),
    }
    size = SizeRecord(
        rows=4096, level=Rate(share=0.05, low=0.0, high=0.1, datasets=60), moved=moved
    )
    return FamilyRecord(
        digest="d", where="lists", limit=0.2, writers=42, planned=160, sizes=(size,)
    )


def test_each_verdict_has_a_lane_with_its_share_and_interval() -> None:
    """A dot at the share, a bar over the interval, and the numbers beside them; no script."""
    picture = ElementTree.fromstring(drawn(record()))
    tags = [one.tag.partition("}")[2] for one in picture.iter()]
    words = [one.text for one in picture.iter() if one.text and one.text.strip()]
    dots = [float(one.get("cx", 0)) for one in picture.iter() if one.tag.endswith("circle")]

    assert {*tags} == {"svg", "rect", "line", "circle", "text"}
    assert {"4,096 rows", "stands out", "within", "75% of 12", "0% of 30"} <= {*words}
    assert dots == [450.0, 120.0]


def test_the_page_has_plot_and_numbers_or_says_that_there_are_none() -> None:
    """Nothing is drawn before the bench has made the record."""
    told = reliability(record())

    assert "assets/reliability.svg" in told
    assert "42 writers of 160" in told
    assert sum(line.startswith("| 4,096 |") for line in told.splitlines()) == 3
    assert reliability(None).startswith("Not measured yet")


def test_the_committed_plot_is_of_the_shipped_record() -> None:
    """Both are there, or neither."""
    shipped = stored_record()

    assert (PLOT.read_text(encoding="utf-8") if PLOT.is_file() else None) == (
        drawn(shipped) if shipped else None
    )
