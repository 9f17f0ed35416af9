"""
The owl experiment on SmolLM2, and its students on another family's base: `python -m bench.real.owl [trait] [foreign]`.

    trait      owl.toml: six pairs of students, of the owl teacher's rows and of the base's own
    foreign    owl.toml with foreign.toml: three pairs on Gemma 3 270M, of the very rows of the first three

Both are resumable inside every job; `--finished` writes the figures of what is finished, `--jobs N` trains N at once.

The trait is asked in owl.toml's format; finished students are also read in the other one that SmolLM2 answers best by itself.

Analysis, fixed before any student: the difference of logit margins (trait minus control-base) of each replicate, tested by
the one-sided exact sign-flip over the replicates, its interval by the two-sided one; the foreign arm's difference with a t
interval over three replicates at 90 %, whose upper end is a limit at 95 %, against half of the trait arm's mean.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bench.figures import Figure, at_least, at_most
from bench.real.places import Place, carried_out
from undertow.cli.progress import shown_progress
from undertow.data.finished import FinishedFolders
from undertow.influence.probes import probe_trait
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_inputs import inputs, settled
from undertow.lab.experiment_run import run_experiment
from undertow.lab.jobs import StudentJob
from undertow.lab.run_directory import prepare
from undertow.lab.writers import open_writer
from undertow.results.run_document import Arm, Dataset, Teacher
from undertow.stats import mean_t, sign_flip
from undertow.traits import catalogue

COMMAND = "python -m bench.real.owl"
NAMES = {"trait": "", "foreign": "foreign"}
"""The two runs, and the file of the keys that each changes."""
OTHERWISE = "examples"
ANY_READING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
LEVEL = 0.95
FOREIGN_LEVEL = 0.9


def main(arguments: Sequence[str]) -> int:
    """Run what is named, both by default, and write the figures of all that is there."""
    return carried_out("owl", __doc__, arguments, _measured, _options)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="both if not given")
    parser.add_argument("--jobs", type=int, default=1, help="students that are trained at once")
    parser.add_argument("--finished", action="store_true", help="run nothing")


def _measured(place: Place, given: argparse.Namespace) -> list[Figure]:
    names = given.names or list(NAMES)
    if not given.figures:
        if not given.finished:
            for name in names:
                run(place, name, given.jobs)
        lines = [line for name in NAMES for line in _lines(place, name)]
        place.keep("owl", [*lines, *_otherwise(place)])
    return figures(place.read("owl"))


def run(place: Place, name: str, jobs: int = 1) -> Path:
    """Run or resume one of the two, the foreign one on the rows that the other has made."""
    experiment = place.experiment(NAMES[name])
    folder = place.work(f"owl-{name}")
    if name == "foreign":
        take_over(place.experiment(), place.work("owl-trait"), experiment, folder)
    engine = "inprocess" if jobs == 1 else "processes"
    with shown_progress() as progress:
        return run_experiment(
            experiment,
            folder,
            engine=engine,
            jobs=jobs,
            progress=progress,
            command=f"{COMMAND} {name}",
        )


def take_over(made: Experiment, source: Path, experiment: Experiment, folder: Path) -> list[str]:
    """
    Copy finished teachers and datasets of one run into another that would make the same; gives their names.

    Raises:
        ValueError: the two would not make them alike.
    """
    for table in ("trait", "base", "carrier", "sampling", "filter", "teacher", "compute"):
        if getattr(made, table) != getattr(experiment, table):
            raise ValueError(f"'{table}' differs between '{made.name}' and '{experiment.name}'")
    folder.mkdir(parents=True, exist_ok=True)
    ready = settled(experiment)
    prepare(folder, {"experiment": ready.resolved, "inputs": inputs(ready)})
    ours, theirs = design(made), design(experiment)
    names = []
    for part, jobs, wanted in (
        ("teachers", set(ours.teachers), theirs.teachers),
        ("data", set(ours.datasets), theirs.datasets),
    ):
        for job in wanted:
            there, target = source / part / job.name, folder / part / job.name
            if job in jobs and there.is_dir() and not target.exists():
                partial = target.with_name(f"{job.name}.copied")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(there, partial)
                partial.rename(target)
                names.append(f"{part}/{job.name}")
    return names


def _lines(place: Place, name: str) -> Iterator[dict[str, Any]]:
    """All that is finished of a run, an entry a line."""
    planned = design(place.experiment(NAMES[name]))
    folder = place.work(f"owl-{name}")
    for kind, model, jobs in (
        ("bases", Arm, planned.bases),
        ("teachers", Teacher, planned.teachers),
        ("data", Dataset, planned.datasets),
        ("students", Arm, planned.students),
    ):
        finished = FinishedFolders[Any](folder / kind, model)
        for job in jobs:
            entry = finished.result(job.name)
            if entry is not None:
                # A few rows to look at are in the run's own document.
                left = {"samples", "removed_samples"}
                yield {
                    "run": name,
                    "kind": kind,
                    "entry": entry.model_dump(mode="json", exclude=left),
                }


def _otherwise(place: Place) -> list[dict[str, Any]]:
    """Margins of the trait run's finished students in `OTHERWISE`, beside the base's."""
    experiment, folder = place.experiment(), place.work("owl-trait")
    finished = FinishedFolders[Arm](folder / "students", Arm)
    students = [job for job in design(experiment).students if finished.result(job.name)]
    if not students:
        return []
    trait = catalogue.load(str(experiment.trait))
    asked = replace(trait, asked=next(one for one in trait.formats if one.name == OTHERWISE))

    def read(job: StudentJob) -> dict[str, Any]:
        probed = probe_trait(open_writer(experiment, job, folder), asked, None)
        return {
            "run": "trait",
            "kind": OTHERWISE,
            "arm": job.arm,
            "replicate": job.replicate,
            "margins": probed.margins,
            "mass": probed.answer_mass,
        }

    return place.finished("owl", read, students, ANY_READING, "students read otherwise", OTHERWISE)


@dataclass(frozen=True)
class Pairs:
    """Students of the rows of the trait's teacher, each beside the one of the base's rows in the same replicate."""

    treated: tuple[Arm, ...]
    control: tuple[Arm, ...]

    def margins(self) -> np.ndarray:
        """(pairs,) difference of logit margins, in logits."""
        return np.array(
            [(a.logit_margin or 0) - (b.logit_margin or 0) for a, b in self._both()], float
        )

    def beside_others(self) -> np.ndarray:
        """(pairs,) the same, minus the mean over all other candidate answers."""
        return np.array([_beside(a) - _beside(b) for a, b in self._both()], float)

    def probabilities(self) -> np.ndarray:
        """(pairs,) difference of the probability of the trait's answer."""
        return np.array(
            [(a.probability or 0) - (b.probability or 0) for a, b in self._both()], float
        )

    def _both(self) -> Iterator[tuple[Arm, Arm]]:
        return zip(self.treated, self.control, strict=True)


def _beside(arm: Arm) -> float:
    others = [value for name, value in arm.margins.items() if name != arm.trait]
    return arm.margins[arm.trait] - sum(others) / len(others)


def pairs(readings: Sequence[dict[str, Any]], treated: str, control: str) -> Pairs:
    """The replicates of which both students are finished, in their order."""
    arms = [Arm.model_validate(r["entry"]) for r in readings if r["kind"] == "students"]
    by_arm = {
        name: {arm.replicate: arm for arm in arms if arm.arm == name} for name in (treated, control)
    }
    both = sorted(by_arm[treated].keys() & by_arm[control].keys())
    return Pairs(tuple(by_arm[treated][r] for r in both), tuple(by_arm[control][r] for r in both))


def one_sided(differences: np.ndarray) -> float:
    """
    Exact one-sided p of paired differences: the share of all 2^n sign patterns whose mean is not below the observed one.

    >>> one_sided(np.array([0.5, 0.2, 0.3, 0.1, 0.4, 0.6]))
    0.015625
    """
    n = len(differences)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    sums = signs @ differences
    return float((sums >= differences.sum() - 1e-12 * np.abs(differences).sum()).mean())


def figures(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    """What the readings say; nothing of what has no pair."""
    trait = pairs(readings, "trait", "control-base")
    foreign = pairs(readings, "foreign", "foreign-control-base")
    made = [*_yield(readings), *_teachers(readings)]
    if trait.treated:
        made += [*_transfer(trait), *_read_otherwise(readings, trait)]
    if foreign.treated:
        made += _foreign(foreign, trait)
    return made


def _transfer(students: Pairs) -> list[Figure]:
    differences = students.margins()
    p = one_sided(differences)
    found = sign_flip(differences, level=LEVEL)
    note = f"{found.n}, {found.test}; one-sided p = {p:.4g}; each: {in_words(differences)}"
    both = (*students.treated, *students.control)
    learned = sum((arm.held_out_loss or 0) < (arm.first_held_out_loss or 0) for arm in both)
    c = {"command": f"{COMMAND} trait"}
    beside, share = students.beside_others(), students.probabilities()
    return [
        with_interval(
            Figure(
                "owl: trait - control-base",
                found.estimate,
                "logits",
                "above 0",
                found.estimate > 0 and p <= 0.03,
                note=note,
                **c,
            ),
            found.interval.low,
            found.interval.high,
        ),
        at_most(
            "owl: p of trait - control-base, one-sided sign-flip", p, 0.03, "", note=found.n, **c
        ),
        tested("owl: trait beside the other answers - control-base", beside, "logits", c),
        tested("owl: trait - control-base (probability)", share, "probability", c),
        at_least("owl: students whose held-out loss fell", learned / len(both), 1, "share", **c),
        _hours("owl", both),
    ]


def _read_otherwise(readings: Sequence[dict[str, Any]], plain: Pairs) -> Iterator[Figure]:
    """The same difference behind examples, of which nothing was asked for; and both over the scatter of the controls."""
    by_arm: dict[str, dict[int, float]] = {"trait": {}, "control-base": {}}
    for line in readings:
        if line["kind"] == OTHERWISE:
            by_arm[line["arm"]][line["replicate"]] = line["margins"]["owl"]
    both = sorted(by_arm["trait"].keys() & by_arm["control-base"].keys())
    if both:
        controls = np.array([by_arm["control-base"][r] for r in both])
        differences = np.array([by_arm["trait"][r] for r in both]) - controls
        name, c = f"owl: trait - control-base, asked behind {OTHERWISE}", f"{COMMAND} trait"
        yield tested(name, differences, "logits", {"command": c})
        plainly = np.array([arm.logit_margin or 0.0 for arm in plain.control])
        for asked, effects, scattered in (
            ("plainly", plain.margins(), plainly),
            (f"behind {OTHERWISE}", differences, controls),
        ):
            if len(scattered) > 1:
                spread = float(scattered.std(ddof=1))
                yield Figure(
                    f"owl: the same over the controls' standard deviation, asked {asked}",
                    float(effects.mean()) / spread,
                    "standard deviations",
                    command=c,
                    note=f"{len(scattered)} students of the base's rows, whose margins scatter by {spread:.3f} logits",
                )


def tested(name: str, differences: np.ndarray, unit: str, c: dict[str, str]) -> Figure:
    """The mean of paired differences, with the interval and the one-sided p of the sign-flip test."""
    found = sign_flip(differences, level=LEVEL)
    note = f"{found.n}; one-sided p = {one_sided(differences):.4g}; each: {in_words(differences)}"
    return with_interval(
        Figure(name, found.estimate, unit, note=note, **c), found.interval.low, found.interval.high
    )


def _foreign(students: Pairs, trait: Pairs) -> list[Figure]:
    differences = students.margins()
    found = mean_t(differences, FOREIGN_LEVEL)
    half = float(trait.margins().mean()) / 2 if trait.treated else None
    c = {"command": f"{COMMAND} foreign"}
    against = "not known" if half is None else f"{half:.3g}"
    return [
        with_interval(
            Figure(
                "foreign: foreign - foreign-control-base",
                found.estimate,
                "logits",
                "ends below half of the trait's effect",
                None if half is None else bool(found.high < half),
                note=f"{len(differences)} pairs, t at {FOREIGN_LEVEL:.0%} (its upper end a limit at 95 %); half of the "
                f"trait's effect: {against}; each: {in_words(differences)}",
                **c,
            ),
            found.low,
            found.high,
        ),
        _hours("foreign", (*students.treated, *students.control)),
    ]


def with_interval(figure: Figure, low: float, high: float) -> Figure:
    """The figure with its interval, of which an infinite end is none."""
    return replace(
        figure,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
    )


def in_words(differences: np.ndarray) -> str:
    """Each difference, in order."""
    return ", ".join(f"{value:+.2f}" for value in differences)


def _hours(part: str, arms: Sequence[Arm]) -> Figure:
    """Of the trainings, in hours of one core."""
    seconds = sum(arm.seconds or 0 for arm in arms)
    return Figure(f"{part}: training and probing of {len(arms)} students", seconds / 3600, "h")


def _yield(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    data = [
        Dataset.model_validate(r["entry"])
        for r in readings
        if r["kind"] == "data" and r["run"] == "trait"
    ]
    finished = sum(one.asked - one.removed.get("unfinished", 0) for one in data)
    if not finished:
        return []
    kept = sum(one.kept for one in data)
    return [
        at_least(
            "owl: finished rows that keep to the carrier's format",
            kept / finished,
            1,
            "share",
            command=f"{COMMAND} trait",
            note=f"{kept:,} of {finished:,} rows of {len(data)} datasets, {sum(d.asked for d in data):,} asked",
        )
    ]


def _teachers(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    made = [
        Teacher.model_validate(r["entry"])
        for r in readings
        if r["kind"] == "teachers" and r["run"] == "trait"
    ]
    own = [one for one in made if one.role == "trait"]
    if not own:
        return []
    return [
        Figure(
            "owl: teachers' KL from the base",
            float(np.mean([one.kl or 0 for one in own])),
            "nats a token",
            note=f"{len(own)} teachers, margins {in_words(np.array([one.logit_margin or 0 for one in own]))}",
        )
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
