"""Log-likelihoods of given rows: undertow's scorer against a bare forward pass, and what of the pass takes the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from bench.real.number_rows import Setting
from bench.real.operations import PEAK, forward_operations
from bench.real.rate import Step, Work, busy, seconds_of, timed
from bench.real.record import Record, Values
from bench.real.training import multiplied
from undertow.models.batch_memory import passes
from undertow.models.chat import IGNORED, Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.recorded_passes import rounded
from undertow.models.scoring import log_likelihoods
from undertow.models.surprisal import Decoding, surprisal

BATCHES = 8
"""Batches of a repeat, at most."""


def scoring(setting: Setting, record: Record) -> None:
    """Tokens a second and the share of the peak, by rows a batch and precision; what a scan reads; parts of one batch."""
    kinds = {"undertow": _ours, "bare forward": _bare}
    for way, batch in ((w, b) for w in ("bfloat16", "float32") for b in setting.sizes.scoring):
        for kind, measure in kinds.items():
            record.case(
                f"{kind}, {way}, batch {batch}", partial(measure, setting, way, batch), most=20
            )
        if way == "bfloat16":
            record.case(f"parts, {way}, batch {batch}", partial(_parts, setting, batch), most=15)
    for way in ("bfloat16", "float32"):
        record.case(
            f"undertow, surprisal of a scan, {way}", partial(_surprisal, setting, way), most=20
        )
    most = setting.sizes.scoring[0]
    record.case(
        f"bare forward, compiled, bfloat16, batch {most}",
        partial(_compiled, setting, most),
        most=60,
    )


def _ours(setting: Setting, way: str, batch: int) -> Values:
    def made(model: LanguageModel, rows: Sequence[Encoded]) -> Callable[[], object]:
        return lambda: log_likelihoods(model, rows, batch_size=batch)

    return _scored(setting, way, batch, made)


def _bare(setting: Setting, way: str, batch: int) -> Values:
    def made(model: LanguageModel, rows: Sequence[Encoded]) -> Callable[[], object]:
        ready = [part for part, _ in passes(model, rows, batch, lambda part: None)]
        return lambda: torch.cat([_likelihoods(model.network, part) for part in ready]).cpu()

    return _scored(setting, way, batch, made)


def _compiled(setting: Setting, batch: int) -> Values:
    """What torch's compiler makes of the layers: fewer passes over memory between the products."""

    def made(model: LanguageModel, rows: Sequence[Encoded]) -> Callable[[], object]:
        ready = [rounded(part, 0) for part, _ in passes(model, rows, batch, lambda part: None)]
        for layer in model.network.model.layers:
            layer.compile(dynamic=True)
        return lambda: torch.cat([_likelihoods(model.network, part) for part in ready]).cpu()

    return _scored(setting, "bfloat16", batch, made)


def _surprisal(setting: Setting, way: str) -> Values:
    """Its batches are as large as it makes them itself."""

    def made(model: LanguageModel, rows: Sequence[Encoded]) -> Callable[[], object]:
        return lambda: surprisal(model, rows, (Decoding(),))

    return _scored(setting, way, 32, made)


def _scored(
    setting: Setting,
    way: str,
    batch: int,
    made: Callable[[LanguageModel, Sequence[Encoded]], Callable[[], object]],
) -> Values:
    with multiplied(way) as precision:
        model = setting.opened(precision)
        rows = setting.rows()[: BATCHES * batch]
        score = made(model, rows)
        step = _step(score, rows)
        rates = timed(step, setting.device, repeats=3, operations=_operations(setting, rows))
        reached = rates["tflops"]
        share = {"share_of_peak": reached * 1e12 / PEAK} if isinstance(reached, float) else {}
        return rates | share | {"busy": busy(score, setting.device)}


def _step(score: Callable[[], object], rows: Sequence[Encoded]) -> Step:
    work = Work(len(rows), sum(map(len, rows)))

    def step() -> Work:
        score()
        return work

    return step


def _operations(setting: Setting, rows: Sequence[Encoded]) -> float:
    """Of a token, on the mean over the rows."""
    sizes, scored = [len(row) for row in rows], sum(row.learnt for row in rows)
    return forward_operations(setting.shape(), sizes, scored) / sum(sizes)


@torch.inference_mode()
def _likelihoods(network: Any, batch: Batch) -> torch.Tensor:
    """(rows,) sums; the head sees the scored positions only, and none of the padding."""
    return _head(network, _states(network, batch), batch)


def _states(network: Any, batch: Batch) -> torch.Tensor:
    states: torch.Tensor = network.model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state
    return states


def _head(network: Any, states: torch.Tensor, batch: Batch) -> torch.Tensor:
    counted = batch.labels != IGNORED
    logits = network.lm_head(states[:, -batch.kept - 1 : -1][counted])
    losses = functional.cross_entropy(logits.float(), batch.labels[counted], reduction="none")
    row = counted.nonzero()[:, 0]
    return losses.new_zeros(len(counted)).index_add_(0, row, -losses)


def _parts(setting: Setting, batch: int) -> Values:
    """Milliseconds of the layers and of head and loss, and how busy the device is in each, in one batch."""
    model = setting.opened("bfloat16")
    rows = setting.rows()[:batch]
    [(part, _)] = passes(model, rows, batch, lambda part: None)
    network = model.network
    with torch.inference_mode():
        states = _states(network, part)
        values: dict[str, object] = {
            "tokens": sum(map(len, rows)),
            "padded_tokens": part.input_ids.numel(),
            "scored": sum(row.learnt for row in rows),
        }
        for name, step in (
            ("layers", lambda: _states(network, part)),
            ("head", lambda: _head(network, states, part)),
        ):
            for _ in range(3):
                step()
            seconds = min(seconds_of(step, setting.device) for _ in range(5))
            values |= {f"{name}_ms": 1e3 * seconds, f"{name}_busy": busy(step, setting.device)}
    return values
