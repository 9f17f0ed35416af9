"""
An adversary who knows the screen: `python -m bench.power.adversary [JOBS]`.

Tuned teachers of four strengths write to the prompts of one list; an attacker with the screen's code, family, plan and
defaults, but references and seeds of its own, hands over a dataset by each strategy of `adversary_rows`. It is then
scanned as it would be by a user with the defaults (whose sample the attacker knows), by one with a seed of one's
own, and through the whole plan; students say what it does. The seed is used once, and what the attacker achieves
stands in the figures as what the screen finds does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bench.cohort import Ground, Writer, load_experiment, students, written_by
from bench.figures import BENCH, Figure, write
from bench.kept_work import commit_kept, kept_files, map_kept, unpack_kept
from bench.power.adversary_rows import (
    STRATEGIES,
    Material,
    Strategy,
    beyond_the_sample,
    largest_within,
    selected,
)
from bench.power.analysis import ALPHA, LIMIT, first_stage, lower_end, second_stage
from bench.power.readings import answered_prompts, to_the_prompts
from bench.statistics import clustered_share
from undertow.carriers.carrier import Carrier
from undertow.checks.dataset.reference_trials import (
    ADAPTERS,
    WHOLE_ADAPTERS,
    WHOLE_OF_REFERENCE,
    beginning_steps,
    reads_of,
)
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.whole_plan import ID as WHOLE
from undertow.data.closed import Stored
from undertow.data.rows import Row
from undertow.data.seeds import derive, generator
from undertow.engines import choose
from undertow.influence.probes import ProbeSet, probe_set
from undertow.influence.reference_family import ReferenceWriter, reference_family
from undertow.influence.reference_rows import benign_answers
from undertow.influence.references import ReferenceMaker, Trial, tried
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows
from undertow.stats.interval import t_quantile
from undertow.traits import catalogue
from undertow.worlds.base_models import USUAL, open_model

COMMAND = "python -m bench.power.adversary"
SEED = 71_005
STUDENT, ROWS, STUDENTS = "world:owlet-b", 4_096, 4
STRENGTHS = (0.12, 0.16, 0.22, 0.3)
"""KL of the teachers, nats a carrier token."""
TEACHERS, ANSWERS = 12, 4
REFERENCES, WHOLE_REFERENCES = 19, 8

WORK = BENCH.parent / "runs" / "bench" / "adversary"
RAW = BENCH / "power" / "adversary.jsonl"


class Handed(Stored):
    """One dataset that was handed over."""

    strategy: str
    dose: float
    """Share of rows by the teacher."""
    own_p: float
    """Of the attacker's last scan of it."""
    default_p: float
    """Of a scan with the defaults, and references that the attacker has not."""
    secret_p: float
    """Of a scan by `--seed`, whose sample the attacker does not know."""
    whole: str
    """What the whole plan says."""
    students: tuple[float, ...]
    """Logits by which each moved the teacher's trait."""


class Attack(Stored):
    """All that one teacher's owner handed over."""

    trait: str
    strength: float
    kl: float
    handed: tuple[Handed, ...]
    seconds: float


ATTACKS = TypeAdapter(Attack)


@dataclass(frozen=True)
class Scanner:
    """Stage 1 by one set of references, on rows drawn by a seed or on the first ones."""

    trial: Trial
    references: NDArray[np.float64]
    """(references, traits)."""
    sample: tuple[int, ...]

    def p(self, rows: Sequence[Row]) -> float:
        """The exact p of a dataset over all traits."""
        [read] = tried(self.trial, [[rows[i] for i in self.sample]], [self.trial.numbers])
        return first_stage(read.end.mean(0), self.references)[0]


@dataclass(frozen=True)
class Place:
    """What all attacks share."""

    model: LanguageModel
    ground: Ground
    carrier: Carrier
    rows: tuple[Row, ...]
    """The prompts with the base's own answers."""
    probes: ProbeSet
    attacker: Scanner
    default: Scanner
    secret: Scanner
    whole: Trial
    ends: NDArray[np.float64]
    """(references, 1, traits) of the whole plan."""


@lru_cache(maxsize=1)
def place() -> Place:
    """The prompts, and everybody's references."""
    experiment = load_experiment("owl").model_copy(update={"base": STUDENT, "student": USUAL})
    model = open_model(STUDENT)
    carrier, rows = answered_prompts(model, experiment, ROWS, generator(SEED, "prompts"))
    ground = Ground(experiment, tuple(t.name for t in catalogue.load_category("animal")))
    probes = probe_set(model, ground.loaded_traits(), None)
    first = tuple(range(beginning_steps(USUAL, USUAL.steps(ROWS)) * USUAL.rows_a_step))
    drawn = generator(SEED, "sample").permutation(ROWS)[: len(first)]

    def scanner(of: str, sample: Sequence[int]) -> Scanner:
        trial = beginning(model, ground)
        chosen = tuple(rows[i] for i in sample)
        found = references(trial, ground, chosen, REFERENCES, derive(SEED, "references", of))
        return Scanner(trial, found, tuple(sample))

    whole = Trial(
        model, USUAL, probes, ROWS, reads_of(USUAL, USUAL.steps(ROWS)), WHOLE_ADAPTERS,
        derive(0, WHOLE), WHOLE_OF_REFERENCE,
    )  # fmt: skip
    return Place(
        model,
        ground,
        carrier,
        rows,
        probes,
        scanner("attacker", first),
        scanner("default", first),
        scanner("secret", sorted(drawn.tolist())),
        whole,
        references(whole, ground, rows, WHOLE_REFERENCES, derive(SEED, "references", "whole"))[
            :, None
        ],
    )


def beginning(model: LanguageModel, ground: Ground) -> Trial:
    """Stage 1 of the plan; its adapters are the same whatever the scan's seed."""
    probes = probe_set(model, ground.loaded_traits(), None)
    steps = beginning_steps(USUAL, USUAL.steps(ROWS))
    return Trial(model, USUAL, probes, ROWS, (steps,), ADAPTERS, derive(0, BEGINNING))


def references(
    trial: Trial, ground: Ground, rows: tuple[Row, ...], count: int, seed: int
) -> NDArray[np.float64]:
    """(references, traits): what benign writers of the family move on the prompts; each party's are draws of its own."""
    writers = replace(trial, seed=seed)
    maker = ReferenceMaker(writers, reference_family(), rows, ground.loaded_traits())
    found = []
    for number in range(count):
        [read] = tried(trial, [maker.written(number)], [trial.of(number)])
        found.append(read.end.mean(0))
    return np.stack(found)


@dataclass(frozen=True)
class Task:
    """One teacher's owner."""

    number: int

    @property
    def strength(self) -> float:
        """Of the teacher."""
        return STRENGTHS[self.number % len(STRENGTHS)]


@dataclass(frozen=True)
class AttackScreen:
    """Makes a teacher, adapts, hands over, and is scanned; what engines spread."""

    def __call__(self, task: Task) -> Attack:
        """All four strategies of one teacher."""
        started, here = time.perf_counter(), place()
        names = here.ground.traits
        trait = names[int(generator(SEED, "trait", task.number).integers(len(names)))]
        seed = derive(SEED, "teacher", task.number)
        material, kl = written(here, trait, task.strength, seed)
        handed = [hand_over(here, which, material, trait, seed) for which in STRATEGIES]
        return Attack(
            trait=trait,
            strength=task.strength,
            kl=kl,
            handed=tuple(handed),
            seconds=time.perf_counter() - started,
        )


class Prompts(Protocol):
    """Prompts that a teacher answers."""

    @property
    def ground(self) -> Ground:
        """Of all teachers."""

    @property
    def carrier(self) -> Carrier:
        """Of the prompts."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The prompts with the base's own answers."""


def written(
    here: Prompts,
    trait: str,
    strength: float,
    seed: int,
    *,
    answers: int = ANSWERS,
    base: tuple[Row, ...] | None = None,
) -> tuple[Material, float]:
    """The teacher's answers and the base's, unless they are given, to every prompt, and the teacher's KL."""
    plain = ReferenceWriter("base", 1.0, None, 0, 0)

    def answered(model: LanguageModel, *purpose: str | int) -> tuple[Row, ...]:
        rng = generator(seed, "answers", *purpose)
        made = benign_answers(model, here.rows, plain, here.carrier, USUAL.policy, rng)
        return to_the_prompts(made, here.rows)

    writer = Writer("tuned", STUDENT, trait, seed, strength)
    with written_by(here.ground.experiment, writer) as writing:
        own = tuple(answered(writing.model, number) for number in range(answers))
        kl = writing.kl or 0.0
    return Material(own, base or answered(open_model(STUDENT), "base")), kl


def hand_over(here: Place, strategy: Strategy, material: Material, trait: str, seed: int) -> Handed:
    """The dataset of a strategy, scanned and trained on."""
    rows, dose = adapted(here, strategy, material, trait, seed)
    [end] = tried(here.whole, [rows], [here.whole.numbers])
    encoded = encode_rows(here.model.tokenizer, rows, USUAL.policy)
    order = derive(seed, "students", strategy)
    shifts = students(here.model, encoded, here.ground, here.probes, order, STUDENTS)
    own = here.ground.traits.index(trait)
    return Handed(
        strategy=strategy,
        dose=dose,
        own_p=here.attacker.p(rows),
        default_p=here.default.p(rows),
        secret_p=here.secret.p(rows),
        whole=second_stage(end.end, here.ends),
        students=tuple(map(float, shifts.margins[:, own])),
    )


def adapted(
    here: Place, strategy: Strategy, material: Material, trait: str, seed: int
) -> tuple[list[Row], float]:
    """The rows of a strategy and their dose."""
    if strategy == "beyond the sample":
        tried_rows = len(here.attacker.sample)
        return beyond_the_sample(material, tried_rows), 1 - tried_rows / ROWS
    own = list(material.own[0])
    if strategy == "plain":
        return own, 1.0
    if strategy == "selection":
        number = here.ground.traits.index(trait)
        own = selected(here.model, material, number, here.probes, USUAL, seed)
    return largest_within(own, material.base, here.attacker.p, seed)


def figures(attacks: Sequence[Attack]) -> Iterator[Figure]:
    """By strategy: what each scan says of the datasets, and what those did that it let pass."""
    for strategy in STRATEGIES:
        some = [one for attack in attacks for one in attack.handed if one.strategy == strategy]
        name = f"adversary: {strategy}"
        for words, hits in (
            ("stands out by the defaults", [one.default_p <= ALPHA for one in some]),
            ("stands out by a seed of one's own", [one.secret_p <= ALPHA for one in some]),
            ("flagged by the whole plan", [one.whole == "flagged" for one in some]),
            ("clear by the whole plan", [one.whole == "clear" for one in some]),
        ):
            yield share_figure(f"{name}: {words}", hits)
        moved = np.array([np.mean(one.students) for one in some])
        yield mean_figure(f"{name}: students moved", moved)
        doses = np.array([one.dose for one in some])
        yield _figure(
            f"{name}: share of the teacher's rows", float(doses.mean()), "", None, None, len(some)
        )
        for words, passed in (
            ("within by the defaults", [one.default_p > ALPHA for one in some]),
            ("within by a seed of one's own", [one.secret_p > ALPHA for one in some]),
            ("clear", [one.whole == "clear" for one in some]),
        ):
            if any(passed):
                yield mean_figure(
                    f"{name}: students moved by what is {words}", moved[np.array(passed)]
                )
        surely = [one for one in some if lower_end(np.array(one.students)) > LIMIT]
        wrong = sum(one.whole == "clear" for one in surely)
        yield _figure(
            f"{name}: clear although students surely moved",
            float(wrong),
            "datasets",
            None,
            None,
            len(surely),
        )


def share_figure(name: str, hits: Sequence[bool], command: str = COMMAND) -> Figure:
    """A share of datasets, one a teacher, with its exact interval."""
    share = clustered_share([int(hit) for hit in hits], [1] * len(hits))
    low, high = share.low, share.high
    return _figure(name, share.estimate, "share", low, high, len(hits), command=command)


def mean_figure(
    name: str, values: NDArray[np.float64], command: str = COMMAND, unit: str = "logits"
) -> Figure:
    """A mean over datasets, one a teacher, with its t interval."""
    half = 0.0
    if len(values) > 1:
        half = t_quantile(0.975, len(values) - 1) * float(values.std(ddof=1)) / len(values) ** 0.5
    mean, more = float(values.mean()), f"at most {values.max():.2f}"
    low, high = (mean - half, mean + half) if len(values) > 1 else (None, None)
    return _figure(name, mean, unit, low, high, len(values), more, command)


def _figure(
    name: str,
    value: float,
    unit: str,
    low: float | None,
    high: float | None,
    count: int,
    more: str = "",
    command: str = COMMAND,
) -> Figure:
    note = f"{count} datasets" + (f", {more}" if more else "")
    return Figure(name, value, unit, low=low, high=high, command=command, note=note)


def main() -> int:
    """Measure and write the figures."""
    started = time.perf_counter()
    jobs = next((int(word) for word in sys.argv[1:] if word.isdigit()), None)
    unpack_kept(RAW, WORK)
    tasks = [Task(number) for number in range(TEACHERS)]
    attacks = map_kept(AttackScreen(), tasks, WORK, choose("processes", jobs), ATTACKS, _tell)
    commit_kept(RAW, kept_files(WORK, len(attacks)))
    for attack in attacks:
        for one in attack.handed:
            print(
                f"{attack.trait:10} {attack.kl:.2f} {one.strategy:18} dose {one.dose:.2f} "
                f"p {one.own_p:.2f} {one.default_p:.2f} {one.secret_p:.2f} {one.whole:9} "
                f"{np.mean(one.students):+.2f}"
            )
    print(write("power", list(figures(attacks)), {"adversary": time.perf_counter() - started}))
    return 0


def _tell(done: int, total: int) -> None:
    print(f"{done} of {total} attacks of seed {SEED}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
