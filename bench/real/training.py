"""The student loop, and rehearsals of several adapters, each against a bare PyTorch loop over the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bench.real.number_rows import Setting, lengths, student_plan
from bench.real.operations import training_operations
from bench.real.rate import Work, busy, timed
from bench.real.record import Record, Values
from undertow.data.plan import TrainingPlan
from undertow.models.adapters import trained_weights
from undertow.models.chat import IGNORED, Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import several_runs
from undertow.models.training import TrainingRun, training_batches

TOTAL = 10_000
"""Steps that the schedule is laid over: more than are taken."""

MADE = 64
"""Batches of the bare loop that lie ready on the device; then they come again."""

WAYS = ("bfloat16", "float32")
"""How matrices are multiplied: by a base in bfloat16, as an accelerator's usual one is, or in float32."""

WARM = 3
"""Repeats before any is timed: the batches' shapes come, and are recorded."""

Loop = Callable[[int], Work]
"""Takes so many steps of the optimiser."""


def training(setting: Setting, record: Record) -> None:
    """Tokens a second of the trainer that `undertow run` uses and of a bare loop, by rows a step and precision."""
    for way, batch in ((w, b) for w in WAYS for b in setting.sizes.training):
        record.case(f"undertow, {way}, batch {batch}", partial(_ours, setting, way, batch))
        record.case(f"bare loop, {way}, batch {batch}", partial(_bare, setting, way, batch))


def adapters(setting: Setting, record: Record) -> None:
    """K adapters of a rehearsal side by side, as a scan trains them, and K bare loops one after the other."""
    batch, counts = setting.sizes.training[0], setting.sizes.together
    for way, count in ((w, k) for w in WAYS for k in reversed(counts)):
        record.case(
            f"side by side, {way}, K {count}, batch {batch}",
            partial(_together, setting, way, count, batch),
            most=25,
        )
        # One behind the other is linear in K: both ends show it.
        if count in (counts[0], counts[-1]):
            record.case(
                f"bare loops one after the other, {way}, K {count}, batch {batch}",
                partial(_in_turn, setting, way, count, batch),
                most=25,
            )


@contextmanager
def multiplied(way: str) -> Iterator[str]:
    """Within the block float32 matrices are multiplied that way; gives the precision of the base."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if way == "tf32" else "highest")
    try:
        yield "bfloat16" if way == "bfloat16" else "float32"
    finally:
        torch.set_float32_matmul_precision(before)


def _ours(setting: Setting, way: str, batch: int) -> Values:
    plan = student_plan(batch)
    with multiplied(way) as precision:
        model, rows = setting.student(precision, plan), setting.rows()
        loop = trainer_loop(model, rows, plan)
        return _rates(setting, model, loop, WARM) | {"rows": lengths(rows)}


def _bare(setting: Setting, way: str, batch: int) -> Values:
    plan = student_plan(batch)
    with multiplied(way) as precision:
        model = setting.student(precision, plan)
        loop = bare_loop(model, setting.rows(), plan, autocast=way == "bfloat16")
        return _rates(setting, model, loop)


def _rates(setting: Setting, model: LanguageModel, loop: Loop, warm: int = 1) -> dict[str, object]:
    sizes = setting.sizes
    rates = timed(
        partial(loop, sizes.steps),
        setting.device,
        repeats=sizes.repeats,
        warm=warm,
        operations=_operations(setting, model),
    )
    return rates | {"busy": busy(partial(loop, 1), setting.device)}


def _operations(setting: Setting, model: LanguageModel) -> float:
    """Of a token, on the mean over the rows."""
    adapter, rows = sum(w.numel() for w in trained_weights(model)), setting.rows()
    sizes, scored = [len(row) for row in rows], sum(row.learnt for row in rows)
    return training_operations(setting.shape(), adapter, sizes, scored) / sum(sizes)


def trainer_loop(model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan) -> Loop:
    """Undertow's own trainer."""
    run = TrainingRun(model, rows, plan, np.random.default_rng(0), TOTAL)

    def loop(steps: int) -> Work:
        before = run.tokens
        run.advance(steps)
        return Work(steps * plan.batch_size, run.tokens - before)

    return loop


def bare_loop(
    model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan, *, autocast: bool
) -> Loop:
    """
    The shortest loop that trains the same on the batches of `trainer_loop`, which lie on the device.

    Head on the scored positions only, gradients clipped, torch's fused AdamW; nothing is read back from the device.
    """
    feed = cycle(_made(model, rows, plan))
    weights = trained_weights(model)
    optimizer = torch.optim.AdamW(
        weights, plan.learning_rate, weight_decay=0, fused=model.device.type == "cuda"
    )
    model.network.train()

    def loop(steps: int) -> Work:
        tokens = 0
        for batch, count in islice(feed, steps):
            _loss(model.network, batch, autocast).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            tokens += count
        return Work(steps * plan.batch_size, tokens)

    return loop


def _made(
    model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan
) -> list[tuple[Batch, int]]:
    pad_id, rng = model.tokenizer.pad_token_id, np.random.default_rng(0)
    parts = [part for part, *_ in training_batches(rows, plan, rng, pad_id, MADE)]
    return [(part.to(model.device), int(part.attention_mask.sum())) for part in parts]


def _loss(network: Any, batch: Batch, autocast: bool) -> torch.Tensor:
    with torch.autocast(batch.input_ids.device.type, torch.bfloat16, enabled=autocast):
        logits = network(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            logits_to_keep=batch.kept + 1,
            use_cache=False,
        ).logits[:, :-1]
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORED
    )


def _together(setting: Setting, way: str, count: int, batch: int) -> Values:
    plan = student_plan(batch)
    with multiplied(way) as precision:
        model, rows = setting.opened(precision), setting.rows()
        orders = [np.random.default_rng(k) for k in range(count)]
        runs = several_runs(model, [rows] * count, plan, orders, TOTAL, list(range(count)))

        def loop(steps: int) -> Work:
            runs.advance(steps)
            made = count * steps * batch
            # The runs count no tokens: those of the mean row.
            return Work(made, round(made * lengths(rows)["mean"]))

        rates = timed(partial(loop, setting.sizes.steps), setting.device, repeats=4, warm=WARM)
        return rates | {"busy": busy(partial(loop, 1), setting.device)}


def _in_turn(setting: Setting, way: str, count: int, batch: int) -> Values:
    """K students that lie ready, each trained for two steps by a bare loop behind the other."""
    plan, rows = student_plan(batch), setting.rows()
    with multiplied(way) as precision:
        students = [setting.student(precision, plan) for _ in range(count)]
        loops = [bare_loop(one, rows, plan, autocast=way == "bfloat16") for one in students]

        def step() -> Work:
            works = [loop(2) for loop in loops]
            return replace(
                works[0], rows=sum(w.rows for w in works), tokens=sum(w.tokens for w in works)
            )

        return timed(step, setting.device, repeats=2)
