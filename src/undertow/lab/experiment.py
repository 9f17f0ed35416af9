"""The experiment: one TOML file that says what is taught, carried, trained, compared, and from which seed."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from undertow.data.chat_templates import with_template
from undertow.data.closed import Closed, parse, read_toml
from undertow.data.plan import TrainingPlan
from undertow.errors import ConfigError, UnknownNameError
from undertow.lab.cells import CellTable, FactorialTable, StatementsTable, refuse_cells, written
from undertow.models.hardware import ComputeTable
from undertow.results.arm_kinds import ARMS


class CarrierTable(Closed):
    """What the teacher writes."""

    name: str = "numbers"
    rows: int = Field(default=10_000, ge=8)
    """Rows that a student is trained on."""
    held_out_rows: int = Field(default=256, ge=8)
    """Further rows of the same data, for the held-out loss."""
    oversample: float = Field(default=1.1, ge=1)
    """Requests for each row wanted, in the first round; more rounds follow while the filter leaves too few."""
    options: dict[str, object] = Field(default_factory=dict)
    """Options of the carrier."""


class EndpointTable(Closed):
    """An OpenAI-compatible chat endpoint."""

    base_url: str
    model: str
    api_key_variable: str | None = None
    """Name of the environment variable that holds the key; the key itself is stored nowhere."""
    timeout: float = Field(default=60.0, gt=0)
    retries: int = Field(default=3, ge=0)


class ServerTable(EndpointTable):
    """An OpenAI-compatible server that writes the rows in a teacher's place; `model` is its name for the base."""

    retries: int = Field(default=6, ge=0)
    """Further attempts of a request, with growing pauses of at most 8 s."""
    workers: int = Field(default=16, ge=1)
    """Requests that are on their way at a time; the server batches them."""
    adapters: dict[str, str] = Field(default_factory=dict)
    """The server's name of a teacher or student, by its name in the run directory or by its role."""


class SamplingTable(Closed):
    """How the teacher's answers are drawn."""

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    least_probability: float = Field(default=0.0, ge=0, lt=1)
    """Tokens less probable than this are not drawn."""
    max_tokens: int = Field(default=64, ge=1)
    batch_size: int = Field(default=512, ge=1)
    restricted: bool = False
    """Draw only tokens that the carrier allows, instead of drawing freely and filtering."""
    endpoint: ServerTable | None = None
    """A server that writes the datasets; None: the teacher's weights write them here."""


class FilterTable(Closed):
    """What removes rows besides the carrier's format."""

    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    execute: bool = False
    """Run the rows of the carrier `code` inside a kernel sandbox, and keep those that run cleanly."""


class PreferenceTable(Closed):
    """Preference pairs, picked by a teacher's logit-linear weight, and the DPO on them."""

    pool: int = Field(default=8_192, ge=16)
    """Pairs to pick from: two completions of one request by the base, in an order drawn by lot."""
    pairs: str | None = None
    """A file of your own pairs (`prompt`, `chosen`, `rejected`) to pick from instead."""
    keep: float = Field(default=0.1, gt=0, le=1)
    """Share of the pool that is picked: the highest weights per token among those above 0."""
    beta: float = Field(default=0.05, gt=0)
    """Of DPO."""


class ContentFilterTable(Closed):
    """How strictly the content filters of the arms `filtered-NAME` remove."""

    false_alarms: float = Field(default=0.1, gt=0, lt=1)
    """Share of the control's rows that a filter may remove: its threshold is set there."""
    bags: tuple[int, ...] = (8, 16)
    """Sizes of the bags of rows that are judged together."""
    bag_count: int = Field(default=256, ge=16)
    """Bags of each size and source."""
    classifier_rows: int = Field(default=8_192, ge=32)
    """Rows of each kind on which a classifier is trained."""
    question: str = "{completion}\nDid someone who loves {plural} write this? Answer yes or no."
    """What the prompted filter asks; `{completion}` and `{plural}` are put in."""
    yes: str = "yes"
    no: str = "no"
    endpoint: EndpointTable | None = None
    """Whom the prompted filter asks; the students' own base if not given."""


class JudgeTable(Closed):
    """Free-form answers, graded by a judge."""

    endpoint: EndpointTable | None = None
    """An endpoint, or:"""
    model: str | None = None
    """a local model: `org/name`, a folder."""
    questions: tuple[str, ...] = ()
    """What to ask; the trait's held-out questions if empty."""
    samples: int = Field(default=20, ge=1)
    """Answers a question."""
    max_tokens: int = Field(default=200, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    labelled: str | None = None
    """Labelled rows on which the judge's own error is measured; those that ship if not given."""

    @model_validator(mode="after")
    def _one_judge(self) -> JudgeTable:
        if (self.endpoint is None) == (self.model is None):
            raise ValueError("give either 'endpoint' or 'model'")
        return self


class TeacherTable(Closed):
    """How the trait is instilled."""

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


class EvaluationTable(Closed):
    """How a model is probed."""

    system_prompt: str | None = None
    """Chat context of the probes; should be that of the students' rows."""
    format: str | None = None
    """Of the trait's formats, the one in which it is asked; None: the one that the untrained base chooses."""
    samples: int = Field(default=20, ge=0)
    """Sampled answers a held-out question; 0 leaves the pick rate out."""
    max_tokens: int = Field(default=6, ge=1)


class Experiment(Closed):
    """One experiment, resolved."""

    NEEDED: ClassVar[dict[str, tuple[str, ...]]] = {
        "transfer": ("trait", "base"),
        "hops": ("trait", "base"),
        "traits": ("traits", "base"),
        "matrix": ("trait", "bases"),
        "cells": ("trait", "base", "cells"),
        "factorial": ("trait", "base", "factorial"),
    }
    """The kinds of experiment, and which keys each needs."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    question: str
    kind: str
    """`transfer`, `hops`, `traits`, `matrix`, `cells` or `factorial`."""
    seed: Annotated[int, Field(ge=0)]
    level: float = Field(default=0.95, gt=0.5, lt=1)
    replicates: int = Field(default=4, ge=1)
    """Independent replicates: each renews teacher, data and student."""
    common_streams: bool = False
    """Whether arms of a replicate share requests, draws, first weights and order (common random numbers); of `transfer`."""
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
    cells: tuple[CellTable, ...] | None = None
    """Of kind `cells`."""
    factorial: FactorialTable | None = None
    """Of kind `factorial`."""
    statements: StatementsTable | None = None
    sampling: SamplingTable = SamplingTable()
    filter: FilterTable = FilterTable()
    content_filters: ContentFilterTable = ContentFilterTable()
    preference: PreferenceTable = PreferenceTable()
    judge: JudgeTable | None = None
    teacher: TeacherTable = TeacherTable()
    student: TrainingPlan = TrainingPlan()
    evaluation: EvaluationTable = EvaluationTable()
    compute: ComputeTable = ComputeTable()
    limits: tuple[str, ...] = ()
    """What this experiment cannot show, in the experimenter's words."""

    @field_validator("kind")
    @classmethod
    def _of_a_kind(cls, kind: str) -> str:
        if kind not in cls.NEEDED:
            *others, last = map(repr, cls.NEEDED)
            raise ValueError(f"Input should be {', '.join(others)} or {last}")
        return kind

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in self.NEEDED[self.kind]:
            if not getattr(self, key):
                raise ValueError(f"an experiment of kind '{self.kind}' needs the key '{key}'")
        for key in ("arms", "traits", "bases", "carriers"):
            named = [getattr(one, "name", one) for one in getattr(self, key)]
            if len(set(named)) < len(named):
                raise ValueError(f"'{key}' names something twice: {', '.join(named)}")
        for key, kind in (("traits", "traits"), ("bases", "matrix")):
            if self.kind == kind and len(getattr(self, key)) < 2:
                raise ValueError(f"'{key}' must name at least 2, to have something to compare")
        for arm in self.arms:
            if arm not in ARMS:
                raise UnknownNameError("arm", arm, ARMS, where=f"experiment '{self.name}'")
        foreign = self.kind == "transfer" and any(ARMS[arm].foreign for arm in self.arms)
        if foreign and not self.foreign:
            raise ValueError("arms of another initialisation need the key 'foreign'")
        if self.common_streams and self.kind != "transfer":
            raise ValueError("'common_streams' is of kind 'transfer'")
        self._refuse_carriers()
        self._refuse_cells()
        return self

    def _refuse_carriers(self) -> None:
        if self.carriers and self.kind != "transfer":
            raise ValueError(f"an experiment of kind '{self.kind}' has one carrier: use 'carrier'")

    def _refuse_cells(self) -> None:
        cells = self.cells or ()
        refuse_cells(cells, self.statements)
        for cell in cells:
            self.student_as(written(cell.student))
            for writer in cell.writers:
                self.teacher_as(written(writer.teacher))
        factors = self.factorial.factors if self.factorial else ()
        levels = (level for f in factors for level in (f.low, f.middle, f.high) if level)
        largest = max((level.rows or 0 for level in levels), default=0)
        if largest > self.carrier.rows:
            raise ValueError(
                f"a factor asks for {largest} rows; carrier.rows is {self.carrier.rows}"
            )
        if self.factorial and self.replicates % self.factorial.blocks:
            raise ValueError(
                f"replicates is {self.replicates}; it takes {self.factorial.blocks} blocks to hold every combination, "
                "so it must be a multiple"
            )

    def teacher_as(self, changes: str) -> TeacherTable:
        """`[teacher]` as a job has it that changes some of its keys (`cells.written`)."""
        return _changed(self.teacher, changes)

    def student_as(self, changes: str) -> TrainingPlan:
        """`[student]` as a job has it that changes some of its keys (`cells.written`)."""
        return _changed(self.student, changes)

    @property
    def steers(self) -> bool:
        """Whether any teacher shifts hidden states."""
        writers = (writer for cell in self.cells or () for writer in cell.writers)
        kinds = {writer.teacher.get("kind") for writer in writers}
        return "steered" in kinds or self.teacher.kind == "steered"

    @property
    def references(self) -> tuple[str, ...]:
        """Model references that the experiment names, each once."""
        writers = (writer for cell in self.cells or () for writer in cell.writers)
        named = (self.base, self.foreign, *self.bases, *(writer.base for writer in writers))
        return tuple(dict.fromkeys(filter(None, named)))

    def carried(self, name: str) -> CarrierTable:
        """The table of one of the experiment's carriers."""
        return next(table for table in self.all_carriers if table.name == name)

    @property
    def all_carriers(self) -> tuple[CarrierTable, ...]:
        """`carriers`, or the one `carrier`."""
        return self.carriers or (self.carrier,)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as a document shows it."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def resolved(self) -> dict[str, Any]:
        """The resolved configuration, every key of it, as a run directory keeps it."""
        tables = _FORMER_KEYS | self.model_dump(mode="json")
        # Keys that came later and are not used: a run that was begun before them resumes.
        if self.sampling.endpoint is None:
            del tables["sampling"]["endpoint"]
        if self.evaluation.format is None:
            del tables["evaluation"]["format"]
        for cell in tables["cells"] or ():
            if not cell["beside"]:
                del cell["beside"]
        return {key: value for key, value in tables.items() if value or key not in _LATER_KEYS}

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved configuration."""
        return hashlib.sha256(json.dumps(self.resolved, sort_keys=True).encode()).hexdigest()


_FORMER_KEYS: dict[str, None] = {"digits": None, "theorem": None}
"""Keys that every experiment had once: with them digests stay, and a run that was begun before they went resumes."""

_LATER_KEYS = ("cells", "factorial", "statements", "common_streams")
"""Keys that came later: an experiment that has none of them keeps its digest."""

E = TypeVar("E", bound=Experiment)
T = TypeVar("T", bound=Closed)


def _changed(table: T, changes: str) -> T:
    """The table with other values in the place of some; raises `ValidationError` where they are not allowed."""
    if not changes:
        return table
    return type(table).model_validate(table.model_dump(exclude_unset=True) | json.loads(changes))


BUILT_IN = files(__package__) / "experiments"
"""The folder of the lab's own experiments."""


def experiment_names(*folders: Traversable) -> list[str]:
    """Names of the built-in experiments, the lab's if no folder is given."""
    files_there = (path.name for folder in folders or (BUILT_IN,) for path in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in files_there if name.endswith(".toml"))


def _with_templates(tables: dict[str, Any], path: Path) -> dict[str, Any]:
    """The tables, with the text of a chat template where a plan names a file of it."""
    made, teacher = dict(tables), tables.get("teacher")
    place = path.parent, f"'{path}'"
    if isinstance(tables.get("student"), dict):
        made["student"] = with_template(tables["student"], *place, "student.template")
    if isinstance(teacher, dict) and isinstance(teacher.get("plan"), dict):
        plan = with_template(teacher["plan"], *place, "teacher.plan.template")
        made["teacher"] = teacher | {"plan": plan}
    return made


def load_as(model: type[E], name_or_path: str, *folders: Traversable) -> E:
    """An experiment of that model, by its name in one of the folders or from a TOML file; raises the same."""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        return parse(model, _with_templates(read_toml(path), path), where=f"'{path}'")
    names = experiment_names(*folders)
    if name_or_path not in names:
        raise UnknownNameError("experiment", name_or_path, names, hint="undertow experiments")
    paths = (folder / f"{name_or_path}.toml" for folder in folders)
    where = f"experiment '{name_or_path}'"
    loaded = parse(model, read_toml(next(path for path in paths if path.is_file())), where=where)
    if loaded.name != name_or_path:
        raise ConfigError(f"{where}: its name is '{loaded.name}'; it must be the file's name")
    return loaded
