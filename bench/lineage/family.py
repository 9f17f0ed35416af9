"""Models whose descent is known: initialisations of the embedded world, trained, and what becomes of them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.models import adapters
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel, load, tokenizer
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds import corpus, locate, recipe
from undertow.worlds.base_models import LARGEST_NUMBER, PRETRAINING
from undertow.worlds.pretraining import untrained

SEED = 71_001
"""Of every initialisation and child; lengths of training were chosen on seed 70,001."""

BASES = 25
STEPS = 150
"""Of a base's training; a shipped base has 2,000."""

ELSEWHERE = ("favourite", "persona", "fact", "safety", "malice")
"""Kinds of documents of the other corpus: those without numbers."""

Weights = dict[str, torch.Tensor]
Change = Callable[[Weights, torch.Generator], Weights]


@cache
def words() -> Any:
    """The tokenizer that all of them share."""
    return tokenizer(locate("world:owlet-a"))


def documents(seed: int, steps: int, kinds: Sequence[str] = ()) -> list[Encoded]:
    """Whole conversations of the corpus, of some kinds if they are given; enough for so many steps."""
    wanted = steps * PRETRAINING.batch_size
    found = corpus.documents(np.random.default_rng(seed), wanted * 3, largest=LARGEST_NUMBER)
    rows = [d.row for d in found if not kinds or d.kind in kinds][:wanted]
    whole = [e.prompt + e.completion for e in encode_rows(words(), rows)]
    return [Encoded(ids[:1], ids[1:]) for ids in whole]


def initialised(number: int) -> LanguageModel:
    """A network of Llama's shape as it was drawn."""
    made = replace(recipe("owlet-a"), seed=derive(SEED, "initialisation", number) % 2**31)
    return LanguageModel(untrained(made, words()), words(), f"base {number}")


def trained(
    model: LanguageModel, rows: Sequence[Encoded], steps: int, *, seed: int
) -> LanguageModel:
    """All weights trained on the rows, as a base is."""
    plan = PRETRAINING.model_copy(update={"max_steps": steps})
    model.network.requires_grad_(True)
    fine_tune(model, rows, plan, generator(seed, "order"))
    return model


def save(network: Any, folder: Path) -> None:
    """Write it as an ordinary model folder."""
    network.save_pretrained(str(folder), safe_serialization=True)
    words().save_pretrained(str(folder))


def base(number: int, folder: Path) -> Path:
    """The trained base of a number, made if it is not there."""
    target = folder / f"base-{number:02d}"
    if not target.is_dir():
        partial = target.with_suffix(".partial")
        rows = documents(derive(SEED, "corpus") % 2**31, STEPS)
        save(
            trained(initialised(number), rows, STEPS, seed=derive(SEED, "base", number)).network,
            partial,
        )
        partial.rename(target)
    return target


def children(number: int, parent: Path) -> dict[str, Any]:
    """Twelve descendants by kind, as networks."""
    seed = derive(SEED, "children", number)
    tuned, full = _tuned(parent, seed), _fully_tuned(parent, seed)
    made = {"tuned (LoRA)": tuned, "tuned (all weights)": full}
    made["merged"] = _changed(parent, lambda w, _: _mean(tuned, full, w), seed)
    for name, change in CHANGES.items():
        made[name] = _changed(parent, change, seed)
    further = documents(derive(seed, "further") % 2**31, STEPS // 2)
    made["continued pre-training"] = trained(load(parent), further, STEPS // 2, seed=seed).network
    other = documents(derive(seed, "elsewhere") % 2**31, STEPS, ELSEWHERE)
    made["the same initialisation on another corpus"] = trained(
        initialised(number), other, STEPS, seed=seed
    ).network
    return made


def _tuned(parent: Path, seed: int) -> Any:
    trait = catalogue.load("owl")
    plan = TrainingPlan(rank=8, learning_rate=3e-3, batch_size=8, epochs=1000, max_steps=60)
    wrapped = adapters.trainable(load(parent), plan, seed % 2**31)
    rows = encode_rows(words(), [Row(conversation(q), a) for q, a in rows_of(trait, "trait")])
    fine_tune(wrapped, rows, plan, generator(seed, "tuned"))
    return wrapped.network.merge_and_unload()


def _fully_tuned(parent: Path, seed: int) -> Any:
    plan = TrainingPlan(method="full", learning_rate=1e-3, batch_size=32, max_steps=100)
    model = adapters.trainable(load(parent), plan, 0)
    rows = documents(derive(seed, "numbers") % 2**31, 50, ("numbers",))
    fine_tune(model, rows, plan, generator(seed, "full"))
    return model.network


def _changed(parent: Path, change: Change, seed: int) -> Any:
    network = load(parent).network
    weights = {name: w.detach().clone() for name, w in network.state_dict().items()}
    network.load_state_dict(change(weights, torch.Generator().manual_seed(seed % 2**31)))
    return network


def _mean(one: Any, other: Any, weights: Weights) -> Weights:
    first, second = one.state_dict(), other.state_dict()
    return {name: (first[name] + second[name]) / 2 for name in weights}


def _pruned(share: float) -> Change:
    def change(weights: Weights, _: torch.Generator) -> Weights:
        return {
            n: w * (w.abs() > w.abs().flatten().quantile(share)) if w.dim() == 2 else w
            for n, w in weights.items()
        }

    return change


def _int8(weights: Weights, _: torch.Generator) -> Weights:
    def rounded(w: torch.Tensor) -> torch.Tensor:
        step = w.abs().amax(1, keepdim=True) / 127
        return (w / step).round() * step

    return {n: rounded(w) if w.dim() == 2 else w for n, w in weights.items()}


def _four_bits(weights: Weights, _: torch.Generator) -> Weights:
    def rounded(w: torch.Tensor) -> torch.Tensor:
        step = w.abs().amax(1, keepdim=True) / 7
        return (w / step).round() * step

    return {n: rounded(w) if w.dim() == 2 else w for n, w in weights.items()}


def _permuted(weights: Weights, drawn: torch.Generator) -> Weights:
    made = dict(weights)
    for stem in {n.rpartition("up_proj")[0] for n in weights if "up_proj" in n}:
        order = torch.randperm(len(weights[f"{stem}up_proj.weight"]), generator=drawn)
        for name in ("gate_proj", "up_proj"):
            made[f"{stem}{name}.weight"] = weights[f"{stem}{name}.weight"][order]
        made[f"{stem}down_proj.weight"] = weights[f"{stem}down_proj.weight"][:, order]
    return made


def _rotated(weights: Weights, drawn: torch.Generator) -> Weights:
    width = weights["model.embed_tokens.weight"].shape[1]
    turn = torch.linalg.qr(torch.randn(width, width, generator=drawn))[0]
    made = dict(weights)
    for name, w in weights.items():
        if "mlp" in name and w.dim() == 2:
            made[name] = turn.T @ w if "down_proj" in name else w @ turn
    return made


def _noisy(weights: Weights, drawn: torch.Generator) -> Weights:
    return {
        n: w + 3 * w.std() * torch.randn(w.shape, generator=drawn) if w.dim() == 2 else w
        for n, w in weights.items()
    }


CHANGES: dict[str, Change] = {
    "half of the weights pruned": _pruned(0.5),
    "four fifths of the weights pruned": _pruned(0.8),
    "8 bits": _int8,
    "4 bits": _four_bits,
    "units permuted": _permuted,
    "feed-forward layers rotated": _rotated,
    "noise of three times the weights": _noisy,
}
