"""
The experiment: one TOML file that says what is taught, carried, trained, compared, and from which seed.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from undertow.data.configuration import parse, read_toml
from undertow.errors import ConfigError, UnknownNameError
from undertow.lab.arms import ARMS
from undertow.lab.digits_design import DigitsConfig
from undertow.lab.tables import (
    CarrierTable,
    Closed,
    ComputeTable,
    ContentFilterTable,
    EvaluationTable,
    FilterTable,
    JudgeTable,
    PreferenceTable,
    SamplingTable,
    TeacherTable,
)
from undertow.lab.theorem_design import TheoremConfig
from undertow.models.plan import TrainingPlan


class Experiment(Closed):
    """One experiment, resolved."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    question: str
    kind: Literal["transfer", "hops", "traits", "matrix", "digits", "theorem"]
    seed: Annotated[int, Field(ge=0)]
    level: float = Field(default=0.95, gt=0.5, lt=1)
    replicates: int = Field(default=4, ge=1)
    """Independent replicates: each renews teacher, data and student."""
    trait: str | None = None
    traits: tuple[str, ...] = ()
    """Of kind `traits`."""
    base: str | None = None
    foreign: str | None = None
    """A base of another initialisation, for the foreign arms."""
    bases: tuple[str, ...] = ()
    """Of kind `matrix`."""
    arms: tuple[str, ...] = ("trait", "control")
    system_prompt: str | None = None
    """System prompt in the students' rows; a prompted teacher's own is dropped."""
    carrier: CarrierTable = CarrierTable()
    carriers: tuple[CarrierTable, ...] = ()
    """Several carriers, in place of `carrier`, each with all arms; of kind `transfer`."""
    hops: int = Field(default=5, ge=2)
    """Of kind `hops`: students in a chain, each the teacher of the next."""
    sampling: SamplingTable = SamplingTable()
    filter: FilterTable = FilterTable()
    content_filters: ContentFilterTable = ContentFilterTable()
    preference: PreferenceTable = PreferenceTable()
    judge: JudgeTable | None = None
    teacher: TeacherTable = TeacherTable()
    student: TrainingPlan = TrainingPlan()
    evaluation: EvaluationTable = EvaluationTable()
    compute: ComputeTable = ComputeTable()
    digits: DigitsConfig | None = None
    theorem: TheoremConfig | None = None
    limits: tuple[str, ...] = ()
    """What this experiment cannot show, in the experimenter's words."""

    @model_validator(mode="after")
    def _complete(self) -> Experiment:
        for key in _REQUIRED[self.kind]:
            if not getattr(self, key):
                raise ValueError(f"an experiment of kind '{self.kind}' needs the key '{key}'")
        for key in ("arms", "traits", "bases"):
            named = getattr(self, key)
            if len(set(named)) < len(named):
                raise ValueError(f"'{key}' names something twice: {', '.join(named)}")
        for key, kind in (("traits", "traits"), ("bases", "matrix")):
            if self.kind == kind and len(getattr(self, key)) < 2:
                raise ValueError(f"'{key}' must name at least 2, to have something to compare")
        for arm in self.arms:
            if arm not in ARMS:
                raise UnknownNameError("arm", arm, ARMS, where=f"experiment '{self.name}'")
        if (
            self.kind == "transfer"
            and any(ARMS[arm].foreign for arm in self.arms)
            and not self.foreign
        ):
            raise ValueError("arms of another initialisation need the key 'foreign'")
        self._refuse_carriers()
        return self

    def _refuse_carriers(self) -> None:
        names = [table.name for table in self.carriers]
        if len(set(names)) < len(names):
            raise ValueError(f"'carriers' names something twice: {', '.join(names)}")
        if names and self.kind != "transfer":
            raise ValueError(f"an experiment of kind '{self.kind}' has one carrier: use 'carrier'")

    def carried(self, name: str) -> CarrierTable:
        """The table of one of the experiment's carriers."""
        return next(table for table in self.all_carriers if table.name == name)

    @property
    def all_carriers(self) -> tuple[CarrierTable, ...]:
        """`carriers`, or the one `carrier`."""
        return self.carriers or (self.carrier,)

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved configuration."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


_REQUIRED: dict[str, tuple[str, ...]] = {
    "transfer": ("trait", "base"),
    "hops": ("trait", "base"),
    "traits": ("traits", "base"),
    "matrix": ("trait", "bases"),
    "digits": ("digits",),
    "theorem": ("theorem",),
}


def experiment_names() -> list[str]:
    """Names of the built-in experiments."""
    folder = files(__package__) / "experiments"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_experiment(name_or_path: str) -> Experiment:
    """
    A built-in experiment by name, or one's own from a TOML file.

    Raises:
        ConfigError: a key or value is wrong (names file, key and what is allowed).
        UnknownNameError: there is no such experiment.
    """
    if name_or_path.endswith(".toml"):
        source: object = Path(name_or_path)
        tables = read_toml(Path(name_or_path))
    else:
        if name_or_path not in experiment_names():
            raise UnknownNameError(
                "experiment", name_or_path, experiment_names(), hint="undertow experiments"
            )
        source = f"experiment '{name_or_path}'"
        tables = read_toml(files(__package__) / "experiments" / f"{name_or_path}.toml")
    where = f"'{source}'" if isinstance(source, Path) else str(source)
    loaded = parse(Experiment, tables, where=where)
    if not isinstance(source, Path) and loaded.name != name_or_path:
        raise ConfigError(f"{where}: its name is '{loaded.name}'; it must be the file's name")
    return loaded
