"""`undertow doctor`: what is installed, what this machine computes with, what is missing for what, and what a scan costs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from undertow import __version__
from undertow.cli.progress import duration
from undertow.cli.terminal import EXTRAS, UNFINISHED, aligned, one_line

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "pyarrow")
"""Those whose versions decide what a document holds."""

PROGRAMS = {
    "git": "changed",
    "bwrap": "filters and carriers that run generated code (bubblewrap)",
}
"""What is called and no Python package, with what needs it."""

ROWS, TOKENS, LEARNT = 4_096, 64, 40
"""Of the scan that is priced: lists of ten numbers in a chat template."""

STUDENT = "world:owlet-b"
"""For which it is priced: it is always here."""

NEEDED = 1 << 30
"""Bytes of memory and of disk below which scans of the embedded world do not end well."""

Facts = dict[str, Any]


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--fast", is_flag=True, help="Time nothing and import no torch: what is installed.")
def command(as_json: bool, fast: bool) -> None:
    """
    Say what is installed, what is missing, what a scan costs.

    Devices and dtypes, memory, disk, the cache and fetched worlds; for each extra that is missing, what needs it and how to
    install it. Reaches no network. Exit code 0 unless nothing of undertow can work here.
    """
    facts = facts_here(fast=fast)
    click.echo(json.dumps(facts, indent=2) if as_json else text(facts))
    click.get_current_context().exit(UNFINISHED if facts["problems"] else 0)


def facts_here(*, fast: bool = False) -> Facts:
    """All that is known of this machine; `problems` holds what makes undertow unusable, in words."""
    from undertow.data.finished import cache_folder
    from undertow.results.measurement import version_of

    facts: Facts = {
        "undertow": {"version": __version__, "folder": str(Path(__file__).parents[1])},
        "python": {"version": sys.version.split()[0], "executable": sys.executable},
        "packages": {name: version_of(name) for name in PACKAGES},
        "programs": {name: shutil.which(name) for name in PROGRAMS},
        "extras": {name: missing(name) for name in EXTRAS},
        "places": {
            "cache": place_facts(cache_folder()),
            "here": place_facts(Path.cwd()),
        },
        "worlds": _worlds(),
        "kept_scans": kept_scans(Path.cwd()),
    }
    if not fast and not facts["extras"]["models"]:
        facts["compute"] = _compute()
        facts["scan"] = _price()
    facts["problems"] = list(_problems(facts))
    return facts


def missing(extra: str) -> list[str]:
    """What an extra has and is not here, as Python imports it."""
    return [module for module in EXTRAS[extra].modules if find_spec(module) is None]


def place_facts(folder: Path) -> Facts:
    """Whether a folder, or what it would be made in, can be written to, and how many bytes are free there."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = True
    except OSError:
        writable = False
    return {"path": str(folder), "writable": writable, "free": shutil.disk_usage(there).free}


def _worlds() -> dict[str, bool]:
    """By name, whether its weights are here."""
    from undertow.worlds.base_models import PREFIX, FetchedRecipe, worlds

    return {
        PREFIX + world.name: not isinstance(world, FetchedRecipe) or world.fetched
        for world in worlds()
    }


def kept_scans(folder: Path) -> list[Facts]:
    """What the scans below this folder took, the newest first, three at most; what is no scan is passed over."""
    paths = sorted(folder.glob("scans/*/scan.json"), key=lambda path: -path.stat().st_mtime)
    read = (_kept_scan(path) for path in paths[:20])
    return [scan for scan in read if scan is not None][:3]


def _kept_scan(path: Path) -> Facts | None:
    from undertow.errors import UndertowError
    from undertow.results.store import read_scan

    try:
        return {"path": str(path), "seconds": read_scan(path).wall_seconds}
    except UndertowError:
        return None


def _compute() -> Facts:
    """Devices with what they are fast in and the memory that is left."""
    import torch

    from undertow.models.hardware import fast_in_bfloat16, free_memory

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = ["cpu", *(f"cuda:{number}" for number in range(count))]
    return {
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "devices": {
            device: {
                "name": torch.cuda.get_device_name(device) if device != "cpu" else "processor",
                "bfloat16": bool(fast_in_bfloat16(device)),
                "memory": free_memory(device),
            }
            for device in devices
        },
    }


def _price() -> Facts:
    """A scan's seconds here, by how fast a product and a copy of matrices are, and by the student's configuration."""
    from undertow.audit.accelerators import machine_of
    from undertow.audit.dry_run import usual_prices
    from undertow.models.meta_costs import RowSize

    machine = machine_of("here")
    prices = usual_prices(STUDENT, ROWS, RowSize(TOKENS, LEARNT), machine)
    return {
        "student": STUDENT,
        "rows": ROWS,
        "operations": machine.accelerator.operations,
        "bandwidth": machine.accelerator.bandwidth,
        "seconds": {price.label: round(price.seconds, 1) for price in prices},
    }


def _problems(facts: Facts) -> Iterator[str]:
    """What makes undertow unusable, not what is merely missing."""
    places = facts["places"]
    if not places["cache"]["writable"]:
        yield f"the cache '{places['cache']['path']}' cannot be written to: set UNDERTOW_CACHE to a folder that can"
    for name, place in places.items():
        if place["free"] < NEEDED:
            yield f"{_bytes(place['free'])} are free in '{place['path']}' ({name}), which is too little for a scan"
    devices = facts.get("compute", {}).get("devices", {})
    if devices and max(device["memory"] for device in devices.values()) < NEEDED:
        yield f"no device has {_bytes(NEEDED)} of memory left"


def text(facts: Facts) -> str:
    """The facts for people: a line each, what is missing last but for what a scan costs."""
    told = [_installed(facts), _devices(facts), _places(facts), _extras(facts), _cost(facts)]
    problems = [f"PROBLEM  {one_line(problem)}" for problem in facts["problems"]]
    return "\n\n".join([*filter(None, told), *problems])


def _installed(facts: Facts) -> str:
    versions = {name: version for name, version in facts["packages"].items() if version}
    programs = {
        name: place or f"missing, for {PROGRAMS[name]}" for name, place in facts["programs"].items()
    }
    rows = {
        "undertow": f"{facts['undertow']['version']}, {facts['undertow']['folder']}",
        "python": f"{facts['python']['version']}, {facts['python']['executable']}",
        **versions,
        **programs,
    }
    return aligned([*rows.items()])


def _devices(facts: Facts) -> str:
    if "compute" not in facts:
        return ""
    compute = facts["compute"]
    rows = [
        (
            device,
            told["name"]
            + (
                f", threads: {compute['threads']}, cores: {compute['cores']}"
                if device == "cpu"
                else ""
            ),
            f"{_bytes(told['memory'])} of memory free",
            f"computes in {'bfloat16 or float32' if told['bfloat16'] else 'float32 (bfloat16 is not faster here)'}",
        )
        for device, told in compute["devices"].items()
    ]
    return aligned(rows)


def _places(facts: Facts) -> str:
    rows = [
        (
            name,
            place["path"],
            f"{_bytes(place['free'])} free",
            "" if place["writable"] else "NOT WRITABLE",
        )
        for name, place in facts["places"].items()
    ]
    away = [name for name, here in facts["worlds"].items() if not here]
    here = [name for name, is_here in facts["worlds"].items() if is_here]
    lines = [aligned(rows), f"worlds here: {', '.join(here)}"]
    if away:
        fetch = ", ".join(f"undertow worlds fetch {name.partition(':')[2]}" for name in away)
        lines.append(f"not fetched: {fetch}")
    return "\n".join(lines)


def _extras(facts: Facts) -> str:
    there = [name for name, lacks in facts["extras"].items() if not lacks]
    rows = [
        (name, EXTRAS[name].purpose, f"pip install 'undertow[{name}]'")
        for name, lacks in facts["extras"].items()
        if lacks
    ]
    lines = [f"extras here: {', '.join(there) or 'none'}"]
    return "\n".join([*lines, "missing:", aligned(rows)] if rows else lines)


def _cost(facts: Facts) -> str:
    kept = [f"{scan['path']} took {duration(scan['seconds'])}" for scan in facts["kept_scans"]]
    lines = [f"a scan here: {one_line(line)}" for line in kept]
    if "scan" in facts:
        scan = facts["scan"]
        whole = scan["seconds"].get("whole-plan", 0.0)
        beginning = sum(scan["seconds"].values()) - whole
        lines.append(
            f"a scan of {scan['rows']:,} rows by {scan['student']}, by the speed of this machine now: at most {duration(beginning)}, "
            f"and {duration(whole)} more where rows stand out; exact: undertow scan DATA --student MODEL --dry-run"
        )
    elif facts["extras"]["models"]:
        lines.append("no model can be opened yet: pip install 'undertow[lab]', then undertow demo")
    return "\n".join(lines)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
