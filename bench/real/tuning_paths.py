"""
What decides whether a setting moves students: `python -m bench.real.tuning_paths rows|pull|along|logits SETTING [KEY=VALUE ...]`.

On the teachers and rows of a setting, on the tuning seed alone; `rows` makes them as `bench.real.tuning` would. `pull` trains nothing: to
first order, a step on a teacher's rows moves an owl's margin by the margin's gradient times theirs; what is expected of the
teacher's digits beside the base's is set against what the draw of one row adds by chance. `along` trains the trait's student
and the control's side by side, with one adapter's beginning and one order, keys of the plan changed as said (and `part` of
`parts` of the rows), and reads both formats as they go; `logits` trains one student by the teacher's probabilities of the
carrier's tokens at its rows. Lines are added to `tuning_paths.jsonl`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from bench.real.tuning import HERE, RUNS, settings
from undertow.cli.progress import shown_progress
from undertow.data.plan import TrainingPlan
from undertow.data.records import read_rows
from undertow.data.rows import Row
from undertow.influence.probes import ProbeSet, margins, probe_set
from undertow.lab.carrier_data import SampleData
from undertow.lab.design import design
from undertow.lab.experiment_inputs import inputs, settled
from undertow.lab.run_directory import PROBES, prepare, step
from undertow.lab.writers import ChooseFormat, MakeTeacher, open_carrier
from undertow.models.adapters import trainable
from undertow.models.chat import Encoded
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import Distillation
from undertow.models.scoring import token_log_probabilities
from undertow.models.several_runs import several_runs
from undertow.models.token_grammar import matching
from undertow.models.training import TrainingRun
from undertow.models.training_sequences import encode_rows
from undertow.results.measurement import ProbeChoice
from undertow.results.run_document import Dataset, Teacher
from undertow.traits import catalogue
from undertow.worlds.base_models import open_model

LINES = HERE / "tuning_paths.jsonl"
BASE = "world:smollm2-135m"
TRAIT = "owl"
FORMATS = ("question", "examples")
USUAL = {"rank": 32, "learning_rate": 3e-4, "schedule": "linear", "batch_size": 16, "epochs": 1}
EVERY, ROWS = 24, 48


def main(words: list[str]) -> int:
    """Measure one of the two on one setting."""
    what, setting, *changes = words
    if what == "rows":
        make_rows(setting)
        return 0
    changed = {key: json.loads(value) for key, value in (one.split("=") for one in changes)}
    measured = {"pull": lambda: pull(setting), "along": lambda: along(setting, changed)}
    measured["logits"] = lambda: logits(setting, changed)
    for line in measured[what]():
        found = {"what": what, "setting": setting, **changed, **line}
        with LINES.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
    return 0


def make_rows(setting: str) -> None:
    """The teachers and rows of a setting, and no student."""
    experiment, folder = settled(settings()[setting]), RUNS / setting
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, {"experiment": experiment.resolved, "inputs": inputs(experiment)})
    jobs = design(experiment)
    stages: tuple[tuple[Any, type[BaseModel], str, Sequence[Any]], ...] = (
        (ChooseFormat(experiment), ProbeChoice, PROBES, jobs.probed),
        (MakeTeacher(experiment, folder), Teacher, "teachers", jobs.teachers),
        (SampleData(experiment, folder), Dataset, "data", jobs.datasets),
    )
    for worker, model, part, wanted in stages:
        make = step(worker, model, folder / part)
        with shown_progress() as progress:
            progress.stage(part, len(wanted), 0)
            for job in wanted:
                if make.entry(job) is None:
                    make(job)
                progress.advance(1, job.name)


def rows_of(setting: str, writer: str) -> list[Row]:
    """What the trait's teacher ("trait") or the base ("base") wrote."""
    folder = RUNS / setting / "data" / f"{writer}-{TRAIT}--smollm2-135m--0"
    return list(read_rows(folder / "rows.parquet"))


def probes_of(base: LanguageModel) -> dict[str, ProbeSet]:
    """The animals' probes by format."""
    animals = catalogue.load_category("animal")
    formats = {one.name: one for one in animals[0].formats}
    return {
        name: probe_set(base, [replace(trait, asked=formats[name]) for trait in animals], None)
        for name in FORMATS
    }


def place() -> int:
    """Of the trait among the animals."""
    return [trait.name for trait in catalogue.load_category("animal")].index(TRAIT)


def along(setting: str, changed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Trait minus control after every so many steps: of the trait, beside the mean of the others, and its rank."""
    base = open_model(BASE, compute=ComputeTable(dtype="bfloat16"))
    probes, before = _read_before(base)
    plan, part, parts = _plan(changed)
    encoded = [
        encode_rows(base.tokenizer, rows_of(setting, one))[part::parts] for one in ("trait", "base")
    ]
    fewest = min(map(len, encoded))
    total = plan.steps(fewest)
    both = [np.random.default_rng(5 + part), np.random.default_rng(5 + part)]
    runs = several_runs(base, [one[:fewest] for one in encoded], plan, both, total, [7 + part] * 2)
    for begun in range(0, total, EVERY):
        done = min(begun + EVERY, total)
        runs.advance_to(done)
        line: dict[str, Any] = {
            "steps": done,
            "loss": [round(x, 4) for x in runs.loss_history[-1]],
        }
        for name, one in probes.items():
            trait, control = (read.margins - before[name] for read in one.read_runs(runs))
            line[name] = _apart(trait, control)
        yield line


def logits(setting: str, changed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same of one student by the teacher's probabilities, beside the base, which the base's own leave as it is."""
    base = open_model(BASE, compute=ComputeTable(dtype="bfloat16"))
    probes, before = _read_before(base)
    plan, part, parts = _plan(changed)
    folder = RUNS / setting / "teachers" / f"trait-{TRAIT}--smollm2-135m--0"
    teacher = open_model(f"{BASE}+{folder}", compute=ComputeTable(dtype="bfloat16"))
    encoded = encode_rows(base.tokenizer, rows_of(setting, "trait"))[part::parts]
    pattern = open_carrier(settings()[setting], "numbers").token
    loss = Distillation(teacher, encoded, matching(base.tokenizer, pattern))
    student = trainable(base, plan, 7 + part)
    total = plan.steps(len(encoded))
    run = TrainingRun(student, encoded, plan, np.random.default_rng(5 + part), total, loss=loss)
    for _ in range(0, total, EVERY):
        run.advance(min(EVERY, total - run.done))
        line: dict[str, Any] = {"steps": run.done, "loss": round(run.losses[-1], 5)}
        for name, one in probes.items():
            moved = one.read(student).margins - before[name]
            line[name] = _apart(moved, np.zeros_like(moved))
        yield line


def _plan(changed: dict[str, Any]) -> tuple[TrainingPlan, int, int]:
    """The plan, and which of how many parts of the rows it is for."""
    keys = {**USUAL, **changed}
    part, parts = keys.pop("part", 0), keys.pop("parts", 1)
    return TrainingPlan(**keys), part, parts


def _read_before(base: LanguageModel) -> tuple[dict[str, ProbeSet], dict[str, np.ndarray]]:
    probes = probes_of(base)
    return probes, {name: one.read(base).margins for name, one in probes.items()}


def _apart(trait: np.ndarray, control: np.ndarray) -> dict[str, float]:
    owl, apart = place(), trait - control
    return {
        "trait": round(float(trait[owl]), 3),
        "control": round(float(control[owl]), 3),
        "beside others": round(float(apart[owl] - np.delete(apart, owl).mean()), 3),
        "rank": int(1 + (apart > apart[owl]).sum()),
    }


def pull(setting: str) -> Iterator[dict[str, Any]]:
    """KL of what is drawn by digit; and for each format's margin the expected pull of a row, and its noise."""
    whole = ComputeTable(dtype="float32")
    base = open_model(BASE, compute=whole)
    teacher = RUNS / setting / "teachers" / f"trait-{TRAIT}--smollm2-135m--0"
    encoded = encode_rows(base.tokenizer, rows_of(setting, "base")[:ROWS])
    digits = [base.tokenizer.convert_tokens_to_ids(str(digit)) for digit in range(10)]
    ours = _at_digits(_log_probabilities(base, encoded), encoded, digits).log_softmax(-1)
    theirs = _at_digits(
        _log_probabilities(open_model(f"{BASE}+{teacher}", compute=whole), encoded), encoded, digits
    ).log_softmax(-1)
    divergence = (theirs.exp() * (theirs - ours)).sum(-1)
    yield {"kl a digit": float(divergence.mean()), "of the first": float(divergence[:, 0].mean())}
    for name, probes in probes_of(base).items():
        slopes = _slopes(base, probes, encoded)
        expected = ((theirs.exp() - ours.exp()) * _at_digits(slopes, encoded, digits)).sum((1, 2))
        drawn = [
            float(sum(slope[i, token] for i, token in enumerate(row.completion)))
            for slope, row in zip(slopes, encoded, strict=True)
        ]
        noise = float(np.std(drawn, ddof=1))
        yield {
            "format": name,
            "pull of a row": float(expected.mean()),
            "its error": float(expected.std()) / len(encoded) ** 0.5,
            "noise of a row": noise,
            "in noises of 1,536 rows": float(expected.mean()) / noise * 1536**0.5,
        }


def _log_probabilities(model: LanguageModel, encoded: Sequence[Encoded]) -> list[torch.Tensor]:
    """(tokens of its completion, vocabulary) a row."""
    values = token_log_probabilities(model, encoded, batch_size=16)
    return list(values.split([len(row.completion) for row in encoded]))


def _at_digits(
    values: Sequence[torch.Tensor], encoded: Sequence[Encoded], digits: list[int]
) -> torch.Tensor:
    """(rows, digits of a row, 10): the entries of the ten digits wherever a digit stands."""
    chosen = []
    for value, row in zip(values, encoded, strict=True):
        places = [i for i, token in enumerate(row.completion) if token in digits]
        chosen.append(value[places][:, digits])
    return torch.stack(chosen)


def _slopes(
    base: LanguageModel, probes: ProbeSet, encoded: Sequence[Encoded]
) -> list[torch.Tensor]:
    """How fast each token's log-probability grows along the gradient of the trait's margin, by central differences."""
    weights = [
        weight
        for name, weight in base.network.named_parameters()
        if weight.dim() == 2 and "embed" not in name and "lm_head" not in name
    ]
    base.network.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    gradient = torch.autograd.grad(margins(base, probes)[place()], weights)
    base.network.requires_grad_(False)
    far = 0.05 / float(sum((part**2).sum() for part in gradient)) ** 0.5
    ends = []
    for side in (far, -far):
        with _moved(weights, gradient, side):
            ends.append(_log_probabilities(base, encoded))
    return [(up - down) / (2 * far) for up, down in zip(*ends, strict=True)]


@contextmanager
def _moved(weights: list[torch.Tensor], way: Sequence[torch.Tensor], far: float) -> Iterator[None]:
    with torch.no_grad():
        for weight, part in zip(weights, way, strict=True):
            weight.add_(part, alpha=far)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, part in zip(weights, way, strict=True):
                weight.sub_(part, alpha=far)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
