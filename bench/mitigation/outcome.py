"""What a student of an arm did: the trait, the task and the rest, and what the arm took."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property

import numpy as np
from pydantic import TypeAdapter

from bench.cohort import probes_of
from bench.mitigation.design import PLAN, Task, arms_of
from bench.mitigation.row_arms import RowArms
from bench.mitigation.situation import Situation, situation
from bench.mitigation.training_arms import intervention_of
from undertow.data.closed import Stored
from undertow.data.rows import Row
from undertow.data.seeds import derive
from undertow.influence.probes import ProbeSet
from undertow.integrations.trainer_callbacks import Countermeasure
from undertow.lab.carrier_data import drawn_pairs
from undertow.lab.experiment_inputs import open_model
from undertow.mitigate.training.interventions import CertifiedTraining
from undertow.models import adapters
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import encode_pairs, preference_weights, train_on_pairs
from undertow.models.scoring import loss
from undertow.models.several_runs import several_runs
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows


class Outcome(Stored):
    """One student."""

    arm: str
    trait: str
    moved: float
    """Logit margin of the trait on held-out wordings minus the base's, in logits."""
    largest_other: float
    """Largest change of any other trait of its category, up or down, in logits."""
    mass: float
    task_loss: float
    """On rows of the teacher's that no student saw: nats a token, or the preference loss of pairs."""
    clean_loss: float
    """On the base's own rows, nats a token."""
    neutral_loss: float
    """On the base's answers to other questions, nats a token."""
    seconds: float
    """What the arm took in all."""
    furthest: float | None = None
    """Of certified training: the furthest any certified probe strayed, over its budget."""
    held_out: float | None = None
    """Of certified training: what moved on wordings that nothing was held to, in logits."""


OUTCOMES = TypeAdapter(list[Outcome])
"""How the outcomes of a unit of work are stored."""


def try_arms(task: Task) -> list[Outcome]:
    """One unit of work, which engines spread: an outcome for each arm, and the base's own under the name `no training`."""
    with situation(task) as here:
        measuring = Measuring(here)
        if task.kind == "preference":
            found = _on_pairs(measuring)
        else:
            found = (_trained if task.group == "training" else _side_by_side)(measuring)
        return [measuring("no training", here.base, 0.0), *found]


class Measuring:
    """Reads students of one dataset."""

    def __init__(self, here: Situation) -> None:
        """Of a situation."""
        self.here = here
        self.own = here.ground.traits.index(here.trait.name)
        self.pairs: list[Row] = []
        """Held-out pairs, whose loss is the task's where there are any."""
        self._start = self._probes(here.base).read(here.base).margins
        tokenizer = here.base.tokenizer
        self._held_out = encode_rows(tokenizer, here.held_out)
        self._clean = encode_rows(tokenizer, here.clean_held_out)
        self._neutral = encode_rows(tokenizer, here.neutral)

    def __call__(self, arm: str, student: LanguageModel, seconds: float) -> Outcome:
        """What it did."""
        reading = self._probes(student).read(student)
        moved = reading.margins - self._start
        return Outcome(
            arm=arm,
            trait=self.here.trait.name,
            moved=float(moved[self.own]),
            largest_other=float(np.abs(np.delete(moved, self.own)).max()),
            mass=float(reading.mass[self.own]),
            task_loss=self._task(student),
            clean_loss=loss(student, self._clean),
            neutral_loss=loss(student, self._neutral),
            seconds=seconds,
        )

    def _probes(self, model: LanguageModel) -> ProbeSet:
        return probes_of(model, self.here.ground)

    def _task(self, student: LanguageModel) -> float:
        if not self.pairs:
            return loss(student, self._held_out)
        beta = self.here.ground.experiment.preference.beta
        lifted = beta * (self._lift(student) - self._base_lift)
        return float(np.log1p(np.exp(-lifted)).mean())

    @cached_property
    def _base_lift(self) -> np.ndarray:
        return self._lift(self.here.base)

    def _lift(self, model: LanguageModel) -> np.ndarray:
        """How much likelier the chosen completion is than the rejected one, (pairs,) in nats."""
        return np.array([pair.reference for pair in encode_pairs(model, self.pairs, None)])


def _side_by_side(measuring: Measuring) -> list[Outcome]:
    """A student for every arm on rows, all trained together."""
    here = measuring.here
    arms = arms_of(here.task)
    made, rows = RowArms(here), []
    spent = []
    for arm in arms:
        started = time.perf_counter()
        rows.append(made(arm))
        spent.append(time.perf_counter() - started)
    base = open_model(here.ground.experiment, here.base.ref)
    seed, count = derive(here.seed, "student"), len(arms)
    started = time.perf_counter()
    runs = several_runs(
        base, rows, PLAN, [here.rng("order") for _ in arms], PLAN.max_steps or 0, [seed] * count
    )
    runs.advance(PLAN.max_steps or 0)
    each = (time.perf_counter() - started) / count
    found = []
    for i, arm in enumerate(arms):
        with runs.only(i) as student:
            found.append(measuring(arm, student, spent[i] + each))
    return found


def _trained(measuring: Measuring) -> list[Outcome]:
    """A student for every arm within training, one after the other."""
    here = measuring.here
    rows = encode_rows(here.base.tokenizer, here.rows)

    def train(arm: str, student: LanguageModel) -> CertifiedTraining | None:
        own = intervention_of(arm, here, student)
        fine_tune(student, rows, PLAN, here.rng("order"), intervention=own)
        return own if isinstance(own, CertifiedTraining) else None

    return [_student(arm, measuring, train) for arm in arms_of(here.task)]


def _on_pairs(measuring: Measuring) -> list[Outcome]:
    """The same by DPO on pairs that the teacher's weight picked, in TRL's trainer."""
    here = measuring.here
    picked, by_lot, measuring.pairs = pairs_of(here)
    plan, beta = here.ground.experiment.student, here.ground.experiment.preference.beta

    def train(arm: str, student: LanguageModel) -> CertifiedTraining | None:
        own = intervention_of(arm, here, student)
        rows = by_lot if arm == "oracle" else picked
        callbacks = [Countermeasure(own)] if own is not None else []
        train_on_pairs(student, rows, plan, beta, derive(here.seed, "order") % 2**32, callbacks)
        return own if isinstance(own, CertifiedTraining) else None

    return [_student(arm, measuring, train) for arm in arms_of(here.task)]


def pairs_of(here: Situation) -> tuple[list[Row], list[Row], list[Row]]:
    """Training pairs at the task's dose, as many by lot, and held-out ones that the weight picks."""
    experiment = here.ground.experiment
    table = experiment.preference
    pools = [
        drawn_pairs(
            here.base, experiment, here.carrier, derive(here.seed, name), here.rng("pairs", name)
        )[0]
        for name in ("pool", "held out pool")
    ]
    count = round(table.keep * len(pools[0]))
    picked, held_out = (
        [
            pool[i]
            for i in np.argsort(-preference_weights(here.writing.model, here.base, pool).numpy())[
                :count
            ]
        ]
        for pool in pools
    )
    by_lot = [pools[0][i] for i in here.rng("by lot").permutation(len(pools[0]))[:count]]
    own = round(count * here.task.dose)
    mixed = [picked[i] for i in here.rng("dose").permutation(count)[:own]] + by_lot[own:]
    return mixed, by_lot, held_out[:256]


def _student(
    arm: str,
    measuring: Measuring,
    train: Callable[[str, LanguageModel], CertifiedTraining | None],
) -> Outcome:
    here = measuring.here
    plan = here.ground.experiment.student
    base = open_model(here.ground.experiment, here.base.ref)
    student = adapters.trainable(base, plan, derive(here.seed, "student"))
    started = time.perf_counter()
    certified = train(arm, student)
    found = measuring(arm, student, time.perf_counter() - started)
    if certified is None:
        return found
    kept = certified.certificate().kept
    return found.model_copy(
        update={
            "furthest": max(one.furthest / one.budget for one in kept),
            "held_out": max(abs(one.held_out) for one in kept),
        }
    )
