"""A key-value cache whose rows come and go: finished ones leave their places, and others are computed into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from undertow.models.language_model import LanguageModel
from undertow.models.output_head import FEW, multiplies
from undertow.models.placement import computing_as
from undertow.models.recorded_steps import CacheStep, StepRecorder
from undertow.models.scoring import cached_logits

_ROOM = 12
"""Columns that are made at a time."""

_WORTH_A_CUT, _WORTH_A_RECORDING = 3 / 4, 1 / 4
"""Share of busy places below which the others are cut off; the second where a step is then recorded anew."""

WORTHWHILE = 8
"""Tokens of a common beginning from which it is computed apart, once for all rows."""

_WHOLE_ROWS = (DynamicLayer, DynamicSlidingWindowLayer)
"""What keeps keys and values of every token, which can be cut by rows."""


Places = Sequence[int] | NDArray[np.int64]


class ColumnLayer(DynamicLayer):
    """
    Keys and values of one layer, written in place: shape (places, heads, columns, width), of which the first `used`
    columns are full and the newest token of every row stands in the last of them.
    """

    def __init__(self, columns: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self.columns = columns
        self.used = 0
        self.column: torch.Tensor | None = None
        """(1,): where the newest token of every row goes while a step is recorded, which then sees all columns."""
        self._keys = self._values = torch.empty(0)

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Columns that are written before they are read."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._keys, self._values = (
            states.new_empty(*states.shape[:2], self.columns, states.shape[-1])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new columns: the keys and values of all that are used."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.column is not None:
            self._keys.index_copy_(2, self.column, key_states)
            self._values.index_copy_(2, self.column, value_states)
            return self._keys, self._values
        begins, new = not self.used, key_states.shape[-2]
        self._keys.narrow(2, self.used, new).copy_(key_states)
        self._values.narrow(2, self.used, new).copy_(value_states)
        self.used += new
        if begins:
            return key_states, value_states
        return self._keys.narrow(2, 0, self.used), self._values.narrow(2, 0, self.used)

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.used

    def begin(self, other: ColumnLayer, rows: int) -> None:
        """So many rows that all begin as the one row of another layer."""
        same = (rows, -1, -1, -1)
        self.update(*(states[:, :, : other.used].expand(same) for states in other.both))

    @property
    def both(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, with the columns that are not in use."""
        return self._keys, self._values

    def take(self, kept: torch.Tensor, used: int, columns: int) -> None:
        """Only these places, right-aligned in the first `used` of so many columns."""
        width = min(used, self.used)
        kept = kept.to(self._keys.device)

        def moved(old: torch.Tensor) -> torch.Tensor:
            new = old.new_empty(len(kept), old.shape[1], columns, old.shape[-1])
            # What a mask hides is multiplied by 0, which does not undo what is no number.
            new[:, :, : used - width] = 0
            new[:, :, used - width : used] = old[kept, :, self.used - width : self.used]
            return new

        self._keys, self._values = moved(self._keys), moved(self._values)
        self.used, self.columns = used, columns

    def place(self, places: torch.Tensor, other: ColumnLayer) -> None:
        """The rows of another layer in place of these, right-aligned; it uses no more columns."""
        start, places = self.used - other.used, places.to(self._keys.device)
        self._keys[places, :, start : self.used] = other._keys[:, :, : other.used]
        self._values[places, :, start : self.used] = other._values[:, :, : other.used]


def left_padded(
    prompts: Sequence[tuple[int, ...]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """(token ids, attention mask), both (prompts, longest): all prompts end at the right edge."""
    length = max(map(len, prompts))
    ids = np.full((len(prompts), length), pad_id, dtype=np.int64)
    attention = np.zeros_like(ids)
    for i, prompt in enumerate(prompts):
        ids[i, length - len(prompt) :] = prompt
        attention[i, length - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(attention).to(device)


class RowCache:
    """
    Rows of different lengths, right-aligned, with what a network keeps of their tokens.

    A row is told by its place. What stands left of a row is hidden from it by the mask, so that its logits do not depend
    on the other rows, up to rounding.
    """

    def __init__(self, model: LanguageModel, more: int, beginning: tuple[int, ...] = ()) -> None:
        made = DynamicCache(config=model.network.config).layers
        self._depth = len(made)
        self.refillable = bool(made) and all(type(layer) in _WHOLE_ROWS for layer in made)
        """Whether rows can be dropped and replaced; else they stay until all are done."""
        self._model = model
        self._more = more
        self._layers: list[ColumnLayer] = []
        self._cache: Any = None
        self._recorded = StepRecorder.of(model, made)
        self._mask = self._lengths = torch.empty(0)
        self._used = 0
        # A window of attention would count the columns between the beginning and the rest.
        shared = self.refillable and model.window is None
        self._begun = len(beginning) if shared and len(beginning) >= WORTHWHILE else 0
        if self._begun:
            ids = torch.tensor([beginning], device=model.device)
            cache, self._beginning = self._empty(1, self._begun, begun=False)
            self._logits(
                ids,
                torch.ones_like(ids),
                torch.arange(self._begun, device=ids.device)[None],
                cache,
                None,
            )

    @property
    def worth_a_cut(self) -> float:
        """Share of busy places below which the others are cut off: a recorded step takes as long for fewer rows."""
        return _WORTH_A_CUT if self._recorded.recorder is None else _WORTH_A_RECORDING

    def begin(
        self, prompts: Sequence[tuple[int, ...]], wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Drop all rows and compute these prompts, one a place; logits of what follows them, (prompts, vocabulary), or of
        the `wanted` tokens only.
        """
        ids, mask = self._padded(prompts)
        self._used = mask.shape[1]
        columns = self._columns(self._used)
        if self._layers and not self._begun and self._mask.shape == (len(ids), columns):
            for layer in self._layers:  # fresh memory costs as much as a layer's pass
                layer.used = 0
        else:
            self._cache, self._layers = self._empty(len(ids), columns)
        # The columns that are not in use are full already: one is seen once it is used.
        self._mask = mask.new_ones(len(ids), columns)
        self._mask[:, : self._used] = mask
        self._lengths = mask.sum(1)
        return self._prompt_logits(ids, mask, self._cache, wanted)

    def step(self, tokens: torch.Tensor, wanted: torch.Tensor | None = None) -> torch.Tensor:
        """Append a token to each row; logits of what follows it, (places, vocabulary or wanted)."""
        if self._used == self._mask.shape[1]:
            self._realign(torch.arange(len(tokens), device=tokens.device), 0)
        self._used += 1
        positions = self._lengths[:, None]
        self._lengths = self._lengths + 1
        step = CacheStep(self._cache, tokens[:, None], positions, self._mask, self._used, wanted)
        logits = self._recorded.replayed(step)
        if logits is None:
            mask = self._mask[:, : self._used]
            logits = self._logits(tokens[:, None], mask, positions, self._cache, wanted)
            self._recorded.offer(step, logits)
        return logits

    def keep(self, places: Places) -> None:
        """Drop all rows but these, which move up to the first places in their order."""
        self._realign(torch.as_tensor(places, device=self._mask.device), 0)

    def replace(
        self,
        places: Places,
        prompts: Sequence[tuple[int, ...]],
        wanted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute prompts in the places of other rows; logits of what follows them, (prompts, vocabulary or wanted)."""
        ids, mask = self._padded(prompts)
        where = torch.as_tensor(places, device=ids.device)
        width = mask.shape[1]
        cache, layers = self._empty(len(ids), width)
        logits = self._prompt_logits(ids, mask, cache, wanted)
        self._lengths[where] = mask.sum(1)
        # What leaves needs no columns.
        self._mask[where, : self._used - 1] = 0
        self._realign(torch.arange(len(self._lengths), device=ids.device), width)
        for layer, other in zip(self._layers, layers, strict=True):
            layer.place(where, other)
        self._mask[where, : self._used] = 0
        self._mask[where, self._used - width : self._used] = mask
        return logits

    def _realign(self, kept: torch.Tensor, least: int) -> None:
        """
        Only the kept rows, in no more columns than they and a newcomer of `least` tokens need.

        Nothing moves where all rows stay, there is room to the right, and little would be gained.
        """
        seen = self._mask[kept, : self._used]
        # Columns from each row's first token to the right edge.
        used = max(least, int((self._used - seen.argmax(1)).max()))
        room = self._used < self._mask.shape[1]
        if len(kept) == len(self._mask) and room and 0.75 * self._used <= used <= self._used:
            return
        columns = self._columns(used)
        width = min(used, self._used)
        mask = self._mask.new_ones(len(kept), columns)
        mask[:, : used - width] = 0
        mask[:, used - width : used] = seen[:, self._used - width :]
        for layer in self._layers:
            layer.take(kept, used, columns)
        self._mask, self._used = mask, used
        self._lengths = self._lengths[kept]

    def _columns(self, used: int) -> int:
        # A few at a time, as what lies close together is read faster than it is moved once in a while; an odd number, as
        # rows that lie a power of two apart share lines of a processor's memory cache.
        # A step is recorded for the memory that the cache lies in: there, all at once.
        records = self._recorded.recorder is not None
        return (used + (self._more if records else min(self._more, _ROOM))) | 1

    def _padded(self, prompts: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids of the prompts' rests, and the mask of beginning and rest."""
        rests = [prompt[self._begun :] for prompt in prompts]
        ids, mask = left_padded(rests, self._model.tokenizer.pad_token_id, self._model.device)
        return ids, torch.cat([mask.new_ones(len(mask), self._begun), mask], 1)

    def _empty(
        self, rows: int, columns: int, *, begun: bool = True
    ) -> tuple[Any, list[ColumnLayer]]:
        """A cache of so many columns, in which nothing stands but what all rows begin with."""
        if not self.refillable:
            return DynamicCache(config=self._model.network.config), []
        # A window of attention is kept by the network's mask; the columns outside it only cost room.
        layers = [ColumnLayer(columns) for _ in range(self._depth)]
        if begun and self._begun:
            for layer, beginning in zip(layers, self._beginning, strict=True):
                layer.begin(beginning, rows)
        return Cache(layers=list(layers)), layers

    def _prompt_logits(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, wanted: torch.Tensor | None
    ) -> torch.Tensor:
        positions = (mask.cumsum(1) - 1).clamp_min(0)[:, self._begun :]
        return self._logits(ids, mask, positions, cache, wanted)

    def _logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        wanted: torch.Tensor | None,
    ) -> torch.Tensor:
        network = self._model.network
        with _WHOLE if wanted is None else _head_of(network, wanted) as few:
            logits = cached_logits(network, ids, mask, positions, cache, 1)[:, -1].float()
        return logits if few or wanted is None else logits[:, wanted]


_WHOLE = nullcontext(False)
"""The head as it is."""


@contextmanager
def _head_of(network: Any, wanted: torch.Tensor) -> Iterator[bool]:
    """
    Within the block the network's head makes logits of the wanted tokens only, where they are few; whether it does.

    What the network does to its logits afterwards (a soft cap, a scale) it still does, to those.
    """
    head = network.get_output_embeddings()
    if not multiplies(head) or len(wanted) >= FEW * len(head.weight):
        yield False
        return
    rows = wanted.to(head.weight.device)
    weight = head.weight[rows]
    bias = None if head.bias is None else head.bias[rows]
    with computing_as(head, lambda states: functional.linear(states, weight, bias)):
        yield True
