"""All that a diff reads besides its base: tuned models, a teacher and controls, each a job that an engine may do elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from undertow import __version__
from undertow.audit.control_students import (
    STUDENTS,
    TOGETHER,
    CleanRows,
    Students,
    clean_rows,
    student_jobs,
    training_in_words,
)
from undertow.audit.requests import DiffRequest, Progress
from undertow.checks.tuned.diff_subject import (
    Controls,
    ModelReading,
    Reader,
    draws,
    how_made,
    keep,
    kept,
)
from undertow.data.dataset import is_rows, nearby_file, open_dataset, place_of
from undertow.data.file_forms import COMPRESSIONS, FORMATS
from undertow.data.files import model_parts
from undertow.data.finished import cache_folder
from undertow.data.part_leaves import in_order
from undertow.data.seeds import derive, generator
from undertow.engines.engine import Engine, InProcess
from undertow.engines.work_progress import job_named
from undertow.errors import ConfigError, InputError, ModelError
from undertow.influence.open_search import other_traits
from undertow.models.hardware import AUTO, ComputeTable
from undertow.models.kept_work import unfinished_in
from undertow.models.language_model import (
    LanguageModel,
    looks_local,
    opened_once,
    refuse_absent,
)
from undertow.models.several_runs import several_runs
from undertow.models.training_checkpoint import CHECKPOINT, TrainingCheckpoint
from undertow.traits.trait import Trait
from undertow.worlds.base_models import Opening, locate, open_model, plan_for

SHIPPED = "shipped"
"""In the place of a control: the readings that ship for the base."""

KEPT = ".safetensors"
"""Ends the name of a file of readings that were kept."""

LARGE = 1_000_000_000
"""Weights of a base from which a pass is bound by its products, however many students share it."""

OF_MODELS = "the models given as controls are taken to have learned from rows of their own, no two from the same"


def reader_for(
    base: LanguageModel, traits: Sequence[Trait], system: str | None, seed: int
) -> Reader:
    """What is read of every model: the traits that are judged, and all else of the catalogue that the base can be asked."""
    return Reader.of(base, traits, other_traits(traits, base.tokenizer), system, seed)


@dataclass(frozen=True)
class ReadModel:
    """Reads a model that was tuned from the base, or trains control students and reads them; the callable that engines spread."""

    base: LanguageModel
    reader: Reader
    compute: ComputeTable = AUTO
    digest: str | None = None
    """Of the base; without one no unfinished training is kept."""
    opens: Callable[[], LanguageModel] | None = None
    """How another process comes to the base's weights, which do not travel."""
    kept: Path | None = None
    """Where the driver keeps unfinished trainings; they are kept where that is seen."""
    tell: Progress = lambda doing: None

    def __call__(self, job: str | Students) -> list[ModelReading]:
        """
        The reading of a model, by its reference, or those of the students.

        Raises:
            ModelError: the model cannot be opened, or has another vocabulary.
            DataError: a row is longer than the plan's or the base's limit.
        """
        if isinstance(job, str):
            self.tell(f"reading {job}")
            with self._named(f"reading {job}"):
                return [self._read(job)]
        size = len(job.clean.parts[0])
        self.tell(
            f"training {len(job.numbers)} control students on {job.file}, each on {size:,} rows"
        )
        with self._named(job.name):
            return self._trained(job)

    def __getstate__(self) -> dict[str, Any]:
        base: Any = replace(self.base, network=None)
        return {**self.__dict__, "base": base, "tell": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, tell=lambda doing: None)

    @property
    def _travelled(self) -> bool:
        return self.base.network is None

    def _named(self, name: str) -> AbstractContextManager[None]:
        """Elsewhere several are at work at a time, and what they tell bears their names."""
        return job_named(name) if self._travelled else nullcontext()

    def _read(self, ref: str) -> ModelReading:
        base = self.base
        model = open_model(ref, base.tokenizer.chat_template, self.compute)
        ours, theirs = base.tokenizer.get_vocab(), model.tokenizer.get_vocab()
        # A tuning may add tokens; it is read in the base's, which both have, and in its template.
        if not ours.items() <= theirs.items():
            raise ModelError(
                f"'{ref}' has another vocabulary than '{base.ref}' ({len(theirs):,} and {len(ours):,} tokens), "
                "so that it was not tuned from it",
                hint=f"undertow lineage {ref} {base.ref}",
            )
        return self.reader.read(replace(model, tokenizer=base.tokenizer), ref)

    def _trained(self, job: Students) -> list[ModelReading]:
        base = self.base
        if self._travelled and self.opens is not None:
            base = replace(base, network=opened_once(self.opens).network)
        clean, numbers = job.clean, job.numbers
        seeds = [derive(job.seed, "control student", k) for k in numbers]
        orders = [generator(job.seed, "control order", k) for k in numbers]
        total = clean.plan.steps(len(clean.parts[0]))
        readings: list[ModelReading] = []
        with self._checkpoint(base, clean, seeds) as checkpoint:
            runs = several_runs(
                base, clean.parts, clean.plan, orders, total, seeds, checkpoint=checkpoint
            )
            runs.advance_to(total)
            for place, number in enumerate(numbers):
                with runs.only(place) as student:
                    ref = f"control student {number + 1} of {job.file}"
                    reading = self.reader.read(student, ref)
                part = f"{number + 1} of {job.count}"
                readings.append(replace(reading, file=clean.digest, part=part))
        return readings

    @contextmanager
    def _checkpoint(
        self, base: LanguageModel, clean: CleanRows, seeds: Sequence[int]
    ) -> Iterator[TrainingCheckpoint | None]:
        """Of students on a base of that digest, if there is one, where the driver's cache is."""
        if self.digest is None or self.kept is None or not self.kept.is_dir():
            yield None
            return
        known = (__version__, self.digest, base.precision, clean.digest, seeds, clean.plan)
        name = hashlib.sha256(repr(known).encode()).hexdigest()[:32]
        with unfinished_in(self.kept, name) as folder:
            yield TrainingCheckpoint(folder / CHECKPOINT) if folder else None


@dataclass(frozen=True)
class Readings:
    """All that a diff reads but its base."""

    tuned: tuple[ModelReading, ...]
    teacher: ModelReading | None
    controls: tuple[ModelReading, ...]
    made: tuple[str, ...]
    """How each group of controls was made, a sentence each."""


def read_models(
    request: DiffRequest,
    digest: str | None,
    reader: Reader,
    base: LanguageModel,
    untouched: ModelReading,
    progress: Progress,
    engine: Engine | None = None,
) -> Readings:
    """
    Read controls, tuned models and teacher, each a job of the engine, in this process if there is none; `digest` is the base's.

    Raises:
        ConfigError: nobody says how many rows a student should learn from; or there is nothing to keep.
        DataError: a file has too few rows for its students, or cannot be read.
        InputError: kept readings are of something else.
        ModelError: a model cannot be opened, or has another vocabulary.
    """
    if request.keep_controls is not None and (not request.controls or digest is None):
        raise ConfigError("there are no controls to keep", hint="name some: --control DATA")
    groups = [_group(request, digest, reader, base, untouched, ref) for ref in request.controls]
    others = [*request.tuned, *filter(None, [request.teacher])]
    jobs = [*(job for group in groups for job in group.jobs), *others]
    opens = Opening(request.base, base.tokenizer.chat_template, request.compute)
    worker = ReadModel(base, reader, request.compute, digest, opens, cache_folder(), progress)
    results = in_order(_results(worker, jobs, engine or InProcess(), progress))
    controls = [
        one
        for group in groups
        for one in (*group.readings, *(one for _ in group.jobs for one in next(results)))
    ]
    made = [group.made for group in groups]
    if any(not reading.file for reading in controls):
        made.append(OF_MODELS)
    if len(draws(controls)) < len(controls):
        made.append(
            f"they learned from {len(draws(controls))} independent draws of rows, which is how many count"
        )
    if request.keep_controls is not None and digest is not None:
        keep(request.keep_controls, Controls(digest, "; ".join(made)), reader, untouched, controls)
    tuned = tuple(one for _ in request.tuned for one in next(results))
    teacher = next(results)[0] if request.teacher else None
    return Readings(tuned, teacher, tuple(controls), tuple(made))


def _results(
    worker: ReadModel, jobs: Sequence[str | Students], engine: Engine, progress: Progress
) -> Iterator[tuple[int, list[ModelReading]]]:
    """Those of each job behind its index, whichever ends first."""
    for done, (index, readings) in enumerate(engine.map(worker, jobs), start=1):
        if not isinstance(engine, InProcess):
            progress(f"{readings[-1].ref}: read ({done} of {len(jobs)} jobs)")
        yield index, readings


@dataclass(frozen=True)
class _Group:
    """The controls of one name: read before, or by jobs."""

    made: str
    """How, in a sentence."""
    jobs: tuple[str | Students, ...] = ()
    readings: tuple[ModelReading, ...] = ()


def _group(
    request: DiffRequest,
    digest: str | None,
    reader: Reader,
    base: LanguageModel,
    untouched: ModelReading,
    ref: str,
) -> _Group:
    if _is_kept(ref):
        path = shipped(digest, request.base) if ref == SHIPPED else Path(ref)
        return _Group(how_made(path), readings=tuple(kept(path, digest, reader, untouched)))
    if not is_rows(ref):
        return _Group(ref, (ref,))
    data = [name for name in request.controls if is_rows(name) and not _is_kept(name)]
    students = request.students or (STUDENTS if len(data) == 1 else 1)
    plan = plan_for(request.plan, request.base)
    clean = clean_rows(base, ref, plan, students, request.rows, request.seed)
    jobs = student_jobs(ref, clean, request.seed, _at_once(base))
    return _Group(_about(ref, clean, request.rows), jobs)


def _at_once(base: LanguageModel) -> int:
    """Students of a large base are a job each: side by side they gain nothing, and no other node could take any."""
    weights = sum(weight.numel() for weight in base.network.parameters())
    return 1 if weights >= LARGE else TOGETHER


def refuse_missing(request: DiffRequest) -> None:
    """
    Refuse a name that stands for nothing while nothing long was done: no weight of any model is read.

    Raises:
        DataError: a pattern or a URL of controls holds no rows.
        InputError: a file of kept readings is none; a control is neither rows nor a model.
        ModelError: a model is not there.
    """
    for ref in filter(None, (request.base, *request.tuned, request.teacher)):
        refuse_absent(locate(ref), ref)
    for ref in request.controls:
        if ref.endswith(KEPT):
            how_made(Path(ref))
        elif ref != SHIPPED and is_rows(ref):
            open_dataset(ref)
        elif ref != SHIPPED:
            _refuse_neither(ref)
            refuse_absent(locate(ref), ref)


def _refuse_neither(control: str) -> None:
    """Of what is not there nobody knows whether it was to be rows or a model."""
    base = model_parts(locate(control))[0]
    named_as_rows = Path(base).suffix in (*FORMATS, *COMPRESSIONS)
    if Path(base).exists() or not (named_as_rows or looks_local(base)):
        return
    raise InputError(
        f"the control '{control}' is neither a file of rows nor a model: no such file or folder",
        hint=f"for rows, name a file, a folder or a pattern that is there ({nearby_file(base)}); for a model, a folder, a "
        ".gguf file, org/name on the hub, or one of `undertow worlds`",
    )


def control_models(request: DiffRequest) -> list[str]:
    """Those of a diff's controls that are models."""
    return [ref for ref in request.controls if not (is_rows(ref) or _is_kept(ref))]


def _is_kept(ref: str) -> bool:
    return ref == SHIPPED or ref.endswith(KEPT)


def shipped(digest: str | None, base: str) -> Path:
    """
    The readings of controls that ship for a base.

    Raises:
        ConfigError: none do.
    """
    path = Path(str(files("undertow.worlds"))) / "controls" / f"{(digest or '')[:16]}.safetensors"
    if digest is None or not path.is_file():
        raise ConfigError(
            f"no controls ship for the base '{base}'",
            hint="give clean rows or benign fine-tunes: --control DATA",
        )
    return path


def _about(data: str, clean: CleanRows, rows: int | None) -> str:
    count, size = len(clean.parts), len(clean.parts[0])
    students = f"{count} students of {place_of(data).name}, each on {size:,} rows of its own"
    known = (
        f"the tuned model had {rows:,}"
        if rows
        else "the tuned model is taken to have had as many or more (--rows says how many)"
    )
    return f"{students} ({known}), {training_in_words(clean.plan, size)}"
