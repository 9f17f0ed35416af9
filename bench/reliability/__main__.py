"""
The campaigns: `python -m bench.reliability kill|disk|fuzz|guided|hostile [COUNT] [--figures]`.

COUNT units are made (all that were asked for, if not given), or COUNT seconds are given to each target of `guided`, which
needs atheris; each unit is kept in tries.jsonl as it ends, so that a campaign goes
on where it stopped. Before its first unit a campaign finds the faults that are planted for it. `--figures` makes none, and
writes results.json of what is kept.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from itertools import islice

from bench.figures import tell, write
from bench.reliability import tries

CAMPAIGNS = ("kill", "disk", "fuzz", "guided", "hostile")


def main(arguments: Sequence[str]) -> int:
    """Make units of one campaign, and write the figures of all."""
    parser = argparse.ArgumentParser("python -m bench.reliability", description=__doc__)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("count", type=int, nargs="?")
    parser.add_argument("--figures", action="store_true")
    given = parser.parse_args(arguments)
    if not given.figures:
        _tried(given.campaign, given.count)
    kept, figures = list(tries.read()), []
    for name in CAMPAIGNS:
        if any(unit.campaign == name for unit in kept):
            figures += _module(name).figures(kept)
    seconds = {
        name: sum(unit.seconds for unit in kept if unit.campaign == name) for name in CAMPAIGNS
    }
    tell(figures, write("reliability", figures, {name: s for name, s in seconds.items() if s}))
    return 0


def _module(campaign: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"bench.reliability.{campaign}_campaign")


def _tried(campaign: str, count: int | None) -> None:
    module = _module(campaign)
    kept = {unit.name for unit in tries.read()}
    if not any(name.startswith(f"{campaign}/planted-") for name in kept):
        for unit in module.planted():
            _kept(unit)
    makers = (
        module.units(kept, count) if campaign == "guided" else islice(module.units(kept), count)
    )
    for make in makers:
        _kept(make())


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
