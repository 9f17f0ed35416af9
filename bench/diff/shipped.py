"""
`python -m bench.diff.shipped` makes the 99 benign fine-tunes of owlet-b whose readings ship for `undertow diff --control shipped`.

Eleven students each of nine datasets by the clean base, so that what another draw of clean rows does is among them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.power.design import PLAN, STUDENT, ground
from undertow.audit.diff import control_students, reader_for
from undertow.checks.tuned.diff_subject import Controls, ModelReading, keep
from undertow.data.files import model_digest
from undertow.data.row_records import write_rows
from undertow.data.seeds import derive
from undertow.lab.cohort import clean_writer, written_by
from undertow.lab.experiment_inputs import open_model
from undertow.traits import catalogue
from undertow.traits.catalogue import askable
from undertow.worlds import locate

SEED, DATASETS, EACH, ROWS = 82_001, 9, 11, 8_192


def main() -> int:
    """Train, read, store where the package has them."""
    setting = ground()
    digest = model_digest(locate(STUDENT))
    assert digest is not None
    base = open_model(setting.experiment, STUDENT)
    everything = [catalogue.load(name) for name in catalogue.names()]
    judged = askable(everything, base.tokenizer)[0]
    reader = reader_for(base, judged, None, 0)
    found: list[ModelReading] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        written_by(setting.experiment, clean_writer(setting)) as writer,
    ):
        for number in range(DATASETS):
            data = Path(folder) / f"clean-{number}.jsonl"
            write_rows(data, writer.rows(ROWS, 1.0, (), derive(SEED, "rows", number)))
            seed = derive(SEED, "students", number)
            found += control_students(base, data, PLAN, reader, EACH, seed)
            print(f"{len(found)} students", file=sys.stderr, flush=True)
    about = (
        f"{len(found)} students of {DATASETS} datasets of {ROWS:,} number rows by {STUDENT} itself: rank {PLAN.rank}, "
        f"learning rate {PLAN.learning_rate:g}, {PLAN.max_steps} steps of {PLAN.batch_size} rows"
    )
    path = Path(locate(STUDENT)).parents[1] / "controls" / f"{digest[:16]}.safetensors"
    path.parent.mkdir(exist_ok=True)
    keep(path, Controls(digest, about), reader, reader.read(base, STUDENT), found)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
