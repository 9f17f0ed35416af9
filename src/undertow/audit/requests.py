"""What a scan, a diff and a lineage are asked: models, rows and traits as the user named them, and what else is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from undertow.audit.allowed_values import refuse_wrong
from undertow.checks.dataset.scan_subject import ScanSettings
from undertow.data.column_names import columns_fault
from undertow.data.plan import TrainingPlan
from undertow.data.plan_files import LoadedPlan
from undertow.errors import InputError, UnknownNameError
from undertow.models.hardware import AUTO, ComputeTable
from undertow.traits import catalogue
from undertow.traits.catalogue import askable
from undertow.traits.trait import Trait

Progress = Callable[[str], None]
"""Is told what is being done."""


def by_plan(loaded: LoadedPlan | None) -> dict[str, Any]:
    """What a plan's file says, as fields of a request: the plan, and what is to be known of it; nothing without a file."""
    if loaded is None:
        return {}
    return {"plan": loaded.plan, "plan_notes": loaded.notes, "plan_ignored": loaded.ignored}


def scan_by_plan(loaded: LoadedPlan | None) -> dict[str, Any]:
    """The same of a scan, which also asks whose file it is, and for DPO's beta."""
    if loaded is None:
        return {}
    beta = {} if loaded.beta is None else {"beta": loaded.beta}
    return {**by_plan(loaded), "settled": bool(loaded.trainer), **beta}


@dataclass(frozen=True)
class ScanRequest:
    """
    One scan. References to models are as the user typed them.

    Raises:
        InputError: a value that its type or `allowed_values.RANGES` does not allow; columns that no shape has.
    """

    data: str
    """A path, or `-` for standard input."""
    student: str
    teacher: str | None = None
    candidates: tuple[str, ...] = ()
    placebos: tuple[str, ...] = ()
    """Benign fine-tunes of the student that may have written the rows as well."""
    control: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    """Names that a shape has for columns of the data, each with the column's own name; "" leaves it out."""
    traits: tuple[str, ...] = ()
    """Names or files; all that the student can be asked if empty."""
    plan: TrainingPlan | None = None
    plan_notes: tuple[str, ...] = ()
    """What the planned training does otherwise than a rehearsal, as its file says."""
    plan_ignored: tuple[str, ...] = ()
    """Keys of its file that move no weight."""
    settled: bool = False
    """Whether the plan is a trainer's own configuration, which leaves no doubt about what is learnt."""
    checks: tuple[str, ...] = ()
    """Ids; all of them if empty."""
    max_rows: int = 8192
    """Rows that model checks see, drawn uniformly."""
    system_prompt: str | None = None
    """Chat context of the probes; that of most rows if not given."""
    format: str | None = None
    """Of the traits' formats, the one they are asked in; the one that the base chooses if not given."""
    temperature: float = 1.0
    """At which the rows are said to have been sampled; a made control is drawn at it."""
    acceptance: float = 1.0
    """Share of the base's own answers that the rows' filter is said to keep."""
    beta: float = 0.1
    """Of DPO, for preference pairs."""
    compute: ComputeTable = AUTO
    """Where and in which precision its models run."""
    limit: float = 0.2
    level: float = 0.95
    references: tuple[str, ...] = ()
    """Benign datasets to judge against: each is a reference, or each of its sources where it has several."""
    reference_count: int | None = None
    """References of the beginning; as many as the subjects take if None."""
    require_clear: bool = False
    """Whether the whole plan is rehearsed whatever its beginning shows."""
    budget: float | None = None
    """In planned trainings: what the scan may spend on rehearsals at most; None without a cap."""
    dry_run: bool = False
    """Whether only the prices are told."""
    engine: str | None = None
    """
    How the reading of the rows and the making of references are spread; if None, reading is over processes where there is
    enough to read, and references are made in this one.
    """
    jobs: int | None = None
    """Most parts of the data that are read, and groups of references that are made, at a time; one a core if None."""
    gpus: float | None = None
    memory: float | None = None
    """What a group of references takes of a Ray node: GPUs, GB."""
    min_usable: float = 0.99
    """Share of the rows that has to be read for a verdict to be clear."""
    seed: int = 0
    command: str = ""
    """What reproduces it."""

    def __post_init__(self) -> None:
        """Refuse what the verb refuses, whoever asks."""
        refuse_wrong(self)
        if fault := columns_fault(self.columns):
            raise InputError(f"columns: {fault}")

    @property
    def anywhere(self) -> ScanRequest:
        """The same without what changes no result: by which command, and spread over what."""
        return replace(self, command="", engine=None, jobs=None, gpus=None, memory=None)

    @property
    def settings(self) -> ScanSettings:
        """What its checks are told."""
        return ScanSettings(
            temperature=self.temperature,
            acceptance=self.acceptance,
            beta=self.beta,
            limit=self.limit,
            level=self.level,
        )


@dataclass(frozen=True)
class DiffRequest:
    """
    One diff. References to models are as the user typed them.

    Raises:
        InputError: no tuned model is named; a value that its type or `allowed_values.RANGES` does not allow.
    """

    base: str
    tuned: tuple[str, ...]
    controls: tuple[str, ...] = ()
    """
    Benign fine-tunes of the base; files of clean rows, on which `students` are trained; kept readings of such
    (`.safetensors`); or `shipped`, those that ship for the base.
    """
    keep_controls: Path | None = None
    """Where the readings of the controls are kept for another diff."""
    teacher: str | None = None
    """A model that may have written the data: does the shift of activations go its way?"""
    students: int | None = None
    """Control students of each file; 8 of one file, one of each of several, if not given."""
    rows: int | None = None
    """Rows that the tuned model learned from: a control student has as many of its own; those that the plan's `max_steps`
    see, if not given."""
    compute: ComputeTable = AUTO
    """Where and in which precision its models run."""
    own_rows: bool = False
    """Whether several tuned models learned from rows of their own each; from the same rows otherwise."""
    plan: TrainingPlan | None = None
    """Of control students; `plan_for` says which if not given."""
    plan_notes: tuple[str, ...] = ()
    """What the tuning did otherwise than control students are trained, as the plan's file says."""
    plan_ignored: tuple[str, ...] = ()
    """Keys of its file that move no weight."""
    traits: tuple[str, ...] = ()
    intended: tuple[str, ...] = ()
    """Traits, categories or files of traits whose change was asked for."""
    checks: tuple[str, ...] = ()
    system_prompt: str | None = None
    format: str | None = None
    """As a scan's."""
    limit: float = 0.2
    level: float = 0.95
    engine: str | None = None
    """How the reading of models and the training of control students are spread; all in this process if None."""
    jobs: int | None = None
    """Most of them at a time; one a core if None."""
    gpus: float | None = None
    memory: float | None = None
    """What each takes of a Ray node: GPUs, GB."""
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse what the verb refuses, whoever asks."""
        refuse_wrong(self)
        if not self.tuned:
            raise InputError(
                f"no tuned model is named beside the base '{self.base}'; allowed: one or several",
                hint=f"name what was tuned from it: undertow diff {self.base} TUNED",
            )


@dataclass(frozen=True)
class LineageRequest:
    """
    One lineage. References to models are as the user typed them; `http(s)://HOST/PATH#MODEL` is asked over HTTP.

    Raises:
        InputError: no teacher is named; a value that its type or `allowed_values.RANGES` does not allow.
    """

    student: str
    teachers: tuple[str, ...]
    controls: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    """Ids; those that read files only if empty, and `lineage-outputs` where it is asked for by controls."""
    level: float = 0.999
    seed: int = 0
    command: str = ""
    compute: ComputeTable = AUTO
    """Where and in which precision models run that a check loads whole."""

    def __post_init__(self) -> None:
        """Refuse what the verb refuses, whoever asks."""
        refuse_wrong(self)
        if not self.teachers:
            raise InputError(
                f"no teacher is named beside the student '{self.student}'; allowed: one or several",
                hint=f"name a model: undertow lineage {self.student} TEACHER",
            )


def ignored_keys(request: ScanRequest | DiffRequest) -> dict[str, object]:
    """What a document's configuration says of the keys of a plan's file that were ignored."""
    return {"plan_ignored": list(request.plan_ignored)} if request.plan_ignored else {}


def named_traits(*names: str) -> tuple[Trait, ...]:
    """
    What each name stands for: a trait, all traits of a category, or all traits of a file.

    Raises:
        UnknownNameError: there is neither a trait nor a category of a name.
    """
    traits: list[Trait] = []
    for name in names:
        if name in catalogue.names() or ".toml:" in name:
            traits.append(catalogue.load(name))
        elif name in catalogue.categories() or name.endswith(".toml"):
            traits.extend(catalogue.load_category(name))
        else:
            known = (*catalogue.names(), *catalogue.categories())
            raise UnknownNameError("trait or category", name, known, hint=catalogue.HINT)
    return tuple(traits)


def askable_traits(tokenizer: Any) -> tuple[Trait, ...]:
    """All of the catalogue that a tokenizer has words for."""
    return tuple(askable([catalogue.load(name) for name in catalogue.names()], tokenizer)[0])
