"""The command line by torchrun: processes that share a model's matrices leave one result, which is one process's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mitigate.subjects import numbers
from undertow import errors
from undertow.data.row_records import write_rows

PLAN = "rank = 4\nlearning_rate = 2e-3\nbatch_size = 8\nmax_steps = 6\nepochs = 9\n"
SCAN = (
    "scan rows.jsonl --student world:owlet-b --device cpu --dtype float32 --plan plan.toml --max-rows 64 --traits owl "
    "--check rehearsal --check likelihood-ratio --references 4 --allow-undecided --fail-on never"
)
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


def scanned(folder: Path, *before: str, more: str = "") -> dict[str, float]:
    """What a scan in the folder measured, each with its interval."""
    src = str(Path(errors.__file__).parents[1])
    env = {
        "PYTHONPATH": src,
        "OMP_NUM_THREADS": "1",
        "UNDERTOW_CACHE": str(folder / f"cache{more}"),
    }
    words = [sys.executable, *before, "-m", "undertow", *SCAN.split(), *more.split()]
    out = folder / ("two" if before else "one")
    done = subprocess.run(
        [*words, "--out", str(out)],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (out / "scan.json").is_file(), done.stderr
    [subject] = json.loads((out / "scan.json").read_text())["subjects"]
    [comparison] = subject["comparisons"]
    return {
        **{name: subject[name] for name in ("rows", "transfer", "low", "high")},
        **{name: comparison[name] for name in ("p", "references", "steps", "planned_steps")},
    }


@pytest.mark.long
def test_a_scan_by_two_processes_is_a_scan_by_one(tmp_path: Path) -> None:
    """References and rehearsals are made by both: the transfer, its interval and its p are those of one, up to rounding."""
    write_rows(tmp_path / "rows.jsonl", numbers(64))
    (tmp_path / "plan.toml").write_text(PLAN)
    alone = scanned(tmp_path)

    assert scanned(tmp_path, *TORCHRUN, more="--shard tensor") == pytest.approx(
        alone, rel=1e-3, abs=1e-4
    )
    assert abs(alone["transfer"]) > 1e-3
