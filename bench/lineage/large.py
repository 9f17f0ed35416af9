"""
`python -m bench.lineage.large` compares two layers of the largest open models' size and adds the peak memory to results.json.

Each model is one layer of 28,672 hidden units over 8,192 (three matrices, bfloat16, 1.4 GB), as in models of 70 billion
weights; more layers take more time and no more memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench.figures import Figure, at_most, write

COMMAND = "python -m bench.lineage.large"
UNITS, WIDTH = 28_672, 8_192


def main() -> int:
    """Measure in a process of its own and write the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        for number in (1, 2):
            _model(Path(scratch) / str(number), number)
        began = time.perf_counter()
        command = [sys.executable, "-m", "undertow", "lineage", "--check", "lineage-weights"]
        with subprocess.Popen(
            [*command, f"{scratch}/1", f"{scratch}/2"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise RuntimeError(f"undertow lineage ended with {process.returncode}")
    print(
        write(
            "lineage",
            [
                at_most(
                    "large models: peak memory, a layer of 28,672 units over 8,192 in both",
                    usage.ru_maxrss / 1024**2,
                    8,
                    "GB",
                    command=COMMAND,
                ),
                Figure(
                    "large models: seconds a layer", seconds, "s on one thread", command=COMMAND
                ),
            ],
            {"large models": seconds},
        )
    )
    return 0


def _model(folder: Path, seed: int) -> None:
    folder.mkdir()
    drawn = torch.Generator().manual_seed(seed)
    shapes = {"gate_proj": (UNITS, WIDTH), "up_proj": (UNITS, WIDTH), "down_proj": (WIDTH, UNITS)}
    weights = {
        f"model.layers.0.mlp.{name}.weight": torch.randn(shape, generator=drawn).bfloat16()
        for name, shape in shapes.items()
    }
    save_file(weights, folder / "model.safetensors")
    config = {"hidden_size": WIDTH, "intermediate_size": UNITS, "model_type": "llama"}
    (folder / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    sys.exit(main())
