"""
Plans of a scan, and the calibration tables that cover them: those that ship, and those that a user made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from undertow.audit.control import cache_folder
from undertow.data.configuration import parse, read_toml
from undertow.data.writing import atomic_write
from undertow.errors import InputError
from undertow.models.plan import TrainingPlan
from undertow.results.calibration import CalibrationTable

_LENGTH = ("epochs", "max_steps", "micro_batch_size", "max_length")
"""What a plan's digest leaves out: how long it is (a table says which lengths it covers), and what moves no weight."""


def load_plan(path: Path) -> TrainingPlan:
    """
    A plan from a TOML file with the keys of `TrainingPlan`.

    Raises:
        ConfigError: a key or value is wrong.
    """
    return parse(TrainingPlan, read_toml(path), where=f"'{path}'")


def plan_digest(plan: TrainingPlan) -> str:
    """SHA-256 over everything of the plan but its length."""
    kept = {key: value for key, value in plan.model_dump(mode="json").items() if key not in _LENGTH}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def tables() -> Iterator[CalibrationTable]:
    """
    All calibration tables: a user's own first.

    Raises:
        InputError: a user's table cannot be read.
    """
    own = cache_folder() / "calibrations"
    for path in sorted(own.glob("*.json")) if own.is_dir() else []:
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
    base_digest: str | None, plan: TrainingPlan, steps: int
) -> tuple[CalibrationTable | None, str]:
    """(the table of this base and plan, or none; why there is none)."""
    found = tables_of(base_digest)
    if not found:
        return None, "no calibration of this base"
    same = [table for table in found if table.plan_digest == plan_digest(plan)]
    if not same:
        return None, "this base is calibrated under another plan"
    for table in same:
        if table.fewest_steps <= steps <= table.most_steps:
            return table, ""
    table = same[0]
    return None, (
        f"calibrated for {table.fewest_steps} to {table.most_steps} steps; this plan has {steps}"
    )
