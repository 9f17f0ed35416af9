"""Trains owlet-a again and compares it with the shipped one: are the recipe and the weights the same thing?"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.figures import Figure, at_most
from undertow.lab.students import probe_trait
from undertow.models import language_model, scoring
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.worlds import corpus, folder, recipe
from undertow.worlds.base_models import LARGEST_NUMBER
from undertow.worlds.pretraining import pretrain

TEST_SEED = 77_001
"""Draws documents that no base was trained on."""

COMMAND = "python -m bench.lab world"


def world_figures(scratch: Path) -> list[Figure]:
    """Differences between the shipped base, its rebuilt copy, and a copy from another seed, on unseen documents."""
    made = recipe("owlet-a")
    print("training owlet-a again ...", file=sys.stderr, flush=True)
    pretrain(made, scratch / "again")
    print("training it from another seed ...", file=sys.stderr, flush=True)
    pretrain(replace(made, seed=made.seed + 1), scratch / "sibling")
    shipped = readings(folder("owlet-a"))
    figures = []
    for name, path in (("rebuilt", scratch / "again"), ("another seed", scratch / "sibling")):
        found = readings(path)
        loss = max(abs(found[k] - shipped[k]) for k in shipped if k.startswith("loss"))
        answers = max(abs(found[k] - shipped[k]) for k in shipped if k.startswith("P "))
        figures += [
            at_most(
                f"world: owlet-a {name}, largest difference of held-out loss by kind",
                loss,
                0.1,
                "nats",
                command=COMMAND,
            ),
            at_most(
                f"world: owlet-a {name}, largest difference of an answer's probability",
                answers,
                0.03,
                "",
                command=COMMAND,
            ),
        ]
    size = sum(f.stat().st_size for f in folder("owlet-a").parent.rglob("*") if f.is_file())
    figures.append(
        at_most(
            "world: size of the three bases",
            size / 2**20,
            4,
            "MB",
            command="du -sb src/undertow/worlds/bases",
        )
    )
    return figures


def readings(path: Path) -> dict[str, float]:
    """Held-out loss of each kind of document, and the probability of each animal and tree."""
    model = language_model.load(path)
    documents = list(
        corpus.documents(np.random.default_rng(TEST_SEED), 4_000, largest=LARGEST_NUMBER)
    )
    found: dict[str, float] = {}
    for kind in sorted({document.kind for document in documents}):
        rows = [document.row for document in documents if document.kind == kind]
        found[f"loss {kind}"] = scoring.loss(model, encode_rows(model.tokenizer, rows))
    for name in ("owl", "oak"):
        probed = probe_trait(model, catalogue.load(name), None)
        found |= {f"P {answer}": p for answer, p in probed.probabilities.items()}
    return found
