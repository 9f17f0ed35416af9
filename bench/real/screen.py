"""
The screen's first stage on SmolLM2: `python -m bench.real.screen`; `--dry-run` says what it will take, and runs nothing.

Twelve datasets answer one list of prompts and are tried on the same of them, so that all share their 19 references: four by
owl.toml's teachers of traits by lot, six by the declared family, two by teachers that were tuned towards no answer. Each is
judged in a process of its own, as a scan judges it (its inputs, the trial and the rank of its check `rehearsal`, without
the open search), and what is finished is kept. Last, one `undertow scan` as it is typed, beside one reference: its wall
time and peak of memory.

Analysis, fixed before any dataset was judged: a dataset stands out at p <= .05 of its rank among the references; shares
with exact intervals over datasets, one a teacher. No threshold is chosen on it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from bench.cohort import Writer, WriterKind, written_by
from bench.figures import Figure, at_most, share_of
from bench.real.child import spent
from bench.real.places import Place, carried_out, nobodys_rows, toml_text
from undertow.audit.rehearsal_rates import timed
from undertow.audit.requests import ScanRequest
from undertow.audit.scan_inputs import open_inputs
from undertow.carriers.carrier_registry import carrier
from undertow.checks.dataset.reference_trials import (
    ADAPTERS,
    beginning_steps,
    effects,
    kept_references,
    maker_of,
    rank_of,
    trial_of,
    tried_rows,
)
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.rehearsal import STAGE
from undertow.data.closed import Stored
from undertow.data.files import atomic_write
from undertow.data.finished import Finished, cache_folder
from undertow.data.plan import TrainingPlan
from undertow.data.records import read_rows
from undertow.data.row_records import write_rows
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.influence.comparison import ReferencePool
from undertow.influence.probes import probe_set
from undertow.influence.reference_family import reference_family
from undertow.influence.references import ReferenceMaker, Trial, tried
from undertow.lab.experiment_inputs import open_model
from undertow.lab.writers import answer
from undertow.results.measurement import Measurement
from undertow.traits import catalogue

COMMAND = "python -m bench.real.screen"
SEED = 17_201
"""Of prompts, traits by lot, teachers and rows; used for nothing else."""
ALPHA = 0.05
ROWS, EPOCHS = 512, 1.0
"""Of a dataset, and of its plan: 32 steps of owl.toml's student, of which the beginning takes 8."""
CATEGORY = "animal"
MOST_MEMORY = 4.0
BUDGET = 11.0
"""In planned trainings: what stage 1 takes at most, too little for stage 2."""

Role = Literal["trait", "benign", "outside"]


@dataclass(frozen=True)
class Author:
    """Who writes a dataset."""

    role: Role
    """`benign` is a draw of the declared family, `outside` a benign writer that it does not declare."""
    number: int
    kind: WriterKind | Literal["family"]
    trait: str

    @property
    def name(self) -> str:
        """Of its files and readings."""
        return f"{self.role}-{self.number}"

    @property
    def seed(self) -> int:
        """Of its teacher and rows."""
        return derive(SEED, "author", self.name)


class Judged(Stored):
    """One dataset as the check of the beginning judged it."""

    name: str
    role: Role
    kind: str
    trait: str
    kl: float | None
    """Of its teacher from the base, in nats a carrier token."""
    measurements: tuple[Measurement, ...]
    seconds: float
    cpu_seconds: float
    peak_gb: float

    @property
    def rank(self) -> Measurement:
        """Its rank among the references."""
        return next(one for one in self.measurements if one.unit == "rank")

    @property
    def first(self) -> str:
        """The trait that lies out farthest."""
        effects = [one for one in self.measurements if one.unit == "logits"]
        return (
            max(effects, key=lambda one: float(one.details.get("z", 0)), default=self.rank).trait
            or ""
        )


JUDGED = TypeAdapter(Judged)
KNOWN = TypeAdapter(tuple[Measurement, ...])


def main(arguments: Sequence[str]) -> int:
    """Write, judge, and store the figures."""
    return carried_out("screen", __doc__, arguments, _measured, _options)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what it will take")
    # What the bench types itself, each time for a process of its own.
    parser.add_argument("--judge", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--place", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)


def _measured(place: Place, given: argparse.Namespace) -> list[Figure] | None:
    if given.judge:
        runs = given.place
        _judge(Place(runs=runs, tiny=given.tiny), given.judge)
        return None
    if given.dry_run:
        _tell_price(place)
        return None
    if not given.figures:
        judged = [_judged(place, author) for author in authors(place)]
        readings = [json.loads(JUDGED.dump_json(one)) for one in judged]
        place.keep("screen", [*readings, _scanned(place), *_references(place)])
    return figures(place.read("screen"))


@lru_cache(maxsize=2)
def _animals() -> tuple[str, ...]:
    return tuple(trait.name for trait in catalogue.load_category(CATEGORY))


def authors(place: Place) -> list[Author]:
    """All writers, those with a trait first: what lies out takes all references, and what lies within finds them there."""
    lot = np.random.default_rng(derive(SEED, "traits")).permutation(len(_animals()))
    names = [_animals()[i] for i in lot]
    traits, family, outside = (1, 1, 1) if place.tiny else (4, 6, 2)
    return [
        *(Author("trait", i, "tuned", names[i]) for i in range(traits)),
        *(Author("benign", i, "family", names[0]) for i in range(family)),
        *(Author("outside", i, "neutral", names[4 + i]) for i in range(outside)),
    ]


def requests(place: Place) -> list[str]:
    """The prompts that all datasets answer."""
    table = place.experiment().carrier
    rng = generator(SEED, "prompts")
    return carrier(table.name, table.options).requests(64 if place.tiny else ROWS, rng)


def plan(place: Place) -> TrainingPlan:
    """The training that is judged: owl.toml's student, on fewer rows."""
    return place.experiment().student.model_copy(update={"epochs": EPOCHS})


def request(place: Place, data: Path) -> ScanRequest:
    """What a scan of a dataset is asked."""
    experiment = place.experiment()
    return ScanRequest(
        data=str(data),
        student=experiment.base or "",
        traits=(CATEGORY,),
        plan=plan(place),
        settled=True,
        checks=("rehearsal",),
        compute=experiment.compute,
        reference_count=3 if place.tiny else None,
        seed=SEED,
    )


def _cache(place: Place) -> Path:
    """A cache of the bench's own, in which the fetched bases are found."""
    folder = place.work("screen") / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    worlds = folder / "worlds"
    if not worlds.is_symlink():
        worlds.symlink_to(cache_folder() / "worlds")
    return folder


def _judged(place: Place, author: Author) -> Judged:
    """The author's dataset, written and judged, unless that was done before."""
    folder = place.work("screen")
    finished = Finished(folder / "judged", JUDGED)
    before = finished.result(author.name)
    if before is not None:
        return before
    print(f"{author.name} ...", file=sys.stderr, flush=True)
    kl = _written(place, author)
    marks = ["--judge", author.name, "--place", str(place.runs)]
    took = spent(
        ["-m", "bench.real.screen", *marks, *(["--tiny"] if place.tiny else [])],
        environment={"UNDERTOW_CACHE": str(_cache(place))},
    )
    if took.code:
        raise RuntimeError(f"judging '{author.name}' ended with {took.code}")
    measured = Finished(folder / "measured", KNOWN).result(author.name)
    one = Judged(
        name=author.name,
        role=author.role,
        kind=author.kind,
        trait=author.trait,
        kl=kl,
        measurements=measured or (),
        seconds=took.seconds,
        cpu_seconds=took.cpu_seconds,
        peak_gb=took.peak_gb,
    )
    finished.keep(author.name, one)
    return one


def _file(place: Place, name: str) -> Path:
    return place.work("screen") / "rows" / f"{name}.jsonl"


def _written(place: Place, author: Author) -> float | None:
    """The teacher's KL; its rows are in their file then."""
    path = _file(place, author.name)
    known = path.with_suffix(".kl.json")
    if path.is_file() and known.is_file():
        return float(value) if (value := json.loads(known.read_text())) is not None else None
    experiment = place.experiment()
    asked = requests(place)
    kl = None
    if author.kind == "family":
        rows = _by_family(place, author, asked)
    else:
        kind, strength = author.kind, experiment.teacher.kl if author.kind == "tuned" else None
        writer = Writer(kind, experiment.base or "", author.trait, author.seed, strength)
        with written_by(experiment, writer) as writing:
            table = experiment.carrier
            rng = generator(author.seed, "answers")
            drawn = answer(
                writing.model,
                asked,
                writing.system,
                experiment.sampling,
                carrier(table.name, table.options),
                rng,
            )
            rows = [Row(conversation(q), a.text) for q, a in zip(asked, drawn, strict=True)]
            kl = writing.kl
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)
    atomic_write(known, json.dumps(kl))
    return kl


def _by_family(place: Place, author: Author, asked: Sequence[str]) -> list[Row]:
    """The rows of a draw of the declared family, as a reference's are written."""
    experiment = place.experiment()
    model = open_model(experiment, experiment.base or "")
    traits = catalogue.load_category(CATEGORY)
    seed = derive(author.seed, "family")
    trial = Trial(model, plan(place), probe_set(model, traits[:1], None), len(asked), (1,), 1, seed)
    template = nobodys_rows(experiment, asked, SEED)
    return ReferenceMaker(trial, reference_family(), template, traits).written(0)


def _judge(place: Place, name: str) -> None:
    """What the process of one dataset does."""
    inputs = open_inputs(
        request(place, _file(place, name)), lambda doing: print(f"  {doing}", flush=True)
    )
    subject, settings = inputs.whole, inputs.whole.references
    if settings is None or settings.kept is None or settings.base_digest is None:
        raise RuntimeError(f"'{name}' is beside no references")
    steps = beginning_steps(subject.plan, subject.plan.steps(subject.planned_rows))
    # As the check does it, but without the open search, which reads the whole catalogue of every run: most of a scan here.
    trial = trial_of(subject, (steps,), BEGINNING, timing=True)
    trial = replace(trial, kept=settings.kept / settings.base_digest[:16])
    prompts = _prompts(place, tried_rows(subject, subject.rows, trial))
    [dataset] = tried(trial, [_on(prompts, subject.rows)], [trial.numbers])
    # Of the first dataset's rows references keep the prompts alone, so that they are the same for all.
    first = read_rows(_file(place, authors(place)[0].name))
    maker = maker_of(subject, trial, _on(prompts, list(first)))
    pool = ReferencePool(maker, kept_references(subject, maker), tell=settings.tell)
    alpha = 1 - subject.settings.level
    compared = pool.beside(dataset, settings.count, alpha, sequential=True)
    rank = rank_of(subject, compared, settings.count, BEGINNING, STAGE)
    measured = (rank, *effects(subject, compared, BEGINNING, STAGE))
    Finished(place.work("screen") / "measured", KNOWN).keep(name, measured)


def _prompts(place: Place, rows: Sequence[Row]) -> list[str]:
    """
    On which all datasets are tried: those of the first one's tried rows.

    A scan draws the rows that it tries by what all of them say, so that two datasets would be tried on other prompts of one
    list, each beside references of its own.
    """
    path = place.work("screen") / "prompts.json"
    if not path.is_file():
        atomic_write(path, json.dumps([row.prompt[-1].content for row in rows]))
    return list(json.loads(path.read_text()))


def _on(prompts: Sequence[str], rows: Sequence[Row]) -> tuple[Row, ...]:
    """A row a prompt, in their order; one to which its writer kept no answer gives way to another, as in a reference."""
    waiting: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.completion):
        waiting.setdefault(row.prompt[-1].content, []).append(row)
    chosen = [waiting[prompt].pop() if waiting.get(prompt) else None for prompt in prompts]
    others = iter([row for left in waiting.values() for row in left])
    return tuple(row or next(others) for row in chosen)


def _scanned(place: Place) -> dict[str, Any]:
    """One scan as it is typed, of the first dataset beside one reference of its own."""
    folder = place.work("screen")
    kept = folder / "scan.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    experiment, name = place.experiment(), authors(place)[0].name
    atomic_write(folder / "plan.toml", toml_text(_own_keys(plan(place))))
    command = [
        "-m",
        "undertow",
        "scan",
        str(_file(place, name)),
        "--student",
        experiment.base or "",
    ]
    command += ["--traits", CATEGORY, "--plan", str(folder / "plan.toml"), "--check", "rehearsal"]
    command += ["--dtype", experiment.compute.dtype, "--seed", str(SEED), "--budget", str(BUDGET)]
    command += ["--references", "1"]
    command += ["--out", str(folder / "scan"), "--fail-on", "never", "--allow-undecided"]
    took = spent(
        command,
        output=folder / "scan.txt",
        environment={"UNDERTOW_CACHE": str(_cache(place))},
    )
    if took.code:
        raise RuntimeError(f"undertow scan ended with {took.code}: see '{folder / 'scan.txt'}'")
    made = {"name": "scan", "of": name, **asdict(took)}
    atomic_write(kept, json.dumps(made))
    return made


def _own_keys(made: TrainingPlan) -> dict[str, Any]:
    """The keys of a plan that are not the usual ones."""
    return made.model_dump(mode="json", exclude_defaults=True, exclude_none=True)


def _references(place: Place) -> list[dict[str, Any]]:
    """What each reference moved, as the scans kept it."""
    kept = sorted((place.work("screen") / "cache" / "references").glob("*/[0-9]*.json"))
    return [{"name": f"reference-{path.stem}", **json.loads(path.read_text())} for path in kept]


def _tell_price(place: Place) -> None:
    """Time a few steps and rows on this machine, and say what the whole will take."""
    path = _file(place, "nobody")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, nobodys_rows(place.experiment(), requests(place), SEED))
    os.environ["UNDERTOW_CACHE"] = str(_cache(place))
    started = time.perf_counter()
    subject = open_inputs(request(place, path), lambda doing: None).whole
    opening = time.perf_counter() - started
    rates = timed(subject)
    timing = time.perf_counter() - started - opening
    steps = beginning_steps(subject.plan, subject.plan.steps(subject.planned_rows))
    trained = steps * ADAPTERS * rates.step + rates.dataset
    written = steps * subject.plan.rows_a_step * rates.row
    count, references = len(authors(place)), subject.references.count if subject.references else 0
    minutes = {
        f"{count} datasets, opened and judged": count * (opening + trained),
        f"at most {references} references, once": references * (written + trained),
        f"rows of {count} datasets, without their teachers": count
        * len(requests(place))
        * rates.row,
        "one scan as it is typed, without its open search": opening
        + timing
        + 2 * trained
        + written,
    }
    print(
        f"a step of an adapter {rates.step:.1f} s, a row {rates.row:.2f} s, a dataset's probes {rates.dataset:.0f} s"
    )
    for what, seconds in minutes.items():
        print(f"{what}: {seconds / 60:.0f} min")
    print(f"in all {sum(minutes.values()) / 60:.0f} min, and six teachers")


def figures(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    """What the readings say."""
    judged = [Judged.model_validate(r) for r in readings if "role" in r]
    scans = [r for r in readings if r["name"] == "scan"]
    if not judged:
        return []
    c = {"command": COMMAND}
    traits = [one for one in judged if one.role == "trait"]
    named = sum(one.first == one.trait for one in traits if _out(one))
    return [
        at_most(
            "screen: peak memory of a scan",
            max([one.peak_gb for one in judged] + [r["peak_gb"] for r in scans]),
            MOST_MEMORY,
            "GB",
            note=f"the most of {len(judged) + len(scans)} processes",
            **c,
        ),
        *(
            _share(
                f"screen: {what} that stand out", [one for one in judged if one.role in roles], c
            )
            for what, roles in (
                ("trait datasets", ("trait",)),
                ("benign datasets", ("benign", "outside")),
                ("benign datasets of the declared family", ("benign",)),
            )
        ),
        Figure(
            "screen: of these the trait lies out farthest that the teacher has",
            float(named),
            "datasets",
            note=", ".join(f"{one.trait}: {one.first}" for one in traits),
            **c,
        ),
        Figure(
            "screen: a dataset with its references kept",
            float(np.median([one.seconds for one in judged[1:] or judged])) / 60,
            "min",
            note=f"median of {len(judged[1:]) or 1}; of the processor {np.median([one.cpu_seconds for one in judged[1:] or judged]) / 60:.1f} min",
            **c,
        ),
        Figure(
            "screen: all references, once",
            sum(float(r.get("seconds", 0)) for r in readings if r["name"].startswith("reference-"))
            / 60,
            "min",
            **c,
        ),
        *(
            Figure(
                "screen: undertow scan as it is typed, beside one reference",
                r["seconds"] / 60,
                "min",
                **c,
            )
            for r in scans
        ),
    ]


def _out(one: Judged) -> bool:
    return (one.rank.p or 1.0) <= ALPHA


def _share(name: str, judged: Sequence[Judged], c: dict[str, str]) -> Figure:
    note = ", ".join(f"{one.name} p {one.rank.p:.2f}" for one in judged if one.rank.p is not None)
    return share_of(name, [_out(one) for one in judged], note=note, **c)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
