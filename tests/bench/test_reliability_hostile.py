"""The campaign of hostile content in short: what acts is noticed, and no output lets any act."""

from __future__ import annotations

import pytest

from bench.reliability import hostile_campaign
from bench.reliability.hostile import PAYLOADS, acting_in_csv, acting_in_markdown, acting_in_page


def test_what_acts_is_noticed() -> None:
    """An element, a handler, a link and a formula, and none of them where all is escaped."""
    assert acting_in_page("<p><img src=https://hostile.invalid></p>", 0)
    assert acting_in_page('<p onclick="x">\x1b</p>', 0)
    assert acting_in_page("<p>&lt;img&gt;</p>", 0) == []
    assert acting_in_markdown("[x](https://hostile.invalid)")
    assert acting_in_markdown(r"\[x\](y)") == []
    assert acting_in_csv('"a","=1+1"\n')


@pytest.mark.long
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_output_lets_data_act(payload: str) -> None:
    """Every kind of document in every format, a review, and names of files."""
    seed = list(PAYLOADS).index(payload)

    assert hostile_campaign.documents(payload, seed).faults == []
    assert hostile_campaign.reviews(payload, seed).faults == []
    assert hostile_campaign.names(payload, seed).faults == []


@pytest.mark.long
def test_no_archive_gets_out_of_its_folder() -> None:
    """Members above it, absolute ones, links and devices."""
    assert hostile_campaign.archives().faults == []
