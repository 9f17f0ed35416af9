"""
`python -m bench.diff.shipped` makes the 59 benign fine-tunes of owlet-b whose readings ship for `undertow diff --control shipped`.

One student of each of 59 datasets by the clean base: students of one dataset share what is peculiar to it, and count as one.
59 is the least number of which one draw keeps, with 95 % confidence, "beyond all of them" at 5 % at most.
What is finished is kept in runs/bench/diff-shipped, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.cohort import clean_writer, written_by
from bench.diff.level import Scene
from bench.figures import BENCH
from bench.power.evidence_design import PLAN, STUDENT, ground
from undertow.audit.control_students import TOGETHER, CleanRows, training_in_words
from undertow.checks.tuned.diff_subject import Controls, ModelReading, keep, kept
from undertow.data.files import model_digest
from undertow.data.rows import Row, dataset_digest
from undertow.data.seeds import derive
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

WORK = BENCH.parent / "runs" / "bench" / "diff-shipped"
SEED, DATASETS, ROWS = 82_002, 59, 8_192


def main() -> int:
    """Train, read, store where the package has them."""
    scene, setting = Scene.opened(), ground()
    digest = model_digest(locate(STUDENT))
    assert digest is not None
    WORK.mkdir(parents=True, exist_ok=True)
    found: list[ModelReading] = []
    with written_by(setting.experiment, clean_writer(setting)) as writer:
        for start in range(0, DATASETS, TOGETHER):
            path = WORK / f"{start:03d}.safetensors"
            if not path.is_file():
                numbers = range(start, min(DATASETS, start + TOGETHER))
                written = [
                    writer.rows(ROWS, 1.0, (), derive(SEED, "rows", number)) for number in numbers
                ]
                made = _students(scene, written, start)
                keep(path, Controls(digest, ""), scene.reader, scene.start, made)
            found += kept(path, digest, scene.reader, scene.start)
            print(f"{len(found)} students", file=sys.stderr, flush=True)
    about = (
        f"{len(found)} students, each of a dataset of its own of {ROWS:,} number rows by {STUDENT} itself: "
        f"{training_in_words(PLAN, ROWS)}"
    )
    path = Path(locate(STUDENT)).parents[1] / "controls" / f"{digest[:16]}.safetensors"
    keep(path, Controls(digest, about), scene.reader, scene.start, found)
    print(path)
    return 0


def _students(scene: Scene, written: Sequence[Sequence[Row]], start: int) -> list[ModelReading]:
    """A student of each dataset."""
    parts = tuple(tuple(encode_rows(scene.base.tokenizer, rows, PLAN.policy)) for rows in written)
    clean = CleanRows(parts, str(start), PLAN)
    made = scene.students("clean", clean, SEED)
    return [
        replace(
            reading,
            ref=f"student of clean dataset {start + k + 1}",
            file=dataset_digest(rows),
            part="",
        )
        for k, (reading, rows) in enumerate(zip(made, written, strict=True))
    ]


if __name__ == "__main__":
    sys.exit(main())
