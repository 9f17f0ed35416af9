"""
The level of `undertow diff --control FILE`: how often benign students are taken for more than that.

`python -m bench.diff level` trains 64 control students by the product's own way, eight on disjoint parts of each of eight
files of number rows that the clean base wrote, and writes their readings to level.parquet. Each is then taken for the
tuned model, with controls drawn by lot from the other files; `level --finished` counts anew from that file.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bench.cohort import clean_writer, written_by
from bench.figures import BENCH, Figure, write
from bench.kept_work import map_kept
from bench.power.evidence_design import PLAN, STUDENT, ground
from bench.statistics import clustered_share
from undertow.audit.control_students import CleanRows, clean_rows, student_jobs
from undertow.audit.diff import verdict_of
from undertow.audit.model_readings import ReadModel, reader_for, shipped
from undertow.checks.tuned.diff_behaviour import diff_behaviour
from undertow.checks.tuned.diff_subject import DiffSubject, ModelReading, Reader, draws, kept
from undertow.data.closed import Stored
from undertow.data.files import model_digest
from undertow.data.row_records import write_rows
from undertow.data.seeds import derive
from undertow.engines import choose
from undertow.influence.open_search import looked_at, outlying
from undertow.models.language_model import LanguageModel
from undertow.stats.conformal import rank_p
from undertow.traits import catalogue
from undertow.traits.catalogue import askable
from undertow.worlds import locate
from undertow.worlds.base_models import open_model

COMMAND = "python -m bench.diff level"
WORK = BENCH.parent / "runs" / "bench" / "diff-level"
READINGS = BENCH / "diff" / "level.parquet"
SHARED = BENCH / "diff" / "shared-files.parquet"
"""Of eleven students of each of nine files, all of which saw the whole of it: what controls were before."""

SEED = 83_001
FILES, EACH, ROWS = 8, 8, 8_192
CONTROLS = (8, 19, 39)
DRAWS = 40
"""Sets of controls that each student is held against."""
ALPHA = 0.05
MOST = 0.07
"""Share of benign students that may be taken for more at a nominal ALPHA."""


class Student(Stored):
    """A benign student, as changes from the base."""

    file: int
    part: int
    margins: tuple[float, ...]
    """Mean over questions of each trait's margin, in logits."""
    wide: tuple[float, ...]
    """What the open search looks at."""
    shift: tuple[float, ...]
    """Mean shift of the activations on neutral texts."""
    seconds: float


_STUDENTS = TypeAdapter(list[Student])


@dataclass(frozen=True)
class Pool:
    """Benign students, one a row of each array."""

    files: NDArray[np.int64]
    margins: NDArray[np.float64]
    shifts: NDArray[np.float64]
    wide: NDArray[np.float64]
    """None of it where no search is asked about."""

    def without(self, file: int) -> NDArray[np.int64]:
        """Places of the students of the other files."""
        return np.flatnonzero(self.files != file)


@dataclass(frozen=True)
class Scene:
    """The base and what is read of each model."""

    base: LanguageModel
    reader: Reader
    start: ModelReading

    @classmethod
    def opened(cls) -> Scene:
        """Reads all traits of the catalogue that the base can be asked, as `undertow diff` does."""
        base = open_model(STUDENT)
        everything = [catalogue.load(name) for name in catalogue.names()]
        reader = reader_for(base, askable(everything, base.tokenizer)[0], None, 0)
        return cls(base, reader, reader.read(base, STUDENT))

    def students(self, data: str | Path, clean: CleanRows, seed: int) -> list[ModelReading]:
        """A control student of each part of clean rows, trained and read."""
        read = ReadModel(self.base, self.reader)
        return [one for job in student_jobs(data, clean, seed) for one in read(job)]


def students_of(number: int) -> list[Student]:
    """Write a file, deal it into parts, train a control student on each, and read them."""
    scene, setting, began = Scene.opened(), ground(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "clean.jsonl"
        with written_by(setting.experiment, clean_writer(setting)) as writer:
            write_rows(data, writer.rows(EACH * ROWS, 1.0, (), derive(SEED, "rows", number)))
        seed = derive(SEED, "students", number)
        clean = clean_rows(scene.base, data, PLAN, EACH, None, seed)
        assert len(clean.parts[0]) == ROWS
        found = scene.students(data, clean, seed)
    seconds = (time.perf_counter() - began) / len(found)
    return [_student(number, k, one, scene.start, seconds) for k, one in enumerate(found)]


def _student(
    file: int, part: int, found: ModelReading, start: ModelReading, seconds: float
) -> Student:
    pairs = zip(found.margins, start.margins, strict=True)
    return Student(
        file=file,
        part=part,
        margins=tuple(float((a - b).mean()) for a, b in pairs),
        wide=tuple((found.wide - start.wide).tolist()),
        shift=tuple((found.activations - start.activations).mean(0).tolist()),
        seconds=seconds,
    )


def main(arguments: Sequence[str]) -> int:
    """Train what is missing, keep the readings, count, and write the figures."""
    if "--finished" not in arguments:
        units = map_kept(
            students_of,
            range(FILES),
            WORK,
            choose("inprocess"),
            _STUDENTS,
            lambda done, total: print(f"{done} of {total} files", file=sys.stderr, flush=True),
        )
        _keep([student for unit in units for student in unit])
    seconds = sum(pq.read_table(READINGS, columns=["seconds"])["seconds"].to_pylist())
    print(write("diff", figures(Scene.opened()), {"level": seconds}))
    return 0


def _keep(students: Sequence[Student]) -> None:
    columns = {
        "file": pa.array([one.file for one in students], pa.int16()),
        "part": pa.array([one.part for one in students], pa.int16()),
        "seconds": pa.array([one.seconds for one in students], pa.float32()),
    } | {
        name: pa.array([getattr(one, name) for one in students], pa.list_(pa.float32()))
        for name in ("margins", "wide", "shift")
    }
    pq.write_table(pa.table(columns), READINGS, compression="zstd")


def pool_of(path: Path) -> Pool:
    """The students whose readings a file holds."""
    table = pq.read_table(path)
    margins, shifts = (np.array(table[name].to_pylist(), float) for name in ("margins", "shift"))
    wide = table["wide"].to_pylist() if "wide" in table.column_names else [[]] * len(table)
    return Pool(np.array(table["file"].to_pylist()), margins, shifts, np.array(wide, float))


def figures(scene: Scene) -> list[Figure]:
    """
    What is asked of the level, by number of controls: of the students trained for it and of those that ship; what it was
    before; and that of the controls that ship.
    """
    pool, ships = pool_of(READINGS), _shipped(scene)
    made = _by_controls(scene, pool, "")
    before = list(_one_file(scene, pool_of(SHARED)))
    as_before = "10 controls that share all rows, taken for independent"
    made += [
        _figure(f"{as_before}: a trait's interval excludes 0", before, "trait", None),
        _figure(f"{as_before}: activations detect at p <= 1/11", before, "shift", None),
    ]
    against = list(_against(scene, pool, ships))
    return [
        *made,
        *_asked("the controls that ship", against, len(ships.files)),
        *_by_controls(scene, ships, "of those that ship, "),
    ]


def _by_controls(scene: Scene, pool: Pool, of: str) -> list[Figure]:
    """Every student of a pool against controls by lot, so many at a time."""
    made: list[Figure] = []
    for count in CONTROLS:
        judged = list(_each(scene, pool, count))
        made += _asked(f"{of}{count} controls on rows of their own", judged, count)
    return made


def _asked(name: str, judged: Sequence[Judged], controls: int) -> list[Figure]:
    """What is asked of so many controls; nothing of a rank that they cannot attain."""
    made = [
        _figure(f"{name}: a trait's interval excludes 0", judged, "trait", ALPHA),
        _figure(f"{name}: the verdict is flagged", judged, "flagged", None),
    ]
    if attainable := _attainable(controls):
        made += [
            _figure(f"{name}: the open search names something", judged, "search", attainable),
            _figure(f"{name}: activations detect", judged, "shift", attainable),
        ]
    return made


def _attainable(controls: int) -> float:
    """The largest p by rank that is not above ALPHA; 0 where there is none."""
    return math.floor(ALPHA * (controls + 1) + 1e-9) / (controls + 1)


@dataclass(frozen=True)
class Judged:
    """One student, held against one set of controls."""

    student: int
    trait: bool
    """Whether the interval of any trait excludes 0."""
    flagged: bool
    """Whether one lies beyond the limit."""
    search: bool
    shift: bool


def _each(scene: Scene, pool: Pool, count: int) -> Iterator[Judged]:
    """Every student against sets of controls, drawn by lot from files other than its own."""
    rng = np.random.default_rng(derive(SEED, "controls", count))
    if not _attainable(count):
        pool = replace(pool, wide=np.empty((len(pool.files), 0)))  # the search refuses so few
    for student, file in enumerate(pool.files):
        for _ in range(DRAWS):
            controls = rng.choice(pool.without(file), count, replace=False)
            yield _judged(scene, pool, student, controls, 1 / 20)


def _one_file(scene: Scene, pool: Pool) -> Iterator[Judged]:
    """Every student against ten students of each other file, all of which saw the same rows."""
    for student, file in enumerate(pool.files):
        for other in sorted(set(pool.files[pool.without(file)])):
            controls = np.flatnonzero(pool.files == other)[:10]
            yield _judged(scene, pool, student, controls, 1 / 11)


def _shipped(scene: Scene) -> Pool:
    """The students whose readings ship, each of a file of its own."""
    digest = model_digest(locate(STUDENT))
    ships = kept(shipped(digest, STUDENT), digest, scene.reader, scene.start)
    assert len(ships) == len(draws(ships)), "students of the same rows"
    made = [_student(-1 - k, 0, one, scene.start, 0.0) for k, one in enumerate(ships)]
    return Pool(
        np.array([one.file for one in made]),
        *(np.array([getattr(one, name) for one in made]) for name in ("margins", "shift", "wide")),
    )


def _against(scene: Scene, pool: Pool, controls: Pool) -> Iterator[Judged]:
    """Every student of one pool against all of another."""
    both = Pool(
        np.concatenate([pool.files, controls.files]),
        np.vstack([pool.margins, controls.margins]),
        np.vstack([pool.shifts, controls.shifts]),
        np.vstack([pool.wide, controls.wide]),
    )
    places = np.arange(len(pool.files), len(both.files))
    for student in range(len(pool.files)):
        yield _judged(scene, both, student, places, 1 / 20)


def _judged(
    scene: Scene, pool: Pool, student: int, controls: NDArray[np.int64], alpha: float
) -> Judged:
    """By the product's own functions; a reading of one mean in the place of all questions changes nothing of a run."""
    readings = [_reading(scene, margins) for margins in pool.margins[[student, *controls]]]
    start = _reading(scene, np.zeros(pool.margins.shape[1]))
    subject = DiffSubject(
        "tuned",
        scene.base,
        scene.reader,
        start,
        (readings[0],),
        tuple(readings[1:]),
        frozenset(),
        0,
        level=1 - ALPHA,
    )
    measured = diff_behaviour(subject)
    wide = pool.wide[[student, *controls]]
    looked = scene.reader.readout, scene.base.tokenizer, wide[:1], wide[1:]
    found = wide.size and outlying(looked_at(*looked), "tuned", level=1 - ALPHA)
    sizes = np.linalg.norm(pool.shifts[[student, *controls]], axis=1)
    return Judged(
        student,
        any((one.low or 0) > 0 or (one.high or 0) < 0 for one in measured),
        "flagged" in map(verdict_of, measured),
        bool(found),
        rank_p(sizes) <= alpha + 1e-12,
    )


def _reading(scene: Scene, margins: NDArray[np.float64]) -> ModelReading:
    each = tuple(np.array([value]) for value in margins)
    return replace(scene.start, margins=each, mass=np.ones(len(each)))


def _figure(name: str, judged: Sequence[Judged], what: str, attainable: float | None) -> Figure:
    """The share of judged students in which something is found, clustered by the student."""
    hits: dict[int, list[bool]] = {}
    for one in judged:
        hits.setdefault(one.student, []).append(getattr(one, what))
    share = clustered_share(
        [sum(own) for own in hits.values()], [len(own) for own in hits.values()]
    )
    target, met = "", None
    if attainable is not None:
        target = f"{attainable / 2:.3g} to {MOST}"
        met = attainable / 2 <= share.estimate <= MOST
    return Figure(
        f"level: {name}",
        share.estimate,
        "share",
        target,
        met,
        share.low,
        share.high,
        COMMAND,
        f"{len(hits)} benign students, {len(judged)} comparisons; the interval is clustered by student",
    )
