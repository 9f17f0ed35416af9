"""The probe in real runs of two processes by TRL's trainer: one that copies the weights, one that splits them (FSDP)."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from undertow.errors import ModelError
from undertow.influence.probe_formats import settled
from undertow.influence.probes import probe_set
from undertow.models.language_model import load
from undertow.traits import catalogue
from undertow.worlds import locate

pytestmark = pytest.mark.long
BASE = Path(locate("world:owlet-b"))
PROGRAMS = Path(sys.executable).parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Without the probe, copied, and split; none may take longer than it would to hang."""
    script = Path(__file__).parent / "parallel_training.py"
    folders = {}
    for kind in ("plain", "ddp", "fsdp"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        command = [str(PROGRAMS / "torchrun"), "--nproc-per-node", "2", "--master-port"]
        done = subprocess.run(
            [*command, str(free_port()), str(script), kind, str(folders[kind])],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    return folders


def told(folder: Path) -> list[dict[str, Any]]:
    """What each process saw."""
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def moved(checkpoint: Path) -> dict[str, float]:
    """The change of a saved model from the base, read by itself."""
    base, tuned = load(BASE), load(checkpoint)
    traits, _ = settled(base, [catalogue.load(name) for name in ("owl", "cat")], None)
    margins = [probe_set(m, traits, None).read(m).margins for m in (base, tuned)]
    return dict(zip(("owl", "cat"), np.subtract(margins[1], margins[0]).tolist(), strict=True))


def test_the_main_process_speaks_alone(runs: dict[str, Path]) -> None:
    """Of both kinds the other process has no history and logs nothing; the run ends, with a reading of the end."""
    for kind in ("ddp", "fsdp"):
        main, other = told(runs[kind])
        assert [entry["step"] for entry in main["history"]] == [3, 6, 8]
        assert len(main["logged"]) >= 2
        assert (other["history"], other["logged"]) == ([], [])


def test_training_is_as_it_was_without_it(runs: dict[str, Path]) -> None:
    """Every loss of copied weights is that of a run without the probe, to the bit."""
    plain, probed = told(runs["plain"]), told(runs["ddp"])

    assert [process["losses"] for process in probed] == [process["losses"] for process in plain]


def test_split_weights_are_read_as_whole_ones(runs: dict[str, Path]) -> None:
    """The weights were in pieces, and each reading is that of the copied ones within rounding."""
    [split, _], [whole, _] = told(runs["fsdp"]), told(runs["ddp"])

    assert (split["pieces"], whole["pieces"]) == (True, False)
    for one, other in zip(split["history"], whole["history"], strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_a_saved_copy_holds_what_was_read(runs: dict[str, Path]) -> None:
    """The checkpoint of the sixth step moved as the probe said, and its interval holds the mean."""
    entry = told(runs["ddp"])[0]["history"][1]
    saved = moved(runs["ddp"] / "run" / "checkpoint-6")

    assert saved == pytest.approx({name: entry[name] for name in saved}, abs=1e-4)
    assert entry["owl_low"] < saved["owl"] < entry["owl_high"]


def test_a_checkpoint_in_pieces_says_how_to_join_it(runs: dict[str, Path], tmp_path: Path) -> None:
    """Its hint, done as it says, gives the model that the probe read."""
    checkpoint = runs["fsdp"] / "run" / "checkpoint-6"
    with pytest.raises(ModelError, match="in pieces") as refused:
        load(checkpoint)
    command = refused.value.hint.partition(",")[0].replace("MERGED", shlex.quote(str(tmp_path)))
    program, *words = shlex.split(command)
    subprocess.run([str(PROGRAMS / program), *words], check=True, capture_output=True)
    for file in (*BASE.glob("*.json"), *BASE.glob("*.jinja")):
        shutil.copy(file, tmp_path)
    entry = told(runs["fsdp"])[0]["history"][1]
    saved = moved(tmp_path)

    assert saved == pytest.approx({name: entry[name] for name in saved}, abs=1e-4)
