"""
`python -m bench.power.memory` runs each check of a scan alone on 1,024 rows of a tuned teacher, and notes the peak memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.cohort import Writer
from bench.figures import Figure, write
from bench.power.evidence_design import PLAN, SEED, STUDENT, ground
from undertow.checks.registry import registered
from undertow.data.row_records import write_rows
from undertow.data.seeds import derive
from undertow.results.store import read_scan

COMMAND = "python -m bench.power.memory"
ROWS = 1_024
PREPARE = "--prepare"


def main() -> int:
    """Measure and write the figures."""
    if sys.argv[1:2] == [PREPARE]:
        prepare(Path(sys.argv[2]))
        return 0
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak begins at what its parent has.
        subprocess.run([sys.executable, "-m", "bench.power.memory", PREPARE, name], check=True)
        for check in registered("dataset"):
            figures.append(_measured(check, folder))
            print(f"{check}: {figures[-1].value:.0f} MB", file=sys.stderr, flush=True)
    print(write("power", figures, {"memory": 0.0}))
    return 0


def prepare(folder: Path) -> None:
    """Write rows, their teacher and the plan."""
    from bench.cohort import written_by
    from undertow.models import adapters

    writer = Writer("tuned", STUDENT, "owl", derive(SEED, "memory"), 0.3)
    with written_by(ground().experiment, writer) as writing:
        write_rows(folder / "rows.jsonl", writing.rows(ROWS, 1.0, (), SEED))
        adapters.save(writing.model, folder / "teacher")
    plan = PLAN.model_dump(exclude_defaults=True)
    (folder / "plan.toml").write_text("".join(f"{k} = {v}\n" for k, v in plan.items()))


def _measured(check: str, folder: Path) -> Figure:
    out = folder / check
    teacher = f"{STUDENT}+{folder / 'teacher'}"
    command = [sys.executable, "-m", "undertow", "scan", str(folder / "rows.jsonl")]
    options = {
        "--student": STUDENT,
        "--teacher": teacher,
        "--plan": str(folder / "plan.toml"),
        "--check": check,
        "--out": str(out),
        "--fail-on": "never",
    }
    for key, value in options.items():
        command += [key, value]
    subprocess.run(command, check=False, capture_output=True)
    return Figure(
        f"memory: {check}",
        read_scan(out).peak_memory_mb,
        "MB",
        command=COMMAND,
        note=f"peak of the whole process, {ROWS:,} rows; about 500 are the libraries",
    )


if __name__ == "__main__":
    sys.exit(main())
