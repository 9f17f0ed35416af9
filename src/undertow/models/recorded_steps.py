"""
One more token of every row of a cache, recorded once by an accelerator and replayed for each further token.

A token of SmolLM2-135M is some 500 launches, for which a processor takes 25 ms where an H200 computes for 3 to 6
(bench/real/h200.json, 64 and 256 rows in bfloat16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from undertow.engines.work_progress import notice
from undertow.errors import first_line
from undertow.models.language_model import LanguageModel
from undertow.models.output_head import PlainHead, plain_head
from undertow.models.recorded_passes import CudaRecorder, Recorder, difference, refuse_unlike
from undertow.models.scoring import forward_pass


@dataclass(frozen=True)
class CacheStep:
    """One more token of every row of a cache."""

    cache: Any
    tokens: torch.Tensor
    """(rows, 1)."""
    positions: torch.Tensor
    """(rows, 1)."""
    mask: torch.Tensor
    """(rows, columns), which says nothing of the columns that are not used."""
    used: int
    """Columns, of which the last takes the tokens."""
    wanted: torch.Tensor | None
    """Tokens of which logits are wanted; None for all."""

    @property
    def keys(self) -> torch.Tensor:
        """Of the cache's first layer, (rows, heads, columns, width), by which its memory is told."""
        keys: torch.Tensor = self.cache.layers[0].both[0]
        return keys

    def seen(self) -> torch.Tensor:
        """(rows, 1, 1, columns) bool: what each token attends to, itself among it."""
        seen = self.mask.bool()
        seen[:, self.used :] = False
        return seen[:, None, None]


@dataclass
class RecordedStep:
    """A step of so many rows and columns of one cache; the tensors stay where they are, and are filled anew."""

    keys: torch.Tensor
    """Of the cache's first layer, (rows, heads, columns, width): other memory needs another recording."""
    tokens: torch.Tensor
    """(rows, 1)."""
    positions: torch.Tensor
    """(rows, 1)."""
    seen: torch.Tensor
    """(rows, 1, 1, columns) bool: what each row's new token attends to, itself among it."""
    column: torch.Tensor
    """(1,): where its keys and values go."""
    hidden: torch.Tensor
    """(rows, hidden)."""
    replay: Callable[[], None]


@dataclass
class StepRecorder:
    """The recorded steps of one cache; at most one is kept, for the memory that the cache lies in."""

    model: LanguageModel
    recorder: Recorder | None
    _step: RecordedStep | None = field(default=None, init=False)
    _last: torch.Tensor | None = field(default=None, init=False)

    @classmethod
    def of(cls, model: LanguageModel, layers: list[Any]) -> StepRecorder:
        """One for a cache of such layers; it records nothing where these are not whole keys and values of all tokens."""
        usual = getattr(model.config, "_attn_implementation", None) == "sdpa"
        whole = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
        cuda = model.records and model.device.type == "cuda" and not model.spread
        return cls(model, CudaRecorder(model.device) if cuda and usual and whole else None)

    def replayed(self, step: CacheStep) -> torch.Tensor | None:
        """(rows, vocabulary or wanted) logits in float32 behind the step's tokens; None where that is not recorded."""
        recorded = self._step
        if recorded is None or recorded.keys is not step.keys:
            return None
        head = plain_head(self.model.network, step.tokens)
        if head is None:
            return None
        recorded.tokens.copy_(step.tokens)
        recorded.positions.copy_(step.positions)
        recorded.seen.copy_(step.seen())
        recorded.column.fill_(step.used - 1)
        recorded.replay()
        for layer in step.cache.layers:
            layer.used = step.used
        return head.logits(recorded.hidden, step.wanted).float()

    def offer(self, step: CacheStep, computed: torch.Tensor) -> None:
        """
        Record a step that was just computed, the second in the same memory: the first may have been the only one.

        Where it cannot be recorded, or gives other logits than were `computed`, none is any more.
        """
        if self.recorder is None:
            return
        last, self._last = self._last, step.keys
        if step.keys is not last:
            return
        head = plain_head(self.model.network, step.tokens)
        if head is None:
            self.recorder = None
            return
        try:
            self._step = _recorded(self.recorder, head, step)
            replayed = self.replayed(step)
            apart = difference([replayed], [computed]) if replayed is not None else inf
            refuse_unlike(apart, "a recorded step's logits")
        except RuntimeError as error:
            self.recorder = self._step = None
            notice(f"tokens of '{self.model.ref}' are launched one by one: {first_line(error)}")


def _recorded(recorder: Recorder, head: PlainHead, step: CacheStep) -> RecordedStep:
    """
    Raises:
        RuntimeError: something in the decoder cannot be recorded.
    """
    column = torch.full((1,), step.used - 1, device=step.tokens.device)
    seen, ids, places = step.seen(), step.tokens.clone(), step.positions.clone()

    def work() -> torch.Tensor:
        with _written_at(step.cache, column):
            hidden: torch.Tensor = forward_pass(
                head.decoder,
                input_ids=ids,
                attention_mask=seen,
                position_ids=places,
                past_key_values=step.cache,
                use_cache=True,
            ).last_hidden_state
        return hidden[:, -1]

    for layer in step.cache.layers:
        for states in layer.both:
            # What a mask hides is multiplied by 0, which does not undo what is no number.
            states[:, :, step.used :] = 0
    hidden, replay = recorder.record(work)
    return RecordedStep(step.keys, ids, places, seen, column, hidden, replay)


@contextmanager
def _written_at(cache: Any, column: torch.Tensor) -> Iterator[None]:
    """Within the block the layers write to that column, and all of their columns are seen."""
    for layer in cache.layers:
        layer.column = column
    try:
        yield
    finally:
        for layer in cache.layers:
            layer.column = None
