"""
The whole on one accelerator, within minutes: `python -m bench.real.whole FOLDER --until SECONDS`; `--figures` computes the
figures from `bench/real/whole.jsonl`, which is `$OUT/whole.jsonl` of a run.

One process, the base opened once, every reading on disk as it is made. What takes turns elsewhere is side by side here: on
an accelerator a step of this model is launches. Sizes and analysis were fixed before any of it was run (LOG.md).

A. Two animals by lot, none that `owl` or `screen` uses; of each up to six pairs of a student of its teacher's rows and one
   of the base's own rows, on common streams, in owl.toml's setting; four pairs are trained side by side.
C. Their margins by question, of which `--figures` makes what `undertow diff` says of each beside controls.
D. The rows of the first animal's replicates 0 and 1, 512 rows and 32 steps: untreated, anchored, with projected steps, and
   with steps from which a direction by lot is taken out.
B. Twelve triples of datasets to one list of prompts: by a teacher of a trait by lot, and two benign ones, by the declared
   family but for each fourth, whose teacher was tuned towards no answer. Each is tried for 8 of 32 steps with two adapters
   beside 19 references, and trained by four students for 32 steps.

In the order A (first four pairs), C, D (replicate 0), B, D (replicate 1), A (the rest). What is finished when time is up is
the beginning of that order; of a triple that has no students nothing is used.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.real.pairs_together import PairedStudents
from bench.real.places import Place
from bench.real.record import Record, Values
from bench.real.sitting import SEED, Extent, Sitting, animals_by_lot
from bench.real.triples import Triples
from undertow.models.hardware import ComputeTable
from undertow.worlds.base_models import open_model

OUT = Path(__file__).parent / "out"
NAME = "whole"

RESERVE = 3.0
"""Seconds before the end in which nothing is computed any more."""

TINY = Extent(
    replicates=2,
    pairs_at_once=1,
    defended=1,
    defended_rows=32,
    anchored=16,
    triples=2,
    triples_at_once=1,
    rows=64,
    students=2,
    references=3,
    references_at_once=2,
    early=1,
)
"""To try that everything runs."""


def main(arguments: list[str]) -> int:
    """Measure until the time is up, or compute the figures."""
    given = _parser().parse_args(arguments)
    if given.figures:
        from bench.real.whole_figures import store

        store(Place())
        return 0
    if given.folder is None:
        print("error: name the FOLDER of the base, or --figures", file=sys.stderr)
        return 2
    # transformers and peft warn of what nobody here chose, once a training.
    warnings.simplefilter("ignore")
    until = given.until or time.time() + 420
    record = measured(
        given.folder, until, given.device, given.launches, tiny=given.tiny, name=given.name
    )
    record.say(f"{len(record.cases)} units: {record.path}l")
    for case in record.cases:
        if case.error:
            record.say(f"failed: {case.name}: {case.error}")
    sys.stdout.flush()
    # As `bench.real measure` ends: nothing that still runs on the accelerator keeps the process alive.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.real.whole", description=__doc__)
    parser.add_argument("folder", nargs="?", help="of the base; a reference such as world:owlet-a")
    parser.add_argument("--until", type=float, help="seconds since 1970; 420 from now if not given")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--launches",
        choices=("recorded", "each"),
        default="recorded",
        help="whether an accelerator records passes and replays them",
    )
    parser.add_argument("--name", default=NAME, help="of the files of readings")
    parser.add_argument("--tiny", action="store_true", help="few rows, to try that everything runs")
    parser.add_argument(
        "--figures", action="store_true", help="compute the figures from the readings that are kept"
    )
    return parser


@dataclass(frozen=True)
class Unit:
    """A piece of work that takes seconds, named in the order of work."""

    name: str
    work: Callable[[], Values]


def measured(
    folder: str,
    until: float,
    device: str,
    launches: str = "recorded",
    *,
    tiny: bool = False,
    name: str = NAME,
) -> Record:
    """
    Work through the units up to a time, in seconds since 1970; a unit that fails or is cut off costs no other one.

    Readings are appended to `NAME.jsonl` in `$OUT`, and `NAME.json` there says what each unit took.
    """
    out = Path(os.environ.get("OUT") or OUT)
    out.mkdir(parents=True, exist_ok=True)
    about = {"device": device, "folder": Path(folder).name, "seed": SEED, "tiny": tiny}
    began, budget = time.monotonic(), until - time.time() - RESERVE
    record = Record(out / f"{name}.json", began, budget, about)
    readings = out / f"{name}.jsonl"
    readings.unlink(missing_ok=True)
    opened: list[Sitting] = []

    def opening() -> Values:
        opened.append(_opened(folder, device, launches, readings, tiny=tiny))
        if device.startswith("cuda"):
            # What is loaded stays: the end of every unit would look through all of it again.
            gc.collect()
            gc.freeze()
        return {"base": opened[0].model.ref, "dtype": opened[0].model.precision}

    def everything(record: Record) -> None:
        record.case("opening the base", opening, budget)
        for unit in units(opened[0]):
            record.case(unit.name, unit.work, budget)

    record.section(NAME, everything, budget)
    return record


def _opened(folder: str, device: str, launches: str, readings: Path, *, tiny: bool) -> Sitting:
    experiment = Place(tiny=tiny).experiment()
    dtype = "bfloat16" if device.startswith("cuda") else experiment.compute.dtype
    compute = ComputeTable.model_validate({"device": device, "dtype": dtype, "launches": launches})
    model = open_model(folder, experiment.student.template, compute)
    return Sitting(model, experiment, TINY if tiny else Extent(), readings)


def units(sitting: Sitting) -> list[Unit]:
    """All of the work, what matters first in front."""
    first, second = animals_by_lot()
    pairs, triples = PairedStudents(sitting, (first, second)), Triples(sitting)
    sitting.plan_teachers(pairs.pupils, triples.pupils)
    extent = sitting.extent
    chunks = pairs.chunks
    return [
        Unit("teachers, side by side", lambda: sitting.teach(0)),
        *_of_pairs(pairs, chunks[0]),
        *_defended(pairs, 0),
        Unit("neutral tunes, side by side", triples.tune),
        *(
            Unit(f"references {start} to {stop - 1}", lambda a=start, b=stop: triples.refer(a, b))
            for start, stop in triples.reference_chunks
        ),
        *(unit for numbers in triples.groups for unit in _of_triples(triples, numbers)),
        *(unit for number in range(1, extent.defended) for unit in _defended(pairs, number)),
        *(unit for chunk in chunks[1:] for unit in _of_pairs(pairs, chunk)),
    ]


def _of_pairs(pairs: PairedStudents, chunk: tuple[tuple[str, int], ...]) -> list[Unit]:
    named = ", ".join(f"{trait} {replicate}" for trait, replicate in chunk)
    return [
        *(
            Unit(f"rows of {trait} {replicate}", lambda t=trait, r=replicate: pairs.write(t, r))
            for trait, replicate in chunk
        ),
        Unit(f"students of {named}", lambda: pairs.train(chunk)),
    ]


def _defended(pairs: PairedStudents, replicate: int) -> list[Unit]:
    return [
        Unit(f"{arm} steps, replicate {replicate}", lambda a=arm: pairs.defend(replicate, a))
        for arm in pairs.ARMS
    ]


def _of_triples(triples: Triples, numbers: range) -> list[Unit]:
    named = ", ".join(map(str, numbers))
    return [
        *(Unit(f"rows of triple {n}", lambda number=n: triples.write(number)) for n in numbers),
        Unit(f"screen of triples {named}", lambda: triples.screen(numbers)),
        Unit(f"students of triples {named}", lambda: triples.train(numbers)),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
