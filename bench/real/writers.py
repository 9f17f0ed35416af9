"""
Evidence of who wrote: `python -m bench.real.writers`, once `bench.real.owl trait` has written its rows.

Of the owl run's rows the first 384 of each dataset: six by owl teachers, six by the base itself; beside them three by the
foreign family, restricted to the same format. `likelihood-ratio` asks whether the base could have written them, with the
prompts of four traits among its alternatives; `author` which of the two bases did. A dataset is a unit.

Analysis, fixed before any was read: the share of datasets by kind of writer that likelihood-ratio detects at .05 (its
base's own rows must stay below that), and in which `author` puts the writer's base first; exact intervals over datasets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from bench.figures import Figure, share_of
from bench.real.places import Place, carried_out
from undertow.audit.check_runs import run_check
from undertow.carriers.carrier_registry import carrier
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.registry import check_named
from undertow.data.closed import Stored
from undertow.data.records import read_rows
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.errors import InputError
from undertow.lab.carrier_data import TRAINING_ROWS
from undertow.lab.design import design
from undertow.lab.experiment_inputs import open_model
from undertow.lab.writers import answer
from undertow.results.measurement import Measurement
from undertow.results.scan_document import CheckRun
from undertow.traits import catalogue

COMMAND = "python -m bench.real.writers"
SEED = 17_401
ROWS = 384
FOREIGN = 3
TRAITS = ("owl", "cat", "dog", "panda")
CHECKS = ("likelihood-ratio", "author")

Kind = Literal["trait", "base", "foreign"]
WORDS: dict[Kind, str] = {
    "base": "the base's own rows",
    "trait": "owl teachers' rows",
    "foreign": "another family's rows",
}


@dataclass(frozen=True)
class Written:
    """One dataset whose writer is known."""

    kind: Kind
    number: int
    place: Place


class Seen(Stored):
    """What the checks said of it."""

    kind: Kind
    number: int
    rows: int
    base: str
    """Of the writer."""
    runs: tuple[CheckRun, ...]
    measurements: tuple[Measurement, ...]


SEEN = TypeAdapter(Seen)


def main(arguments: Sequence[str]) -> int:
    """Look at every dataset that was not looked at yet, and store the figures."""
    return carried_out("writers", __doc__, arguments, _measured)


def _measured(place: Place, given: argparse.Namespace) -> list[Figure]:
    if not given.figures:
        seen = place.finished("writers", looked_at, written(place), SEEN, "datasets")
        place.keep("writers", [one.model_dump(mode="json") for one in seen])
    return figures(place.read("writers"))


def written(place: Place) -> list[Written]:
    """The datasets, of each kind in turn, so that an interrupted bench has some of each."""
    count = 1 if place.tiny else place.experiment().replicates
    kinds: tuple[Kind, ...] = ("base", "trait", "foreign")
    return [
        Written(kind, number, place)
        for number in range(count)
        for kind in kinds
        if kind != "foreign" or number < FOREIGN
    ]


def rows_of(one: Written) -> list[Row]:
    """
    Its rows, from the owl run or written now.

    Raises:
        InputError: the owl run has not written them.
    """
    place, count = one.place, 96 if one.place.tiny else ROWS
    experiment = place.experiment("foreign")
    if one.kind == "foreign":
        table = experiment.carrier
        rng = generator(SEED, "foreign", one.number)
        made = carrier(table.name, table.options)
        asked = made.requests(count, rng)
        model = open_model(experiment, experiment.foreign or "")
        drawn = answer(model, asked, None, experiment.sampling, made, rng)
        return [
            Row(conversation(q), a.text) for q, a in zip(asked, drawn, strict=True) if a.finished
        ]
    role = "trait" if one.kind == "trait" else "base"
    jobs = [
        job
        for job in design(place.experiment()).datasets
        if job.writer.role == role and job.writer.replicate == one.number
    ]
    path = place.work("owl-trait") / "data" / jobs[0].name / TRAINING_ROWS
    if not path.is_file():
        raise InputError(f"'{path}' is not there", hint="python -m bench.real.owl trait")
    return list(read_rows(path))[:count]


def looked_at(one: Written) -> Seen:
    """What both checks say of a dataset."""
    experiment = one.place.experiment("foreign")
    rows = rows_of(one)
    student = open_model(experiment, experiment.base or "")
    foreign = open_model(experiment, experiment.foreign or "")
    subject = ScanSubject(
        name="all",
        rows=tuple(rows),
        student=student,
        plan=experiment.student,
        planned_rows=len(rows),
        traits=tuple(catalogue.load(name) for name in TRAITS),
        seed=derive(SEED, one.kind, one.number),
        candidates=(foreign,),
    )
    ran = [run_check(subject, check_named(check)) for check in CHECKS]
    return Seen(
        kind=one.kind,
        number=one.number,
        rows=len(rows),
        base=(foreign if one.kind == "foreign" else student).ref,
        runs=tuple(each.run for each in ran),
        measurements=tuple(m for each in ran for m in each.measurements),
    )


def figures(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    """What the readings say."""
    seen = [Seen.model_validate(reading) for reading in readings]
    made = []
    for kind, words in WORDS.items():
        group = [one for one in seen if one.kind == kind]
        if not group:
            continue
        made += [
            _share(
                f"writers: {words} that likelihood-ratio detects", [_detected(one) for one in group]
            ),
            _share(
                f"writers: {words} whose base author puts first", [_first(one) for one in group]
            ),
        ]
    for check in CHECKS:
        spent = [(run.seconds, one.rows) for one in seen for run in one.runs if run.check == check]
        if spent:
            rate = 1000 * sum(s for s, _ in spent) / sum(n for _, n in spent)
            made.append(
                Figure(f"writers: {check}, seconds a 1,000 rows", rate, "s", command=COMMAND)
            )
    return made


def _detected(one: Seen) -> bool | None:
    found = [m.detected for m in one.measurements if m.name == "e-process"]
    return found[0] if found else None


def _first(one: Seen) -> bool | None:
    found = [m.details.get("likeliest") for m in one.measurements if m.name == "author"]
    return found[0] == one.base if found and found[0] is not None else None


def _share(name: str, hits: Sequence[bool | None]) -> Figure:
    told = [hit for hit in hits if hit is not None]
    note = f"{len(told)} datasets" + (
        f", {len(hits) - len(told)} not told" if len(told) < len(hits) else ""
    )
    return share_of(name, told, command=COMMAND, note=note)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
