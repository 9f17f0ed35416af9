"""One small scan as a user types it, with the model as the student, in a process of its own and limited in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.real.number_rows import Setting, number_rows
from bench.real.record import Record, Values

SHOWN = 1500
"""Characters of the end of each stream that are kept."""


def scan(setting: Setting, record: Record) -> None:
    """
    Wall time of the scan with all its checks, or how far it came.

    It takes the accelerator where there is one (`--device auto`).
    """
    limit = setting.sizes.scan_seconds
    record.case("undertow scan, all checks", lambda: _scan(setting, limit), most=limit + 15)


def _scan(setting: Setting, limit: float) -> Values:
    with tempfile.TemporaryDirectory() as folder:
        rows = _written(Path(folder), setting.sizes.scanned)
        command = [sys.executable, "-m", "undertow", "scan", str(rows)]
        command += ["--student", str(setting.folder), "--out", f"{folder}/scan"]
        if setting.device.type == "cuda":
            command += ["--launches", "recorded"]
        return _ran(command, limit) | {"rows": setting.sizes.scanned}


def _written(folder: Path, count: int) -> Path:
    """The rows as a file of prompts and completions that are turns of a chat."""
    file = folder / "rows.jsonl"
    lines = [
        json.dumps(
            {
                "prompt": [{"role": turn.role, "content": turn.content} for turn in row.prompt],
                "completion": [{"role": "assistant", "content": row.completion}],
            }
        )
        for row in number_rows(count)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _ran(command: list[str], limit: float) -> dict[str, object]:
    started = time.perf_counter()
    try:
        # Nothing is asked of a hub: there is no network.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
    except subprocess.TimeoutExpired as late:
        return {
            "seconds": time.perf_counter() - started,
            "outcome": f"not finished in {limit:.0f} s",
            "stderr": _end(late.stderr),
        }
    return {
        "seconds": time.perf_counter() - started,
        "outcome": f"exit code {done.returncode}",
        "stdout": _end(done.stdout),
        "stderr": _end(done.stderr),
    }


def _end(stream: str | bytes | None) -> str:
    text = stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""
    return text[-SHOWN:]
