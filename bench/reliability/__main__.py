"""
The campaigns: `python -m bench.reliability [kill|disk|fuzz|guided|hostile] [PART ...] [COUNT] [--figures]`.

Without a name all campaigns are made, one after another. PARTs are some of a campaign's verbs, kinds or targets (of `fuzz`
also `rows` and `documents`), so that processes side by side can work on different ones. COUNT units are made (all that
are still to do, if not given), or COUNT seconds are given to each target of `guided`, which needs atheris. Each unit is
kept in tries.jsonl as it ends, so that a campaign goes on where it stopped. Before its first unit a campaign finds the
faults that are planted for it. `--figures` makes none, and writes results.json of what is kept.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from bench.figures import tell, write
from bench.reliability import tries

CAMPAIGNS = ("kill", "disk", "fuzz", "guided", "hostile")


def main(arguments: Sequence[str]) -> int:
    """Make units of one campaign or of all, and write the figures of all."""
    parser = argparse.ArgumentParser("python -m bench.reliability", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="CAMPAIGN | PART | COUNT")
    parser.add_argument("--figures", action="store_true")
    given = parser.parse_args(arguments)
    campaign, parts, count = _understood(parser, given.words)
    left = [] if given.figures else [_tried(name, parts, count) for name in campaign]
    kept, figures = list(tries.read()), []
    for name in CAMPAIGNS:
        if any(unit.campaign == name for unit in kept):
            figures += _module(name).figures(kept)
    seconds = {
        name: sum(unit.seconds for unit in kept if unit.campaign == name) for name in CAMPAIGNS
    }
    tell(figures, write("reliability", figures, {name: s for name, s in seconds.items() if s}))
    for why in filter(None, left):
        print(f"not made: {why}")
    return int(any(left))


def _understood(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[Sequence[str], list[str], int | None]:
    """The campaigns, their parts and the count that are asked for."""
    campaigns = [word for word in words[:1] if word in CAMPAIGNS]
    counts = [int(word) for word in words if word.isdecimal()]
    parts = [word for word in words[len(campaigns) :] if not word.isdecimal()]
    known = _module(campaigns[0]).PARTS if campaigns else CAMPAIGNS
    strange = [part for part in parts if not campaigns or part not in known]
    if strange or len(counts) > 1:
        parser.error(f"unknown: {' '.join(strange or words)}; known: {' '.join(known)}")
    return campaigns or CAMPAIGNS, parts, counts[0] if counts else None


def _module(campaign: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"bench.reliability.{campaign}_campaign")


def _tried(campaign: str, parts: Sequence[str], count: int | None) -> str:
    """Make what is still to do; why nothing can be made here, where it cannot."""
    module = _module(campaign)
    kept = {unit.name: unit for unit in tries.read()}
    try:
        if not tries.counted(campaign, kept.values()).traps:
            for unit in module.planted():
                _kept(replace(unit, seed=tries.FIRST_SEED))
        seconds = (count,) if campaign == "guided" else ()
        for make in islice(module.units(kept, parts, *seconds), None if seconds else count):
            unit = make()
            kept[unit.name] = unit
            _kept(unit)
    except SystemExit as error:  # a library or a right is missing
        return f"{campaign}: {error}"
    return ""


def _kept(unit: tries.Unit) -> None:
    tries.keep(unit)
    print(
        f"{time.strftime('%H:%M:%S')} {unit.name}: {unit.outcomes} {unit.told} {unit.seconds} s",
        flush=True,
    )
    for fault in unit.faults:
        print(f"    {fault}", flush=True)


if __name__ == "__main__":
    # By its name, so that what processes send each other is found again.
    from bench.reliability.__main__ import main as begun

    sys.exit(begun(sys.argv[1:]))
