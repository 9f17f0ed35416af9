"""
One more token of every row of a cache, recorded once by an accelerator and replayed for each further token.

A token of SmolLM2-135M is some 500 launches, for which a processor takes 25 ms where an H200 computes for 3 to 6
(bench/real/h200.json, 64 and 256 rows in bfloat16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional
from transformers.cache_utils import DynamicLayer

from undertow.engines.work_progress import notice
from undertow.models.language_model import LanguageModel
from undertow.models.output_head import PlainHead, plain_head
from undertow.models.recorded_passes import CudaRecorder, Recorder
from undertow.models.scoring import forward_pass

FEW = 1 / 8
"""Share of the vocabulary below which only the rows of the head that are wanted are used."""

_ALIKE = 0.05
"""Relative difference, at most, between logits that are replayed and those that are computed."""


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
        usual = getattr(model.network.config, "_attn_implementation", None) == "sdpa"
        whole = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
        cuda = model.records and model.device.type == "cuda" and not model.spread
        return cls(model, CudaRecorder(model.device) if cuda and usual and whole else None)

    def replayed(
        self,
        cache: Any,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        used: int,
        wanted: torch.Tensor | None,
    ) -> torch.Tensor | None:
        """
        (rows, vocabulary or wanted) logits in float32 behind `tokens`, (rows, 1), which go into the last of `used` columns
        of the cache; None where that is not recorded.

        `mask` is (rows, columns), of what is used and what is not.
        """
        step = self._step
        if step is None or step.keys is not cache.layers[0].both[0]:
            return None
        head = plain_head(self.model.network, tokens)
        if head is None:
            return None
        step.tokens.copy_(tokens)
        step.positions.copy_(positions)
        step.seen.copy_(_seen(mask, used))
        step.column.fill_(used - 1)
        step.replay()
        for layer in cache.layers:
            layer.used = used
        return _logits(head, step.hidden, wanted)

    def offer(
        self,
        cache: Any,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        used: int,
        wanted: torch.Tensor | None,
        computed: torch.Tensor,
    ) -> None:
        """
        Record a step that was just computed, the second in the same memory: the first may have been the only one.

        Where it cannot be recorded, or gives other logits than were `computed`, none is any more.
        """
        if self.recorder is None:
            return
        keys, last = cache.layers[0].both[0], self._last
        self._last = keys
        if keys is not last:
            return
        head = plain_head(self.model.network, tokens)
        if head is None:
            self.recorder = None
            return
        try:
            self._step = self._recorded(head, cache, tokens, positions, mask, used)
            found = self.replayed(cache, tokens, positions, mask, used, wanted)
            self._compare(found, computed)
        except RuntimeError as error:
            self.recorder = self._step = None
            first = (str(error).strip().splitlines() or ["no reason given"])[0]
            notice(f"tokens of '{self.model.ref}' are launched one by one: {first}")

    def _recorded(
        self,
        head: PlainHead,
        cache: Any,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        used: int,
    ) -> RecordedStep:
        assert self.recorder is not None
        column = torch.full((1,), used - 1, device=tokens.device)
        seen, ids, places = _seen(mask, used), tokens.clone(), positions.clone()

        def work() -> torch.Tensor:
            with _written_at(cache, column):
                hidden: torch.Tensor = forward_pass(
                    head.decoder,
                    input_ids=ids,
                    attention_mask=seen,
                    position_ids=places,
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state
            return hidden[:, -1]

        for layer in cache.layers:
            for states in layer.both:
                # What a mask hides is multiplied by 0, which does not undo what is no number.
                states[:, :, used:] = 0
        hidden, replay = self.recorder.record(work)
        keys = cache.layers[0].both[0]
        return RecordedStep(keys, ids, places, seen, column, hidden, replay)

    def _compare(self, replayed: torch.Tensor | None, computed: torch.Tensor) -> None:
        """
        Raises:
            RuntimeError: what is replayed is not what is computed.
        """
        if replayed is None:
            raise RuntimeError("its cache has moved")
        apart = float((replayed - computed).norm() / computed.norm().clamp_min(1e-12))
        if not apart <= _ALIKE:
            raise RuntimeError(f"a recorded step's logits differ from computed ones by {apart:.2g}")


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


def _seen(mask: torch.Tensor, used: int) -> torch.Tensor:
    """(rows, 1, 1, columns) bool of a (rows, columns) mask that says nothing of the columns that are not used."""
    seen = mask.bool()
    seen[:, used:] = False
    return seen[:, None, None]


def _logits(head: PlainHead, hidden: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
    """As the network's own head makes them, of the wanted tokens only where they are few."""
    if wanted is None or len(wanted) >= FEW * len(head.weight):
        logits = functional.linear(hidden, head.weight, head.bias).float()
        return logits if wanted is None else logits[:, wanted]
    bias = None if head.bias is None else head.bias[wanted]
    return functional.linear(hidden, head.weight[wanted], bias).float()
