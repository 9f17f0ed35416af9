"""
`python -m bench.power.pairs` rehearses preference pairs that teachers' weights picked, and trains students of them by DPO.

No calibration is for pairs: what is measured is how well the bare estimate orders and sizes what students do.
"""

from __future__ import annotations

import sys

import numpy as np
from pydantic import TypeAdapter

from bench.figures import BENCH, Figure, write
from bench.power.design import STUDENT
from bench.statistics import rank_correlation
from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.data.closed import Stored
from undertow.data.seeds import derive, generator
from undertow.engines import choose
from undertow.engines.engine import map_kept
from undertow.influence import prediction
from undertow.influence.plan_rehearsal import Rehearsal
from undertow.lab.carrier_data import drawn_pairs
from undertow.lab.cohort import Ground, Writer, probes_of, written_by
from undertow.lab.experiment import load_experiment
from undertow.lab.experiment_inputs import open_model
from undertow.models.objectives import Preferences, encode_pairs, preference_weights
from undertow.models.several_runs import several_runs
from undertow.traits import catalogue

COMMAND = "python -m bench.power.pairs"
WORK = BENCH.parent / "runs" / "bench" / "power-pairs"
SEED, TUNED, NEUTRAL, STUDENTS = 52_001, 8, 8, 2
DOSES = (1.0, 0.5, 0.25)
STRENGTHS = (0.15, 0.3)


class Rehearsed(Stored):
    """One dataset of pairs."""

    kind: str
    trait: str
    dose: float
    estimate: float
    """Of the writer's trait, in logits, without a calibration."""
    first: bool
    """Whether that trait is estimated highest of all."""
    transfer: float
    """Mean of the students, in logits."""
    largest: float
    """Largest mean move of any trait."""


def try_pairs(number: int) -> list[Rehearsed]:
    """
    Makes one teacher and its datasets, which engines spread: one entry a dose; a neutral teacher has only full ones.
    """
    experiment = load_experiment("preference").model_copy(update={"base": STUDENT})
    names = tuple(t.name for t in catalogue.load_category("animal"))
    ground = Ground(experiment, names)
    seed = derive(SEED, "teacher", number)
    tuned = number < TUNED
    trait = names[int(generator(seed, "trait").integers(len(names)))]
    kl = STRENGTHS[number % len(STRENGTHS)] if tuned else None
    writer = Writer("tuned" if tuned else "neutral", STUDENT, trait, seed, kl)
    base = open_model(experiment, STUDENT)
    table = experiment.preference
    carrier = carrier_named(experiment.carrier.name, experiment.carrier.options)
    pool, _ = drawn_pairs(base, experiment, carrier, derive(seed, "pool"), generator(seed, "pairs"))
    count = round(table.keep * len(pool))
    with written_by(experiment, writer) as writing:
        order = np.argsort(-preference_weights(writing.model, base, pool).numpy())
    by_lot = generator(seed, "by lot").permutation(len(pool))[:count]
    probes, found = probes_of(base, ground), []
    for dose in DOSES if tuned else DOSES[:1]:
        own = round(count * dose)
        picked = generator(seed, "dose").permutation(order[:count])[:own]
        pairs = encode_pairs(base, [pool[i] for i in (*picked, *by_lot[own:])], None)
        objective, plan = Preferences(table.beta), experiment.student
        rehearsal = Rehearsal(
            base, pairs, plan, probes, derive(seed, "rehearsal"), objective=objective
        )
        while not rehearsal.finished:
            rehearsal.advance()
        read = prediction.readings(rehearsal.result, len(rehearsal.result.steps))
        estimate = prediction.uncalibrated(read, len(names), 0.95).estimate
        before = probes.read(base).margins
        seeds = [derive(seed, "student", k) for k in range(STUDENTS)]
        orders = [generator(seed, "order", k) for k in range(STUDENTS)]
        total = plan.steps(len(pairs))
        runs = several_runs(base, [pairs] * STUDENTS, plan, orders, total, seeds, objective)
        runs.advance(total)
        moved = np.mean([one.margins for one in probes.read_runs(runs)], axis=0) - before
        place = names.index(trait)
        found.append(
            Rehearsed(
                kind=writer.kind,
                trait=trait,
                dose=dose,
                estimate=float(estimate[place]),
                first=int(np.argmax(estimate)) == place,
                transfer=float(moved[place]),
                largest=float(moved.max()),
            )
        )
    return found


def main() -> int:
    """Measure and write the figures."""
    found = map_kept(
        try_pairs,
        list(range(TUNED + NEUTRAL)),
        WORK,
        choose("processes"),
        TypeAdapter(list[Rehearsed]),
        lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
    )
    entries = [entry for each in found for entry in each]
    tuned = [entry for entry in entries if entry.kind == "tuned"]
    neutral = [entry for entry in entries if entry.kind == "neutral"]
    order = rank_correlation(
        [one.estimate for one in tuned],
        [one.transfer for one in tuned],
        rng=np.random.default_rng(SEED),
    )
    errors = [one.estimate - one.transfer for one in tuned]
    moved = [one for one in tuned if one.transfer >= 0.5]
    more = {"command": COMMAND}
    figures = [
        Figure(
            "pairs: rank correlation of the estimate with real transfer",
            order.estimate,
            "",
            low=order.interval.low,
            high=order.interval.high,
            note=f"{len(tuned)} datasets by {TUNED} teachers, DPO",
            **more,
        ),
        Figure(
            "pairs: right trait estimated highest of 16",
            sum(one.first for one in moved) / max(1, len(moved)),
            "share",
            note=f"{len(moved)} datasets whose students moved by .5 logits or more",
            **more,
        ),
        Figure(
            "pairs: estimate over real transfer, where students moved by .5 logits or more",
            float(np.mean([one.estimate / one.transfer for one in moved])),
            "",
            note=f"root mean square error over all {float(np.sqrt(np.mean(np.square(errors)))):.2f} logits",
            **more,
        ),
        Figure(
            "pairs: largest move of any trait among students of neutral teachers' pairs",
            max(one.largest for one in neutral),
            "logits",
            note=f"{len(neutral)} datasets; largest estimate of the trait {max(o.estimate for o in neutral):.2f}",
            **more,
        ),
    ]
    print(write("power", figures, {"pairs": 0.0}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
