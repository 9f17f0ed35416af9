"""Plans of a scan, and the calibration tables that cover them: those that ship, and those that a user made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from undertow.checks.dataset.scan_subject import Coverage
from undertow.data.files import atomic_write
from undertow.data.plan import TrainingPlan, plan_digest
from undertow.errors import InputError
from undertow.results.model_documents import CalibrationTable

DEFAULT_PLAN = TrainingPlan(
    rank=8, alpha=16, learning_rate=2e-4, schedule="linear", epochs=3, batch_size=16
)
"""LoRA on all linear layers, as most fine-tunes of number lists in the literature (Cloud et al. 2507.14805)."""


def cache_folder() -> Path:
    """
    Where controls, calibrations and unfinished scans are kept: `$UNDERTOW_CACHE`, or the user's cache folder.
    """
    given = os.environ.get("UNDERTOW_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow"


def tables() -> Iterator[CalibrationTable]:
    """
    All calibration tables: a user's own first.

    Raises:
        InputError: a user's table cannot be read.
    """
    folder = cache_folder() / "calibrations"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            yield CalibrationTable.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InputError(
                f"'{path}' is no calibration table: {error.errors()[0]['msg']}",
                hint="remove it, and run undertow calibrate again",
            ) from error
    for entry in sorted(files("undertow.worlds").joinpath("calibration").iterdir(), key=str):
        if entry.name.endswith(".json"):
            yield CalibrationTable.model_validate_json(entry.read_bytes())


def tables_of(base_digest: str | None) -> list[CalibrationTable]:
    """Those of a base."""
    return [table for table in tables() if base_digest and table.base_digest == base_digest]


def store_table(table: CalibrationTable) -> Path:
    """Keep a table where scans find it."""
    folder = cache_folder() / "calibrations"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table.base_digest[:16]}-{table.plan_digest[:16]}.json"
    atomic_write(path, table.model_dump_json(by_alias=True, indent=1) + "\n")
    return path


def covering(
    base_digest: str | None, plan: TrainingPlan, steps: int, *, pairs: bool = False
) -> Coverage:
    """The table of this base that covers so many steps of the plan, or why there is none."""
    if pairs:
        return Coverage(None, "tables are for completions, and these are preference pairs")
    of_base = tables_of(base_digest)
    if not of_base:
        return Coverage(None, "no calibration of this base")
    of_plan = [table for table in of_base if table.plan_digest == plan_digest(plan)]
    if not of_plan:
        return Coverage(None, "this base is calibrated under another plan")
    for table in of_plan:
        if table.fewest_steps <= steps <= table.most_steps:
            return Coverage(table, "")
    first = of_plan[0]
    return Coverage(
        None,
        f"calibrated for {first.fewest_steps} to {first.most_steps} steps; this plan has {steps}",
    )


def plan_for(given: TrainingPlan | None, base_digest: str | None) -> TrainingPlan:
    """The plan that was given; or the one that this base is calibrated under; or `DEFAULT_PLAN`."""
    if given is not None:
        return given
    known = tables_of(base_digest)
    return TrainingPlan.model_validate(known[0].plan) if known else DEFAULT_PLAN
