"""
What fits where: the table of docs/what-fits.md, and how far its estimates are from what was measured here.

    python -m bench.what_fits                       writes the page
    python -m bench.what_fits measure world:NAME    measures on this machine, into bench/what_fits.json

Estimates are those of `undertow scan --dry-run --machine`; nothing is loaded for the table.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, Qwen2Config

from bench import scan_prices
from undertow.audit.accelerators import HERE, known_accelerators, machine_of, tried_with
from undertow.audit.check_prices import ModelWork, ScanSize, check_prices, taken
from undertow.audit.dry_run import duration
from undertow.audit.model_placing import Placing
from undertow.checks.registry import chosen_checks
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models.adapters import parallel_adapters
from undertow.models.hardware import ComputeTable
from undertow.models.meta_costs import RowSize, model_costs
from undertow.models.scoring import log_likelihoods
from undertow.models.several_runs import ParallelTraining
from undertow.models.training_sequences import encode_rows
from undertow.worlds.base_models import DEFAULT_PLAN, open_model

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "what-fits.md"
MEASURED = ROOT / "bench" / "what_fits.json"
ON_H200 = ROOT / "bench" / "real" / "h200.json"

_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
    "tie_word_embeddings",
)
_SHAPES = {
    "0.5B (Qwen2.5-0.5B)": (Qwen2Config, (896, 24, 14, 2, 4864, 151936, True)),
    "7B (Qwen2.5-7B)": (Qwen2Config, (3584, 28, 28, 4, 18944, 152064, False)),
    "14B (Qwen2.5-14B)": (Qwen2Config, (5120, 48, 40, 8, 13824, 152064, False)),
    "70B (Llama-3-70B)": (LlamaConfig, (8192, 80, 64, 8, 28672, 128256, False)),
}
SHAPES: dict[str, Any] = {
    name: kind(**dict(zip(_SIZES, sizes, strict=True))) for name, (kind, sizes) in _SHAPES.items()
}
"""As the models' own config.json have them."""

COUNTS = (1, 2, 8)
SIZES = {"short rows": RowSize(64, 40), "long rows": RowSize(1024, 512)}
SCAN = {"rows": 10_000, "probes": 900, "references": 19, "catalogue": 26_000}
"""`probes` and `catalogue`: the catalogue's traits in tokens of SmolLM2."""
STEPS = 6
"""Of a measured training."""


def cells() -> Iterator[tuple[str, int, str, Placing, bool, float, float, float]]:
    """(model, GPUs, rows, way, whether it fits, GB on a GPU, seconds of stage 1, of the whole plan)."""
    for name, config in SHAPES.items():
        for sized, size in SIZES.items():
            costs = model_costs(config, DEFAULT_PLAN, size, torch.bfloat16)
            scan = ScanSize(
                DEFAULT_PLAN,
                SCAN["rows"],
                size,
                SCAN["probes"],
                SCAN["references"],
                SCAN["catalogue"],
            )
            for count in COUNTS:
                machine = machine_of(f"{count}xH100-80GB")
                split = "tensor" if config.num_key_value_heads % count == 0 else "layers"
                for way, packed in ((split, False), ("layers", True)):
                    way = "whole" if count == 1 else way
                    where = Placing(costs, machine, way, packed)  # type: ignore[arg-type]
                    prices = {
                        price.label: price.seconds
                        for price in check_prices(scan, where, chosen_checks("dataset", ()))
                    }
                    first = sum(
                        seconds for check, seconds in prices.items() if check != "whole-plan"
                    )
                    used = where.weights + where.adapters + where.row(size.tokens)
                    fits = where.fits(size.tokens)
                    yield name, count, sized, where, fits, used / 1e9, first, prices["whole-plan"]


def table() -> str:
    """The table in Markdown."""
    lines = [
        "| model | GPUs of 80 GB | rows | way | GB on a GPU | stage 1 and all else | whole plan | GPU-hours of both |",
        "|---|---:|---|---|---:|---:|---:|---:|",
    ]
    for name, count, sized, where, fits, used, first, whole in cells():
        told = "as it is" if where.told == "as it is" else f"`{where.told}`"
        times = (duration(first), duration(whole), f"{count * (first + whole) / 3600:.1f}")
        shown = times if fits else ("does not fit", "–", "–")
        again = ", layers again" if fits and where.again(SIZES[sized].tokens) else ""
        told += again
        lines.append(f"| {name} | {count} | {sized} | {told} | {used:.1f} | {' | '.join(shown)} |")
    return "\n".join(lines)


def measure(ref: str) -> dict[str, Any]:
    """One base on this machine: seconds of a trained and a scored row and the peak of memory, beside the estimates."""
    model = open_model(ref, compute=ComputeTable(device="cpu"))
    rows = encode_rows(
        model.tokenizer,
        [
            Row(
                conversation(f"Continue: {n}, {n + 7}. Ten more."),
                ", ".join(map(str, range(n, n + 10))),
            )
            for n in range(100, 228)
        ],
    )
    size = RowSize(
        round(np.mean([len(row) for row in rows])), round(np.mean([row.learnt for row in rows]))
    )
    dtype = next(model.network.parameters()).dtype
    costs = model_costs(model.network.config, DEFAULT_PLAN, size, dtype)
    adapters = parallel_adapters(model, DEFAULT_PLAN, [0, 1])
    orders = [np.random.default_rng(k) for k in range(2)]
    training = ParallelTraining(adapters, [rows] * 2, DEFAULT_PLAN, orders, STEPS + 1)
    started = time.perf_counter()
    log_likelihoods(model, rows)
    scored = (time.perf_counter() - started) / len(rows)
    before = _resident()
    training.advance(1)
    started = time.perf_counter()
    training.advance(STEPS)
    trained = (time.perf_counter() - started) / (2 * STEPS * DEFAULT_PLAN.rows_a_step)
    longest = max(map(len, rows))
    held = training._room.rows(longest, 2, DEFAULT_PLAN.rows_a_step) if training._room else 0
    peak = _peak()  # what the machine is measured by is not to be in it
    machine = tried_with(machine_of(HERE), model, DEFAULT_PLAN, size)
    estimate = Placing(costs, machine, "whole", packed=False)
    passed = machine.accelerator.peak * 2 * held * size.tokens * costs.kept
    return {
        "model": ref,
        "machine": machine.accelerator.source,
        "tflops": machine.accelerator.operations / 1e12,
        "tokens": size.tokens,
        "seconds a trained row": [_trained_row(costs, estimate), trained],
        "seconds a scored row": [_scored_row(costs, estimate), scored],
        "GB beyond the model": [(passed + 16 * 2 * costs.adapter) / 1e9, (peak - before) / 1e9],
    }


def _trained_row(costs: Any, where: Placing) -> float:
    accelerator = where.machine.accelerator
    computing = costs.training / (accelerator.trained * accelerator.operations)
    return max(computing, accelerator.step * costs.layers / (2 * DEFAULT_PLAN.rows_a_step))


def _scored_row(costs: Any, where: Placing) -> float:
    accelerator = where.machine.accelerator
    computing = costs.scoring / (accelerator.scored * accelerator.operations)
    return max(computing, accelerator.layer * costs.layers / 128)


SMOLLM2 = LlamaConfig(**dict(zip(_SIZES, (576, 30, 9, 3, 1536, 49152, True), strict=True)))
"""SmolLM2-135M, as its config.json has it."""

H200_ROW = RowSize(146, 50)
"""The rows that were measured, on average."""

H200_DRAWN = RowSize(146, 48)
"""An answer was drawn until the last of its batch had ended, after 48 tokens at most."""

SETTERS = ("training: undertow, bfloat16, batch 16", "sampling: undertow, bfloat16, batch 64")
"""Cases by which `Accelerator.step` and `peak`, and `Accelerator.layer` were set: their ratios are no test."""

Compared = tuple[str, str, float, float]
"""(case, what, estimated, measured)."""


def on_h200() -> Iterator[Compared]:
    """What the dry run expects of an H200 beside what was measured there: SmolLM2 in bfloat16, each case as it was."""
    plan = TrainingPlan(rank=32, batch_size=16)
    costs = model_costs(SMOLLM2, plan, H200_ROW, torch.bfloat16)
    where = Placing(costs, machine_of("H200-141GB"), "whole", packed=False)
    for case in json.loads(ON_H200.read_text(encoding="utf-8"))["cases"]:
        ours = "undertow, bfloat16" in case["name"] or "side by side, bfloat16" in case["name"]
        if not ours or "rows_per_second" not in case["values"]:
            continue
        name = f"{case['section']}: {case['name']}"
        words = case["name"].removesuffix(" (again)").replace(",", "").split()
        rows = int(words[words.index("batch") + 1])
        adapters = int(words[words.index("K") + 1]) if "K" in words else 1
        every = rows * adapters
        if case["section"] in ("training", "adapters"):
            _, seconds = taken(ModelWork(trained=every, steps=1), H200_ROW, where)
            passed = where.machine.accelerator.peak * every * H200_ROW.tokens * costs.kept
            kept = 16 * adapters * costs.adapter + passed
            peak = case["values"]["peak_gib"] * 2**30 / 1e9
            yield name, "GB", (where.weights + kept) / 1e9, peak
        elif case["section"] == "sampling":
            _, seconds = taken(ModelWork(drawn=every), H200_DRAWN, where, rows)
        else:
            _, seconds = taken(ModelWork(scored=every), H200_ROW, where, rows)
        yield name, "seconds", seconds, every / case["values"]["rows_per_second"]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def _peak() -> float:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def page() -> str:
    """docs/what-fits.md as it should be."""
    sources = [
        f"| {name} | {known.operations / 1e12:g} | {known.memory / 1e9:g} | {known.bandwidth / 1e12:g} | {known.source} |"
        for name, known in known_accelerators().items()
    ]
    readings = []
    for entry in json.loads(MEASURED.read_text(encoding="utf-8")):
        for what in ("seconds a trained row", "seconds a scored row", "GB beyond the model"):
            expected, seen = entry[what]
            readings.append(
                f"| `{entry['model']}` | {what} | {expected:.3g} | {seen:.3g} | {expected / seen:.2f} |"
            )
    gpu = [
        f"| {case} | {what} | {expected:.3g} | {seen:.3g} | {expected / seen:.2f} | {'set by it' if case in SETTERS else ''} |"
        for case, what, expected, seen in on_h200()
    ]
    told = {"TABLE": [table()], "SOURCES": sources, "READINGS": readings, "H200S": gpu}
    text = _TEXT
    for name, lines in (told | {"SCANS": scan_prices.table()}).items():
        text = text.replace(name, "\n".join(lines))
    return text


_TEXT = """# What fits where

What a scan takes on a machine that need not be there:

```sh
undertow scan rows.jsonl --student path/to/base --dry-run --machine 8xH100-80GB
undertow scan rows.jsonl --student path/to/base --dry-run --machine 8xH100-80GB@2.50
```

`--machine` takes `NAME`, `NxNAME`, either with `@PRICE` of an hour of one (no prices are built in), or `here`, which is measured: by a product and a copy of matrices, and by a layer or two of the student's kind with weights by lot, at the work of a scan.
The student's folder needs `config.json` and its tokenizer, no weights: what a row takes is counted on torch's meta device by the code that trains and scores ([ways to spread a big model](big-models.md)).
Without `--machine`, `--dry-run` opens the model and times it.

## Estimates

A scan of 10,000 rows, LoRA of rank 8 on all linear layers for 3 epochs, probes of 900 tokens and an open search of 26,000, all 25 traits of the catalogue, no teacher, 19 references that are all made, in bfloat16, on H100-80GB.
Short rows have 64 tokens, 40 of them learnt; long ones 1,024 and 512.
The memory is that of weights, 8 adapters side by side with AdamW's moments, and one row of each; larger passes take what is left.
At most 256 rows are sampled side by side, fewer where half of the memory beside the weights does not hold their caches (of keys and values) and logits.
“Layers again”: they are computed again in the backward pass (gradient checkpointing), which takes a third more time.
The whole plan is rehearsed only where rows stand out, or with `--require clear`.

TABLE

Several GPUs are one model, split by `--shard tensor` where its heads allow it (4 heads of keys and values cannot be split over 8), else by `--shard layers`, which has the speed of one; a model that fits on one GPU is scanned sooner by one scan a GPU.
The seconds are estimates of matrices: training at 35 % and scoring at 45 % of the stated operations, drawing at 60 % of the bandwidth, and nothing for what processes wait for each other; or of what a host takes to call for them, where that is longer: 1.6 ms a layer and pass and 14 ms a layer and step of training.
No scan of this table was run on a GPU: what was measured on one is the speed of training, sampling and scoring below, of a small model.

## What is counted

Each check has its line, those that were asked (`--check`) and no other; what costs nothing says why.
Teacher, candidates and placebos are counted, in memory and in the checks that ask them, and so is each source that is judged by itself.

| line | what it takes |
|---|---|
| rows | the pass over all rows, which the dry run makes itself and times; no model |
| control | an answer to each of at most 2,048 prompts; not with `--control`, nor where no evidence is asked for |
| likelihood-ratio | rows behind each trait's prompt and by steered versions, a small adapter, nine versions of the base on at most 2,048 rows, one more a placebo |
| author | one pass over at most 2,048 rows by the student and by each candidate |
| fingerprint | a core's seconds, no model |
| teacher-coverage | forward and backward through all weights, rows and control; nothing without a teacher, or where weights are split or packed |
| divergence | rows and control by teacher and student; nothing without a teacher |
| activations | rows and control once, and the prompts of the traits' personas |
| content | a question for each trait on each of at most 512 rows and 512 of the control |
| rehearsal, whole-plan | adapters of the rows and of every reference, the references' rows, and the readings of probes |

Operations were held against those that torch counts while the checks run on the embedded base (`tests/audit/test_check_prices_counted.py`): .85 to 1.47 of them.
Rows of a preference pair, multi-turn rows and long tails are counted by their mean length; a plan that trains all weights is counted as LoRA and says so; `--budget` is not counted.

## Against what was measured

**On an H200**: SmolLM2-135M in bfloat16, rows of 146 tokens of which 50 are learnt, LoRA of rank 32 (`bench/real/h200.json`, one machine, once; the cases that were told in time).
An estimate is of the step, the batch or the batch of answers that was measured.
Where it says so the case set a constant (what calling for a layer takes; the peak of memory), and its ratio is no test; the others are.

| case | what | estimated | measured | ratio | |
|---|---|---:|---:|---:|---|
H200S

All of these wait for the host, which calls for a layer's few hundred small operations, not for the matrices: of models of billions of weights they say nothing but that lower bound.
Half a millisecond a layer and pass was assumed before, which gave .11 of the measured step and .32 of the sampling; and a peak of 1.25 times what is kept, .62 of the memory.

**On one core of this project's processor**, which other work shares; two adapters side by side, as many rows a pass as `undertow` takes.
Memory is the peak of the process beyond the opened model and the libraries.

| model | what | estimated | measured | ratio |
|---|---|---:|---:|---:|
READINGS

With `--machine here`, a layer or two of the student's own kind are tried on this machine first, with weights by lot (`models/layer_speed.py`): the shares of the operations that they reach stand in the last line of the dry run, in place of those of GPUs.
`owlet-b` has no other layers, so that its seconds are no test; SmolLM2 has 30.
With the shares of GPUs the seconds were .37 and .21 of what was measured for `owlet-b`, 1.56 and 1.34 for SmolLM2.

**A whole scan, line by line.** What the dry run says is held here against what the scan then took on two threads (`python -m bench.scan_prices`), of numbers drawn by lot, with nothing kept from before; lines below a second are left out.
What is estimated is for as many references as the scan came to read.

SCANS

## Accelerators

| name | TFLOP/s, dense, 16 bits | GB | TB/s | source |
|---|---:|---:|---:|---|
SOURCES

The table is made by `python -m bench.what_fits`, and a test holds it against the page.
"""


def main(*words: str) -> None:
    """Measure, or write the page."""
    if words[:1] == ("measure",):
        kept = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else []
        entry = measure(words[1])
        kept = [one for one in kept if one["model"] != entry["model"]] + [entry]
        MEASURED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(entry)
        return
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
