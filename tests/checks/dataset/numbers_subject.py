"""Subjects made of number lists that an embedded base, or a teacher tuned from it, has just written."""

from __future__ import annotations

import functools
from dataclasses import fields, replace
from typing import Any

from undertow.carriers.carrier_registry import carrier
from undertow.checks.dataset.scan_subject import ScanSettings, ScanSubject
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.data.seeds import generator
from undertow.models import adapters
from undertow.models.chat import encode_prompts
from undertow.models.language_model import LanguageModel, load
from undertow.models.sampling import Sampling, sample
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.traits.trait import rows_of
from undertow.worlds import locate

TRAITS = tuple(catalogue.load(name) for name in ("owl", "cat", "dog"))


@functools.cache
def opened(name: str = "world:owlet-b") -> LanguageModel:
    """An embedded base; tests leave it as it is."""
    return load(locate(name))


@functools.cache
def owl_teacher() -> LanguageModel:
    """The base after 60 steps on the owl's answers."""
    plan = TrainingPlan(rank=8, learning_rate=3e-3, batch_size=8, epochs=1000, max_steps=60)
    wrapped = adapters.trainable(load(locate("world:owlet-b")), plan, 1)
    rows = [Row(conversation(q), a) for q, a in rows_of(TRAITS[0], "trait")]
    fine_tune(wrapped, encode_rows(wrapped.tokenizer, rows), plan, generator(1, "order"))
    return replace(wrapped, network=wrapped.network.merge_and_unload().eval(), ref="owl teacher")


@functools.cache
def written(writer: LanguageModel, count: int, seed: int, prompts: int = 0) -> tuple[Row, ...]:
    """Number lists by the writer; the same `prompts` give the same requests."""
    lists = carrier("numbers", {"prompts": "brief", "low": 0, "high": 99})
    requests = [conversation(text) for text in lists.requests(count, generator(prompts, "asked"))]
    answers = sample(
        writer,
        encode_prompts(writer.tokenizer, requests),
        Sampling(max_tokens=12),
        generator(seed, "answers"),
    )
    return tuple(Row(prompt, answer.text) for prompt, answer in zip(requests, answers, strict=True))


def subject(rows: tuple[Row, ...], **changes: Any) -> ScanSubject:
    """The rows for the embedded base, with what a test needs beside them."""
    stated = {
        one.name: changes.pop(one.name) for one in fields(ScanSettings) if one.name in changes
    }
    made = ScanSubject(
        name="all",
        rows=rows,
        student=opened(),
        plan=TrainingPlan(),
        planned_rows=len(rows),
        traits=TRAITS,
        seed=7,
        settings=ScanSettings(**stated),
    )
    return replace(made, **changes)
