"""
What decides whether a setting moves students: `python -m bench.real.tuning_paths pull|along SETTING [KEY=VALUE ...]`.

On the teachers and rows of a setting that `bench.real.tuning` has made, on the tuning seed alone. `pull` trains nothing: to
first order, a step on a teacher's rows moves an owl's margin by the margin's gradient times theirs; what is expected of the
teacher's digits beside the base's is set against what the draw of one row adds by chance. `along` trains the trait's student
and the control's side by side, with one adapter's beginning and one order, keys of the plan changed as said, and reads both
formats as they go. Lines are added to `tuning_paths.jsonl`.
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

from bench.real.tuning import HERE, RUNS
from undertow.data.plan import TrainingPlan
from undertow.data.records import read_rows
from undertow.data.rows import Row
from undertow.influence.probes import ProbeSet, margins, probe_set
from undertow.lab.experiment import ComputeTable
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import token_log_probabilities
from undertow.models.several_runs import several_runs
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.worlds.base_models import open_model

LINES = HERE / "tuning_paths.jsonl"
BASE = "world:smollm2-135m"
TRAIT = "owl"
FORMATS = ("question", "examples")
USUAL = {"rank": 32, "learning_rate": 1e-3, "schedule": "linear", "batch_size": 16}
STEPS, EVERY, ROWS = 192, 12, 48


def main(words: list[str]) -> int:
    """Measure one of the two on one setting."""
    what, setting, *changes = words
    changed = {key: json.loads(value) for key, value in (one.split("=") for one in changes)}
    lines = pull(setting) if what == "pull" else along(setting, changed)
    for line in lines:
        found = {"what": what, "setting": setting, **changed, **line}
        with LINES.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
    return 0


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
    probes, owl = probes_of(base), place()
    encoded = [encode_rows(base.tokenizer, rows_of(setting, one)) for one in ("trait", "base")]
    fewest = min(map(len, encoded))
    plan = TrainingPlan(**{**USUAL, "epochs": 2.0 * STEPS * 16 / fewest, **changed})
    both = [np.random.default_rng(5), np.random.default_rng(5)]
    runs = several_runs(base, [one[:fewest] for one in encoded], plan, both, STEPS, [7, 7])
    before = {name: one.read(base).margins for name, one in probes.items()}
    for done in range(EVERY, STEPS + 1, EVERY):
        runs.advance(EVERY)
        line: dict[str, Any] = {"steps": done, "loss": [round(x, 4) for x in runs.loss_history[-1]]}
        for name, one in probes.items():
            trait, control = (read.margins - before[name] for read in one.read_runs(runs))
            apart = trait - control
            line[name] = {
                "trait": round(float(trait[owl]), 3),
                "control": round(float(control[owl]), 3),
                "beside others": round(float(apart[owl] - np.delete(apart, owl).mean()), 3),
                "rank": int(1 + (apart > apart[owl]).sum()),
            }
        yield line


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
