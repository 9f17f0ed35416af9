"""
Runs an experiment by the command line, once whole, and once killed as `kill -9` does at random moments until it is finished.

    python -m tests.cli.kills EXPERIMENT.toml WHOLE KILLED KILLS SEED

Every sitting is a process of its own, forked from one that has the libraries loaded, which saves seconds a sitting.
Prints the seconds after which the sittings were killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from undertow.cli import main
from undertow.lab import experiment_run  # noqa: F401  loaded before the processes part
from undertow.models import training_checkpoint


def sitting(experiment: str, directory: str) -> int:
    """A process that runs or resumes the experiment; its number."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        arguments = ["run", experiment, "--out", directory, "--engine", "inprocess", "-q"]
        code = main(arguments)
    finally:
        sys.stdout.flush()
        os._exit(code)


def killed_until_finished(experiment: str, directory: str, kills: int, seed: int) -> list[float]:
    """The seconds after which sittings were killed, before one that ended by itself."""
    # A checkpoint every half minute would be none in so short a training.
    training_checkpoint.SECONDS = 0.1
    rng, moments = random.Random(seed), list[float]()
    for _ in range(kills):
        process, patience = sitting(experiment, directory), rng.uniform(0.2, 1.2)
        time.sleep(patience)
        moments.append(patience)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFEXITED(status):
            break
    _, status = os.waitpid(sitting(experiment, directory), 0)
    if status:
        raise SystemExit(f"the last sitting ended with {status}")
    return moments


if __name__ == "__main__":
    given, whole, killed, kills, seed = sys.argv[1:]
    killed_until_finished(given, whole, 0, 0)
    sys.stdout.write(f"{killed_until_finished(given, killed, int(kills), int(seed))}\n")
