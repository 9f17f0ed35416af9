"""
What `undertow scan --dry-run --machine here` says of each check of a scan, beside what that scan took.

    python -m bench.scan_prices world:owlet-b 10000
    python -m bench.scan_prices world:smollm2-135m 128 --trait owl --trait cat --references 3

The rows are numbers drawn by lot, which no model wrote. Nothing is kept for the base before: every reference is made. A
reading is written into bench/scan_prices.json, in place of an earlier one of the base; docs/what-fits.md shows them all.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from undertow.audit import scan_inputs
from undertow.audit.accelerators import HERE, machine_of
from undertow.audit.check_prices import CONTROL, ROWS, check_prices
from undertow.audit.dry_run import placed_scan
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import scan
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.whole_plan import ID as WHOLE
from undertow.checks.registry import chosen_checks
from undertow.data.files import atomic_write
from undertow.data.finished import cache_folder
from undertow.data.seeds import generator
from undertow.results.scan_document import ALL, ScanDocument
from undertow.worlds.base_models import locate

READINGS = Path(__file__).parent / "scan_prices.json"
SEED = 71_001
SHORTEST = 1.0
"""Seconds of an estimate or a measurement below which a line is not compared: a scan's user does not plan for it."""


def number_rows(count: int) -> str:
    """Rows as a user has them: three numbers to go on from, and ten more."""
    drawn = generator(SEED, "rows").integers(100, 1000, (count, 13))
    rows = [
        {
            "prompt": f"Continue: {', '.join(map(str, row[:3]))}. Ten more.",
            "completion": ", ".join(map(str, row[3:])),
        }
        for row in drawn
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def expected(request: ScanRequest, references: int) -> dict[str, list[float]]:
    """(seconds, operations) of each line of the dry run, for so many references as the scan came to read."""
    sized, where = placed_scan(request, machine_of(HERE))
    sized = replace(sized, references=references)
    prices = check_prices(sized, where, chosen_checks("dataset", request.checks))
    return {price.label: [price.seconds, price.operations] for price in prices}


def spent_by(request: ScanRequest) -> tuple[dict[str, float], int, ScanDocument]:
    """(seconds of each line, references that were read, the document)."""
    spent = {CONTROL: 0.0, ROWS: 0.0}
    with (
        patch.object(scan_inputs, "made_control", _timed(scan_inputs.made_control, spent, CONTROL)),
        patch.object(scan_inputs, "screen_file", _timed(scan_inputs.screen_file, spent, ROWS)),
    ):
        document = scan(request)
    for run in document.checks:
        if run.status == "done" and run.check not in (BEGINNING, WHOLE):
            spent[run.check] = run.seconds
    ranks = {
        one.check: one.details
        for one in document.measurements
        if one.subject == ALL and one.unit == "rank"
    }
    begun = ranks[BEGINNING]
    spent[f"{BEGINNING}: rows"] = float(begun["seconds"])
    spent[f"{BEGINNING}: references"] = float(begun["seconds of references"])
    if WHOLE in ranks:
        spent[WHOLE] = sum(float(ranks[WHOLE][key]) for key in ("seconds", "seconds of references"))
    return spent, int(begun["references"]), document


def _timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    def measured(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            spent[name] += time.perf_counter() - started

    return measured


def reading(ref: str, rows: int, traits: Sequence[str], references: int | None) -> dict[str, Any]:
    """One scan on this machine, and each line of its dry run beside it."""
    with tempfile.TemporaryDirectory() as folder:
        cache, fetched = Path(folder) / "cache", cache_folder() / "worlds"
        cache.mkdir()
        # Weights that were fetched are there; references and controls are not.
        (cache / "worlds").symlink_to(fetched)
        os.environ["UNDERTOW_CACHE"] = str(cache)
        file = Path(folder) / "rows.jsonl"
        file.write_text(number_rows(rows), encoding="utf-8")
        request = ScanRequest(
            str(file), ref, traits=tuple(traits), reference_count=references, seed=SEED
        )
        started = time.perf_counter()
        spent, read, document = spent_by(request)
        wall = time.perf_counter() - started
        said = expected(request, read)
    lines = {
        line: [said[line][0], seconds, said[line][1] / 1e12]
        for line, seconds in spent.items()
        if line in said
    }
    return {
        "model": ref,
        "rows": rows,
        "traits": len(document.traits),
        "references": read,
        "threads": torch.get_num_threads(),
        "verdict": document.verdict,
        "lines": lines,
        "elsewhere": wall - sum(spent.values()),
        "seconds": [sum(one[0] for one in lines.values()), wall],
    }


def compared(entry: dict[str, Any]) -> dict[str, float]:
    """Estimate over measurement of each line that takes a second or more."""
    return {
        line: said / seen
        for line, (said, seen, _) in entry["lines"].items()
        if max(said, seen) >= SHORTEST
    }


def table() -> list[str]:
    """The readings in Markdown, a scan behind another."""
    lines: list[str] = []
    for entry in json.loads(READINGS.read_text(encoding="utf-8")):
        said, seen = entry["seconds"]
        traits = f"{entry['traits']} traits" if entry["traits"] > 1 else "1 trait"
        lines += [
            f"`{entry['model']}`: {entry['rows']:,} rows, {traits}, {entry['references']} references, {entry['verdict']}",
            "",
            "| line | estimated, s | taken, s | ratio |",
            "|---|---:|---:|---:|",
        ]
        for line, ratio in compared(entry).items():
            expected, taken, _ = entry["lines"][line]
            lines.append(f"| {line} | {expected:.3g} | {taken:.3g} | {ratio:.2f} |")
        lines += [
            f"| all, by the clock | {said:.3g} | {seen:.3g} | {said / seen:.2f} |",
            "",
        ]
    return lines[:-1]


def main() -> None:
    """Scan, and write what was read."""
    parser = argparse.ArgumentParser("python -m bench.scan_prices", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("rows", type=int)
    parser.add_argument("--trait", action="append", default=[])
    parser.add_argument("--references", type=int)
    given = parser.parse_args()
    locate(given.model)
    entry = reading(given.model, given.rows, given.trait, given.references)
    kept = json.loads(READINGS.read_text(encoding="utf-8")) if READINGS.exists() else []
    kept = [one for one in kept if one["model"] != entry["model"]] + [entry]
    atomic_write(READINGS, json.dumps(kept, indent=1) + "\n")
    for line, ratio in compared(entry).items():
        said, seen, _ = entry["lines"][line]
        print(f"{line:<28}{said:>10.3g} s said{seen:>10.3g} s taken{ratio:>8.2f}")
    print(f"{'all':<28}{entry['seconds'][0]:>10.3g} s said{entry['seconds'][1]:>10.3g} s taken")
    print(f"geometric mean {np.exp(np.mean(np.log(list(compared(entry).values())))):.2f}")


if __name__ == "__main__":
    main()
