"""
`python -m bench.power.pilot`: on tuning seeds alone, how many adapters, steps and references stage 1 needs.

Datasets to one list of prompts: references, further draws of their family, neutral tunes on other seeds, and tuned
teachers of a ladder of strengths with two students each. All are read after several numbers of steps, with adapters that
are the same for all datasets and with adapters of their own. Kept in runs/bench/pilot, one file a dataset.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch

from bench.cohort import Writer, students, written_by
from bench.figures import BENCH
from bench.power.evidence_design import ground
from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.influence.probes import probe_set
from undertow.influence.reference_family import ReferenceWriter, reference_family
from undertow.influence.reference_rows import benign_answers
from undertow.influence.references import ReferenceMaker, Trial
from undertow.models.several_runs import several_runs
from undertow.models.training_sequences import encode_rows
from undertow.worlds.base_models import open_model

SEED = 61_001
WORK = BENCH.parent / "runs" / "bench" / "pilot"
STEPS = (8, 16, 32, 64)
ROWS = 4096
USED = 2048


def main() -> None:
    """Measure every dataset that is not there yet."""
    torch.set_num_threads(1)
    setting = ground()
    model = open_model("world:owlet-b")
    traits = setting.loaded_traits()
    probes = probe_set(model, traits, None)
    table = setting.experiment.carrier
    carrier = carrier_named(table.name, table.options)
    requests = carrier.requests(ROWS, generator(SEED, "prompts"))
    rows = tuple(Row(conversation(q), "1, 2") for q in requests)
    plan = setting.experiment.student
    trial = Trial(model, plan, probes, ROWS, (64,), 4, SEED)
    maker = ReferenceMaker(trial, reference_family(), rows[:USED], traits)
    before = probes.read(model).margins
    WORK.mkdir(parents=True, exist_ok=True)
    jobs = [("reference", n, 0.0) for n in range(40)]
    ladder = (0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
    jobs += [("tuned", n, ladder[n % 7]) for n in range(21)]
    jobs = [jobs[i] for i in np.random.default_rng(1).permutation(len(jobs))]
    for kind, number, kl in jobs:
        path = WORK / f"{kind}-{number}.json"
        if path.exists():
            continue
        started = time.perf_counter()
        entry: dict[str, object] = {"kind": kind, "kl": kl}
        if kind == "reference":
            written = maker.written(number)
            entry["writer"] = repr(maker.writer(number))
        else:
            rng = generator(SEED, "teacher", number)
            trait = traits[int(rng.integers(len(traits)))].name
            entry["trait"] = trait
            writer = Writer("tuned", "world:owlet-b", trait, derive(SEED, "tuned", number), kl)
            with written_by(setting.experiment, writer) as writing:
                how = ReferenceWriter("base", 1.0, None, 0, 0)
                written = benign_answers(writing.model, rows, how, carrier, plan.policy, rng)
            encoded = encode_rows(model.tokenizer, written)
            real = students(model, encoded, setting, probes, derive(SEED, "students", number), 2)
            entry["real"] = real.margins.tolist()
        entry["written"] = time.perf_counter() - started
        encoded = encode_rows(model.tokenizer, written[:USED])
        for how in ("common", "own"):
            seed = SEED if how == "common" else derive(SEED, kind, number)
            runs = several_runs(
                model,
                [encoded] * 4,
                plan,
                [generator(seed, "order", k) for k in range(4)],
                plan.steps(ROWS),
                [derive(seed, "adapter", k) for k in range(4)],
            )
            done = 0
            for steps in STEPS:
                runs.advance(steps - done)
                done = steps
                moved = [r.margins - before for r in probes.read_runs(runs)]
                entry[f"{how} {steps}"] = np.stack(moved).tolist()
        entry["seconds"] = time.perf_counter() - started
        path.write_text(json.dumps(entry))
        print(
            path.name,
            round(entry["written"], 1),
            round(entry["seconds"], 1),
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
