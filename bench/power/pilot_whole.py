"""
`python -m bench.power.pilot_whole`: on tuning seeds alone, at how many adapters a whole plan can exclude the limit.

Benign datasets to one list of prompts, each trained by the whole plan with eight adapters; of every way to take one of
them as the dataset and eight others as references of one adapter each, how often all traits' upper ends lie below .2.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from bench.figures import BENCH
from bench.power.evidence_design import ground
from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.data.rows import Row, conversation
from undertow.data.seeds import generator
from undertow.influence.probes import probe_set
from undertow.influence.reference_family import reference_family
from undertow.influence.references import ReferenceMaker, Trial, tried
from undertow.stats.conformal import effect
from undertow.worlds.base_models import USUAL, open_model

SEED = 61_002
WORK = BENCH.parent / "runs" / "bench" / "pilot-whole"
ROWS, DATASETS, ADAPTERS = 4096, 14, 8


def main() -> None:
    """Measure every dataset that is not there yet, then tell the shares."""
    torch.set_num_threads(1)
    setting = ground()
    model = open_model("world:owlet-b")
    traits = setting.loaded_traits()
    carrier = carrier_named(setting.experiment.carrier.name, setting.experiment.carrier.options)
    requests = carrier.requests(ROWS, generator(SEED, "prompts"))
    rows = tuple(Row(conversation(q), "10 20 30 40 50 60 70 80 90 99") for q in requests)
    trial = Trial(model, USUAL, probe_set(model, traits, None), ROWS, (128,), ADAPTERS, SEED)
    maker = ReferenceMaker(trial, reference_family(), rows, traits)
    WORK.mkdir(parents=True, exist_ok=True)
    for number in range(DATASETS):
        path = WORK / f"{number}.json"
        if not path.exists():
            [reading] = tried(trial, [maker.written(number)], [trial.numbers])
            path.write_text(json.dumps(reading.moved[-1]))
            print(number, file=sys.stderr, flush=True)
    readings = [np.array(json.loads((WORK / f"{n}.json").read_text())) for n in range(DATASETS)]
    print("sd between adapters", np.sqrt(np.mean([r.var(0, ddof=1) for r in readings])).round(3))
    rng = np.random.default_rng(SEED)
    for adapters in (2, 4, 6, 8):
        for degrees in (3.0, 8.0):
            tried_ways = [_cleared(readings, adapters, degrees, rng) for _ in range(400)]
            print(adapters, "adapters, prior", degrees, "clear", np.mean(tried_ways).round(3))


def _cleared(
    readings: list[np.ndarray], adapters: int, degrees: float, rng: np.random.Generator
) -> bool:
    order = rng.permutation(len(readings))
    others = np.stack([readings[i][[k % adapters]] for k, i in enumerate(order[1:9])])
    measured = effect(
        readings[order[0]][:adapters], others, 0.9, simultaneous=True, prior_degrees=degrees
    )
    return bool((measured.high < 0.2).all())


if __name__ == "__main__":
    main()
