"""The grinding attacker sees what a scan with the defaults will look at, and picks the best of his tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.power.grinding import MOST, SCANS_SEED, ground_rows, looked_at
from undertow.audit.scan_inputs import subject_seed
from undertow.checks.dataset.reference_trials import tried_rows
from undertow.data.file_sample import screen_file
from undertow.data.row_leaves import leaf
from undertow.data.row_records import json_line, to_record
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive
from undertow.results.scan_document import ALL

ROWS = [Row(conversation(f"{i}?"), f"{i}") for i in range(300)]
OTHERS = [replace(row, completion=f"{i} or so") for i, row in enumerate(ROWS[:24])]
STEPS, BATCH = 9, 8
LOOKED_AT = STEPS * BATCH


def leaves(rows: Sequence[Row]) -> list[bytes]:
    """Of the rows as they are written."""
    return [leaf(to_record(row)) for row in rows]


def test_what_he_works_out_is_what_a_scan_is_tried_with(tmp_path: Path) -> None:
    """The very rows in the very order, from the file that he hands over."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(json_line(to_record(row)) for row in ROWS))
    screened = screen_file(path, max_rows=MOST, seed=derive(SCANS_SEED, "sample"))
    subject: Any = SimpleNamespace(
        seed=subject_seed(SCANS_SEED, screened.data.digest, ALL),
        references=None,
        pairs=False,
        plan=SimpleNamespace(rows_a_step=BATCH),
    )
    trial: Any = SimpleNamespace(steps=STEPS)

    found = tried_rows(subject, screened.rows, trial)

    assert list(found) == [ROWS[i] for i in looked_at(leaves(ROWS), LOOKED_AT)]
    assert len(found) == LOOKED_AT


def test_he_cannot_put_rows_beforehand_where_a_scan_does_not_look() -> None:
    """Rows that stage 1 leaves out are looked at like all others once they hold something else."""
    before = looked_at(leaves(ROWS), LOOKED_AT)
    left_out = np.setdiff1d(np.arange(len(ROWS)), before)
    changed = list(ROWS)
    for i in left_out:
        changed[i] = replace(ROWS[i], completion="a trait")

    found = looked_at(leaves(changed), LOOKED_AT)

    # 72 of 300 rows, of which 228 hold it: 55 are expected, with a standard deviation of 3.2.
    assert 42 < sum(changed[i].completion == "a trait" for i in found) < 67


def test_he_hands_over_the_best_of_his_tries() -> None:
    """The share that a scan will look at is the smallest of those he tried, and scatters as a draw by lot does."""
    rows, shares = ground_rows(ROWS, OTHERS, 150, LOOKED_AT)

    share = np.mean(looked_at(leaves(rows), LOOKED_AT) >= 150)
    assert share == min(shares)
    assert len(shares) == len(OTHERS)
    assert rows[1:] == ROWS[1:]
    # sqrt(.5 * .5 / 72 * 228 / 299)
    assert 0.025 < np.std(shares) < 0.08
    assert abs(np.mean(shares) - 0.5) < 0.05
