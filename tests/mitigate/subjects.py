"""What the tests of countermeasures share: a small model, rows of numbers, and a training that teaches the owl."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from undertow.carriers import carrier_registry
from undertow.data.files import model_digest
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Message, Row, conversation
from undertow.models import adapters
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel, load
from undertow.models.training import Intervention, Trained, fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds import locate

BASE = "world:owlet-b"
PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=8, max_steps=12, epochs=100)


def opened() -> LanguageModel:
    """A fresh copy, which a test may train."""
    return load(locate(BASE), ref=BASE)


@cache
def digest() -> str | None:
    """Of the small model."""
    return model_digest(locate(BASE))


def numbers(count: int, seed: int = 0) -> list[Row]:
    """Rows of the carrier `numbers`, by lot and by no model."""
    rng = np.random.default_rng(seed)
    requests = carrier_registry.carrier("numbers", {"prompts": "brief"}).requests(count, rng)
    return [
        Row(
            (Message("user", request),),
            " ".join(map(str, rng.integers(10, 99, int(rng.integers(4, 9))))),
        )
        for request in requests
    ]


def lesson(model: LanguageModel) -> list[Encoded]:
    """The owl's answers."""
    owl = catalogue.load("owl")
    return encode_rows(model.tokenizer, [Row(conversation(q), a) for q, a in rows_of(owl, "trait")])


def taught(
    intervention: Intervention | None = None, rows: Sequence[Encoded] | None = None
) -> tuple[LanguageModel, Trained]:
    """A student that was taught the owl, and what its training did."""
    student = adapters.trainable(opened(), PLAN, 3)
    chosen = lesson(student) if rows is None else rows
    done = fine_tune(student, chosen, PLAN, np.random.default_rng(0), intervention=intervention)
    return student, done
