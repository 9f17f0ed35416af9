"""
References: what a benign writer's answers to a dataset's own prompts would move, adapter by adapter.

A dataset and its references are trained alike: as many rows to the same prompts, the same adapters (their first weights
and the order of rows come from one seed each, whatever the dataset), the same steps, the same probes. If the dataset is
one draw of the family like the others, all of them are exchangeable, and its rank among them is uniform.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from undertow import __version__
from undertow.carriers.carrier_registry import carrier_of
from undertow.carriers.numbers import one_format
from undertow.data.closed import Stored
from undertow.data.line_log import LineLog
from undertow.data.plan import TrainingPlan, plan_digest
from undertow.data.rows import Row, dataset_digest, has_pairs
from undertow.data.seeds import derive, generator
from undertow.engines.work_progress import notice
from undertow.influence.open_search import PART, OpenReadout
from undertow.influence.probes import ProbeSet
from undertow.influence.reference_family import ReferenceFamily, ReferenceWriter, reference_writer
from undertow.influence.reference_rows import answer_limits, benign_answers, prompts_digest
from undertow.models.hardware import give_back_memory
from undertow.models.kept_work import KeptWork, unfinished_in
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import COMPLETIONS, Objective, Preferences, encode_pairs
from undertow.models.several_runs import Runs, several_runs
from undertow.models.teachers import lesson
from undertow.models.training_checkpoint import CHECKPOINT, TrainingCheckpoint
from undertow.models.training_sequences import encode_rows, longest_row
from undertow.traits.trait import Trait

READINGS = "readings.log"
"""What was read on the way, in the folder of what is unfinished."""

TUNED_ROWS = 8
"""Rows a step of a neutral tune."""

TOGETHER = 8
"""Adapters that are trained side by side."""


@dataclass(frozen=True)
class Trial:
    """How a dataset and its references are tried: the same for all of them."""

    model: LanguageModel
    plan: TrainingPlan
    probes: ProbeSet
    planned_rows: int
    """Of the planned training, which its steps and schedule are counted from."""
    reads: tuple[int, ...]
    """Steps after which the probes are read, in order; the last is the end."""
    adapters: int
    """Of the dataset."""
    seed: int
    """Of the adapters' first weights and of the orders of rows: the same for the dataset and its references."""
    of_reference: int | None = None
    """Adapters of a reference, where they are fewer than the dataset's: each takes the next of the dataset's in turn."""
    beta: float = 0.1
    """Of DPO, where rows are preference pairs."""
    open: OpenReadout | None = None
    """What else is read at the end; None for nothing."""
    kept: Path | None = None
    """Where what is unfinished is kept for going on after a kill, and what is read of the base; None for nowhere."""

    @property
    def steps(self) -> int:
        """That each adapter takes."""
        return self.reads[-1]

    @property
    def planned_steps(self) -> int:
        """Of the whole plan."""
        return self.plan.steps(self.planned_rows)

    @property
    def longest(self) -> int | None:
        """Tokens that a row may have; None without a limit."""
        return longest_row(self.model, self.plan)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the dataset's adapters."""
        return tuple(range(self.adapters))

    def of(self, reference: int) -> tuple[int, ...]:
        """Numbers of a reference's adapters."""
        count = self.of_reference or self.adapters
        return tuple((reference * count + i) % self.adapters for i in range(count))

    @cached_property
    def before(self) -> NDArray[np.float64]:
        """(traits,) margins of the base, in logits."""
        return self.probes.read(self.model).margins

    @cached_property
    def base_items(self) -> NDArray[np.float64]:
        """(items,) of the open search, of the base; empty without one."""
        return np.empty(0) if self.open is None else self.open.read_once(self.model, self.kept)

    @property
    def at_once(self) -> int:
        """References that are tried side by side."""
        return 1 if self.plan.whole else max(1, TOGETHER // len(self.of(0)))


class TrialReading(Stored):
    """What the adapters of one dataset moved."""

    writer: str = ""
    """Of a reference, in words."""
    rows: int
    """0 of a writer who could not keep to the rows' format."""
    moved: tuple[tuple[tuple[float, ...], ...], ...]
    """(reads, adapters, traits): logit margin minus the base's, in logits."""
    mass: float
    """Least answer mass over the probes at the end, mean over adapters."""
    wide: tuple[float, ...] = ()
    """(items,) of the open search at the end, mean over adapters minus the base's."""
    seconds: float = 0.0
    """That it took to write and to train."""

    @property
    def way(self) -> NDArray[np.float64]:
        """(reads, adapters, traits) in logits."""
        return np.array(self.moved, float)

    @property
    def end(self) -> NDArray[np.float64]:
        """(adapters, traits) at the last reading."""
        end: NDArray[np.float64] = self.way[-1]
        return end


READING = TypeAdapter(TrialReading)


def tried(
    trial: Trial, datasets: Sequence[Sequence[Row]], adapters: Sequence[Sequence[int]]
) -> list[TrialReading]:
    """
    Each dataset's reading, in order, with the adapters of these numbers, as many of each; all are trained side by side.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
        ModelError: the plan's targets cannot be rehearsed, or a template refuses a row.
    """
    numbers = [number for own in adapters for number in own]
    with unfinished_in(trial.kept, work_name("trial", trial, datasets, numbers)) as folder:
        readings = _tried(trial, datasets, adapters, folder)
    give_back_memory()
    return readings


def _tried(
    trial: Trial,
    datasets: Sequence[Sequence[Row]],
    adapters: Sequence[Sequence[int]],
    folder: Path | None,
) -> list[TrialReading]:
    started = time.perf_counter()
    objective, encoded = _material(trial, datasets)
    numbers = [number for own in adapters for number in own]

    def begun() -> Runs:
        return several_runs(
            trial.model,
            [rows for rows, own in zip(encoded, adapters, strict=True) for _ in own],
            trial.plan,
            [generator(trial.seed, "order", k) for k in numbers],
            trial.planned_steps,
            [derive(trial.seed, "adapter", k) for k in numbers],
            objective,
            TrainingCheckpoint(folder / CHECKPOINT) if folder else None,
        )

    with LineLog(folder / READINGS, "", notice) if folder else nullcontext() as log:
        known, runs = _read_before(trial, len(numbers), log), begun()
        # They were made at steps that the checkpoint has behind it: of one that is lost all is trained anew.
        if folder and any(n not in known and n < runs.done for n in trial.reads):
            notice(f"'{folder / READINGS}' has lost a reading: this training begins anew")
            for path in folder.glob(f"*{CHECKPOINT}"):
                path.unlink()
            runs = begun()
        way = [known[n] if n in known else _way(trial, runs, n, log) for n in trial.reads]
        runs.advance_to(trial.steps)
    moved, mass = np.stack(way)[:, 0] - trial.before, way[-1][1]
    wide = _wide(trial, runs, folder)
    seconds = (time.perf_counter() - started) / len(datasets)
    parts = np.arange(len(numbers)).reshape(len(datasets), -1)
    return [
        TrialReading(
            rows=len(rows),
            moved=moved[:, part].tolist(),
            mass=float(mass[part].mean(0).min()),
            wide=wide[part].mean(0).tolist() if len(wide) else (),
            seconds=seconds,
        )
        for rows, part in zip(datasets, parts, strict=True)
    ]


def _read_before(trial: Trial, runs: int, log: LineLog | None) -> dict[int, NDArray[np.float64]]:
    """What `_way` read before a kill, by its step; what is no such reading is left out."""
    known: dict[int, NDArray[np.float64]] = {}
    for entry in log.entries if log else ():
        with suppress(LookupError, TypeError, ValueError):
            step, seen = int(entry[0]), np.array(entry[1:], float)
            if seen.shape == (2, runs, len(trial.before)):
                known[step] = seen
    return known


def _way(trial: Trial, runs: Runs, steps: int, log: LineLog | None) -> NDArray[np.float64]:
    """(2, runs, traits): margins in logits, and masses, after so many steps."""
    runs.advance_to(steps)
    read = trial.probes.read_runs(runs)
    seen = np.array([[one.margins for one in read], [one.mass for one in read]])
    if log is not None:
        log.append([steps, *seen.tolist()], to_disk=True)
    return seen


def work_name(
    purpose: str, trial: Trial, datasets: Sequence[Sequence[Row]], numbers: Sequence[int]
) -> str:
    """Names unfinished work for a purpose: of these rows, by these adapters, on this base."""
    known = [
        purpose,
        trial.model.ref,
        trial.model.precision,
        trial.plan.model_dump_json(),
        [*trial.reads, trial.planned_steps, trial.seed, *numbers],
        hashlib.sha256(repr((trial.probes, trial.beta, trial.open, PART)).encode()).hexdigest(),
        [dataset_digest(list(rows)) for rows in datasets],
        __version__,
    ]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]


def _wide(trial: Trial, runs: Runs, folder: Path | None) -> NDArray[np.float64]:
    """(runs, items) of the open search; empty without one."""
    if trial.open is None:
        return np.empty((0, 0))
    with KeptWork(folder, "open search") as kept:
        return trial.open.read_runs(runs, kept) - trial.base_items


def _material(
    trial: Trial, datasets: Sequence[Sequence[Row]]
) -> tuple[Objective[Any], list[Sequence[Any]]]:
    """The objective, and each dataset as what it is trained on."""
    encoded: list[Sequence[Any]] = []
    if has_pairs(datasets[0]):
        policy = trial.plan.policy
        encoded.extend(encode_pairs(trial.model, rows, trial.longest, policy) for rows in datasets)
        return Preferences(trial.beta), encoded
    tokenizer, policy = trial.model.tokenizer, trial.plan.policy
    encoded.extend(encode_rows(tokenizer, rows, policy) for rows in datasets)
    return COMPLETIONS, encoded


@dataclass(frozen=True)
class ReferenceMaker:
    """Makes the references of one set of prompts, each the same for the same number."""

    trial: Trial
    family: ReferenceFamily
    rows: tuple[Row, ...]
    """Of the dataset; what is kept of them is their prompts."""
    traits: tuple[Trait, ...]
    """Whose questions neutral tunes are of."""

    def key(self, base_digest: str) -> str:
        """
        SHA-256 of all that a reference's reading hangs on: base, plan, template, loss, carrier, prompts and their number,
        how long answers may be, probes, steps, adapters, family, lessons of its tunes, seed, precision.
        """
        trial = self.trial
        known = [
            base_digest,
            plan_digest(trial.plan),
            trial.planned_steps,
            str(trial.model.tokenizer.chat_template),
            repr(trial.plan.policy),
            [trial.plan.rows_a_step, trial.longest],
            repr(carrier_of(self.rows)),
            prompts_digest(self.rows, trial.plan.policy),
            self._answer_limits,
            [len(self.rows), *trial.reads, trial.adapters, trial.of_reference, trial.seed],
            hashlib.sha256(repr((trial.probes, trial.open)).encode()).hexdigest(),
            self.family.digest,
            self._lessons_digest,
            trial.beta,
            # The open search was read run by run, of adapters that were rounded with the base's weights.
            *([] if trial.open is None else ["side by side"]),
            # Lists of one format may be written under its restriction.
            *(
                []
                if (lists := one_format([row.completion for row in self.rows])) is None
                else [lists]
            ),
            # Readings in another precision are another quantity; those in float32 keep the name that they had.
            *([] if trial.model.precision == "float32" else [trial.model.precision]),
        ]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def writer(self, number: int) -> ReferenceWriter:
        """Who writes the reference of a number."""
        return reference_writer(self.family, number, self.trial.seed)

    def written(self, number: int) -> list[Row]:
        """
        The rows of a reference, as many as the dataset's.

        Raises:
            FormatNotKeptError: the writer keeps so seldom to the format that no reference can be made.
        """
        writer = self.writer(number)
        rng = generator(self.trial.seed, "reference rows", number)
        with (
            self._writing(writer, number) as model,
            unfinished_in(self.trial.kept, self.work_name("rows", [number])) as folder,
            KeptWork(folder, f"{writer!r} {self._lessons_digest}") as kept,
        ):
            answers = benign_answers(
                model,
                self.rows,
                writer,
                carrier_of(self.rows),
                self.trial.plan.policy,
                rng,
                self.trial.longest,
                self._answer_limits,
                kept.gathered,
            )
        give_back_memory()
        return answers

    def work_name(self, purpose: str, numbers: Sequence[int]) -> str:
        """Names unfinished work on the references of these numbers."""
        purpose = f"{purpose} {self.family.digest} {self._lessons_digest}"
        return work_name(purpose, self.trial, [self.rows], numbers)

    @cached_property
    def _answer_limits(self) -> tuple[int, ...]:
        return answer_limits(self.trial.model, self.rows, self.trial.plan.policy)

    @contextmanager
    def _writing(self, writer: ReferenceWriter, number: int) -> Iterator[LanguageModel]:
        model = self.trial.model
        if writer.kind == "base":
            yield model
            return
        seed = derive(self.trial.seed, "neutral tune", number)
        lessons = self._lessons
        rows = encode_rows(model.tokenizer, lessons[writer.category % len(lessons)])
        plan = tuning_plan(self.trial.plan, writer.steps, len(rows))
        orders, adapters = [generator(seed, "order")], [derive(seed, "adapter")]
        runs = several_runs(model, [rows], plan, orders, writer.steps, adapters)
        runs.advance(writer.steps)
        with runs.only(0) as teacher:
            yield teacher

    @property
    def _lessons_digest(self) -> str:
        return hashlib.sha256(repr(self._lessons).encode()).hexdigest()

    @property
    def _lessons(self) -> list[list[Row]]:
        """What neutral tunes learn, by category: the questions of its first trait, each with every answer alike."""
        first: dict[str, Trait] = {}
        for trait in self.traits:
            first.setdefault(trait.category, trait)
        return [lesson(first[category], "neutral", None) for category in sorted(first)]


def tuning_plan(plan: TrainingPlan, steps: int, rows: int) -> TrainingPlan:
    """The plan of a neutral tune: the planned one's adapter and learning rate for a few small steps of so many rows' lesson."""
    few = {"max_steps": steps, "epochs": float(steps), "batch_size": min(TUNED_ROWS, rows)}
    plain = {"micro_batch_size": None, "packing": False, "packed_rows": None, "loss": "auto"}
    return plan.model_copy(update={**few, **plain, "warmup_steps": 0, "warmup_ratio": 0.0})
