"""
The experiment: one TOML file that says what is taught, carried, trained, compared, and from which seed.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from undertow.data.configuration import parse, read_toml
from undertow.errors import ConfigError, UnknownNameError
from undertow.lab.digits_design import DigitsConfig
from undertow.lab.theorem_design import TheoremConfig
from undertow.models.plan import TrainingPlan

ARMS = (
    "trait",
    "control",
    "shuffled-within",
    "shuffled-across",
    "foreign",
    "foreign-control",
)
"""Arms that an experiment of kind `transfer` may have; the untrained base is always evaluated."""


class Closed(BaseModel):
    """
    Base of every table of an experiment file: frozen, unknown keys refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class CarrierTable(Closed):
    """
    What the teacher writes.
    """

    name: str = "numbers"
    rows: int = Field(default=10_000, ge=8)
    """Rows that a student is trained on."""
    held_out_rows: int = Field(default=256, ge=8)
    """Further rows of the same data, for the held-out loss."""
    oversample: float = Field(default=1.1, ge=1)
    """Requests for each row wanted, in the first round; more rounds follow while the filter leaves too few."""
    options: dict[str, object] = Field(default_factory=dict)
    """Options of the carrier."""


class SamplingTable(Closed):
    """
    How the teacher's answers are drawn.
    """

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=64, ge=1)
    batch_size: int = Field(default=512, ge=1)
    restricted: bool = False
    """Draw only tokens that the carrier allows, instead of drawing freely and filtering."""


class FilterTable(Closed):
    """
    What removes rows besides the carrier's format.
    """

    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


class TeacherTable(Closed):
    """
    How the trait is instilled.
    """

    kind: Literal["tuned", "prompted", "steered"] = "tuned"
    plan: TrainingPlan = TrainingPlan(batch_size=8, epochs=40)
    """Of a tuned teacher."""
    kl: float | None = Field(default=None, gt=0)
    """
    Strength of a tuned teacher of the trait, as KL from the base in nats per carrier token: after training, the
    weights are moved along their straight way from the start to where it is this. None leaves them as trained.
    """
    kl_rows: int = Field(default=128, ge=8)
    """Rows of the base on which that KL is measured."""
    system_prompt: str | None = None
    """Of a prompted teacher; the trait's own by default."""
    layer: int | None = None
    """Of a steered teacher: the layer whose output is shifted; the middle one by default."""
    strength: float = Field(default=1.0, gt=0)
    """Of a steered teacher: how many times the mean difference of activations is added."""


class ComputeTable(Closed):
    """
    Where and in which precision the models run.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the base's weights; adapters are trained in float32."""


class EvaluationTable(Closed):
    """
    How a model is probed.
    """

    system_prompt: str | None = None
    """Chat context of the probes; should be that of the students' rows."""
    samples: int = Field(default=20, ge=0)
    """Sampled answers a held-out question; 0 leaves the pick rate out."""
    max_tokens: int = Field(default=6, ge=1)


class Experiment(Closed):
    """
    One experiment, resolved.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    question: str
    kind: Literal["transfer", "traits", "matrix", "digits", "theorem"]
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
    sampling: SamplingTable = SamplingTable()
    filter: FilterTable = FilterTable()
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
            and any("foreign" in arm for arm in self.arms)
            and not self.foreign
        ):
            raise ValueError("the arms 'foreign' and 'foreign-control' need the key 'foreign'")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved configuration."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


_REQUIRED: dict[str, tuple[str, ...]] = {
    "transfer": ("trait", "base"),
    "traits": ("traits", "base"),
    "matrix": ("trait", "bases"),
    "digits": ("digits",),
    "theorem": ("theorem",),
}


def experiment_names() -> list[str]:
    """
    Names of the built-in experiments.
    """
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
