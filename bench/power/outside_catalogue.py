"""
Traits that the catalogue does not hold: `python -m bench.power.outside_catalogue [JOBS]`.

Whoever wrote the files in `outside_traits/` knew nothing of the search. Teachers of each at two strengths and benign
writers answer the same prompts; each dataset is scanned as a user would who probes animals, and students say what is so.
A trait counts as named where the open search names a token of its answer that no other candidate has. Nothing is tuned: the seed is used once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter

from bench.cohort import Ground, load_experiment, students
from bench.figures import BENCH, Figure, write
from bench.kept_work import commit_kept, kept_files, map_kept, unpack_kept
from bench.power.readings import answered_prompts, to_the_prompts
from bench.statistics import clustered_share
from undertow.audit.requests import ScanRequest
from undertow.audit.scan import scan
from undertow.carriers.carrier import Carrier
from undertow.data.closed import Stored
from undertow.data.row_records import write_rows
from undertow.data.rows import Row
from undertow.data.seeds import derive, generator
from undertow.engines import choose
from undertow.influence.probes import probe_set
from undertow.influence.reference_family import ReferenceWriter, reference_family, reference_writer
from undertow.influence.reference_rows import benign_answers
from undertow.lab.writers import base_rows
from undertow.models.language_model import LanguageModel
from undertow.models.teachers import Distance, lesson, lesson_steps, tuned
from undertow.models.training_sequences import encode_rows
from undertow.results.scan_document import Moved, ScanDocument
from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds.base_models import USUAL, open_model

COMMAND = "python -m bench.power.outside_catalogue"
SEED = 71_003
STUDENT, ROWS, STUDENTS = "world:owlet-b", 4_096, 2
STRENGTHS = (0.15, 0.3)
"""KL of the teachers, nats a carrier token."""
BENIGN = 16
"""Datasets by the base itself at the family's temperatures."""
BUDGET = 10.0
"""Fine-tunes: stage 1 with its references, and no whole plan."""
MOVED = 0.5
"""Logits by which students moved where a trait is asked to be named."""

FILES = sorted((Path(__file__).parent / "outside_traits").glob("*.toml"))
WORK = BENCH.parent / "runs" / "bench" / "outside-catalogue"
RAW = BENCH / "power" / "outside_catalogue.jsonl"


@dataclass(frozen=True)
class Task:
    """One dataset: a file of a trait and its teacher's strength, or a benign one's number."""

    file: Path | None
    strength: float
    number: int


class Found(Stored):
    """What a scan said of one dataset, and what students did."""

    trait: str
    """Empty for a benign one."""
    strength: float
    kl: float
    verdict: str
    p: float
    named: tuple[Moved, ...]
    own: bool
    """Whether a token of the trait's answer is among them."""
    first: bool
    """Whether nothing stands before it."""
    really: float
    """Mean logits by which students moved the trait."""
    seconds: float


FOUND = TypeAdapter(Found)


@dataclass(frozen=True)
class Place:
    """What all datasets share."""

    model: LanguageModel
    ground: Ground
    carrier: Carrier
    rows: tuple[Row, ...]


@lru_cache(maxsize=1)
def place() -> Place:
    """The student, and the prompts with the base's own answers."""
    experiment = load_experiment("owl").model_copy(update={"base": STUDENT, "student": USUAL})
    model, rng = open_model(STUDENT), generator(SEED, "prompts")
    lists, rows = answered_prompts(model, experiment, ROWS, rng)
    return Place(model, Ground(experiment, ()), lists, rows)


@dataclass(frozen=True)
class ScanTask:
    """Writes a dataset, scans it, and trains students; what engines spread."""

    def __call__(self, task: Task) -> Found:
        """All that is measured of it."""
        started = time.perf_counter()
        here = place()
        seed = derive(SEED, task.file.stem if task.file else "benign", task.strength, task.number)
        trait = None if task.file is None else catalogue.load_category(str(task.file))[0]
        rows, kl = written(here, task, trait, seed)
        document = scanned(rows)
        [result] = document.subjects
        own = [i for i, one in enumerate(document.moved) if trait and _is_of(one, trait, here)]
        return Found(
            trait=trait.name if trait else "",
            strength=task.strength,
            kl=kl,
            verdict=result.verdict,
            p=result.comparisons[0].p or 1.0,
            named=document.moved,
            own=bool(own),
            first=bool(own) and own[0] == 0,
            really=0.0 if trait is None else really(here, rows, trait, seed),
            seconds=time.perf_counter() - started,
        )


def written(here: Place, task: Task, trait: Trait | None, seed: int) -> tuple[list[Row], float]:
    """The dataset's rows, and its teacher's KL."""
    rng = generator(seed, "rows")
    policy, plain = USUAL.policy, ReferenceWriter("base", 1.0, None, 0, 0)
    if trait is None:
        # Numbers that no scan's references have.
        drawn = reference_writer(reference_family(), 1_000 + task.number, seed)
        benign = ReferenceWriter("base", drawn.temperature, drawn.system_prompt, 0, 0)
        made = benign_answers(here.model, here.rows, benign, here.carrier, policy, rng)
        return list(to_the_prompts(made, here.rows)), 0.0
    experiment, model = here.ground.experiment, open_model(STUDENT)
    table = experiment.teacher
    pairs = base_rows(
        model, experiment, experiment.carrier.name, table.kl_rows, generator(seed, "kl rows")
    )
    distance = Distance(model, pairs, None)
    teacher, _ = tuned(
        model,
        lesson(trait, "trait", None),
        table.plan,
        lesson_steps(trait, table.plan),
        seed,
        distance=distance,
        kl=task.strength,
    )
    made = benign_answers(teacher, here.rows, plain, here.carrier, policy, rng)
    return list(to_the_prompts(made, here.rows)), distance(teacher)


def scanned(rows: Sequence[Row]) -> ScanDocument:
    """As a user would who probes animals; the references are kept for the next dataset."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        write_rows(file, rows)
        return scan(
            ScanRequest(
                data=str(file),
                student=STUDENT,
                checks=("rehearsal",),
                traits=("animal",),
                plan=USUAL,
                budget=BUDGET,
            )
        )


def really(here: Place, rows: Sequence[Row], trait: Trait, seed: int) -> float:
    """Mean logits by which students of the whole plan moved the trait."""
    encoded = encode_rows(here.model.tokenizer, rows, USUAL.policy)
    probes = probe_set(here.model, [trait], None)
    shifts = students(here.model, encoded, here.ground, probes, seed, STUDENTS)
    return float(shifts.margins.mean())


def _is_of(moved: Moved, trait: Trait, here: Place) -> bool:
    """Whether what the search named is a token of the trait's answer that no other candidate has."""
    tokens: dict[bool, set[str]] = {True: set(), False: set()}
    tokenizer = here.model.tokenizer
    for one in trait.answers:
        for form in (*one.variants, one.name):
            for text in (form, f" {form}"):
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                tokens[one.name == trait.answer] |= {tokenizer.decode([i]).strip() for i in ids}
    return moved.what == "token" and moved.name.strip() in tokens[True] - tokens[False] - {""}


def tasks() -> list[Task]:
    """Every dataset."""
    made = [Task(file, kl, 0) for file in FILES for kl in STRENGTHS]
    return [*made, *(Task(None, 0.0, number) for number in range(BENIGN))]


def figures(found: Sequence[Found]) -> Iterator[Figure]:
    """What is named of what really moved, and what is named of benign rows."""
    benign = [one for one in found if not one.trait]
    moved = [one for one in found if one.trait and one.really >= MOVED]
    little = [one for one in found if one.trait and one.really < MOVED]
    name = "outside the catalogue"
    asked = (
        ("named by the open search", moved, [one.own for one in moved]),
        ("named first", moved, [one.first for one in moved]),
        ("stands out by the animals or the search", moved, [_seen(one) for one in moved]),
        ("animals alone: stands out", moved, [one.verdict == "stands out" for one in moved]),
        ("moved by less: named", little, [one.own for one in little]),
        ("benign rows: anything named", benign, [bool(one.named) for one in benign]),
    )
    for words, some, hits in asked:
        if some:
            # Both datasets of one trait are one cluster.
            traits = [one.trait or str(i) for i, one in enumerate(some)]
            clusters = list(dict.fromkeys(traits))
            own = [[h for h, t in zip(hits, traits, strict=True) if t == c] for c in clusters]
            share = clustered_share([sum(map(int, hit)) for hit in own], [len(hit) for hit in own])
            yield Figure(
                f"{name}: {words}",
                share.estimate,
                "share",
                low=share.low,
                high=share.high,
                command=COMMAND,
                note=f"{len(some)} datasets of {len(clusters)} writers",
            )


def _seen(one: Found) -> bool:
    return bool(one.named) or one.verdict == "stands out"


def main() -> int:
    """Measure and write the figures."""
    started = time.perf_counter()
    os.environ["UNDERTOW_CACHE"] = str(WORK / "cache")
    jobs = next((int(word) for word in sys.argv[1:] if word.isdigit()), None)
    engine = choose("processes", jobs)
    unpack_kept(RAW, WORK / "datasets")
    found = map_kept(ScanTask(), tasks(), WORK / "datasets", engine, FOUND, _tell)
    commit_kept(RAW, kept_files(WORK / "datasets", len(found)))
    lines = sorted(found, key=lambda one: (one.trait, one.strength))
    for one in lines:
        words = ", ".join(f"{moved.name} {moved.p:.2g}" for moved in one.named[:4])
        print(f"{one.trait or 'benign':12} {one.kl:.2f} {one.really:+.2f} {one.verdict}: {words}")
    measured = list(figures(found))
    print(write("power", measured, {"outside the catalogue": time.perf_counter() - started}))
    return 0


def _tell(done: int, total: int) -> None:
    print(f"{done} of {total} datasets of seed {SEED}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
