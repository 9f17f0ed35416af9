"""
How many rows a pass holds: by what it keeps of each token, by the memory that is left, and by what ran out of it before.

Where memory runs out all the same, the pass is made again with half as many rows (`smaller`), and no later pass of the
network holds more; what comes out is the same up to rounding.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from undertow.engines.work_progress import counted, notice
from undertow.errors import UndertowError
from undertow.models.chat import Batch, Encoded, pad
from undertow.models.hardware import LEAST_WEIGHTS, free_memory
from undertow.models.language_model import LanguageModel
from undertow.models.placement import is_shared, least_left

MOST_ON_CPU = 2_000_000_000
"""Bytes that a pass takes at most on a processor, where larger batches are no faster."""

SHARE = 0.5
"""Of the memory that is left, for a pass: a backward pass needs its own on top."""

_LAST_SHARE = 0.8
"""Of it, for a pass that cannot be made smaller."""

_DRAWN = 32
"""Bytes a token of the vocabulary while the next one is drawn: logits, probabilities, their sums in float64."""


_LITTLE = 32_000_000
"""Bytes below which a pass is made without a look at what is left, which takes as long as a small network's pass."""


P = TypeVar("P")
R = TypeVar("R")

Kind = Literal["read", "sampled", "trained"]
"""Of passes: tokens of one kind take more than those of another."""

UNKNOWN = 1 << 60

_MOST: WeakKeyDictionary[Any, dict[Kind, int]] = WeakKeyDictionary()
"""Most tokens a pass over each network, once memory ran out of more."""

_HINT = (
    "shorter rows (max_length in the plan), --quantise 4bit (a quarter of the weights' memory), --shard layers (several "
    "GPUs), or a machine with more memory"
)


def room(model: LanguageModel) -> int:
    """Bytes that one pass may take, on the fullest of the devices that its layers lie on."""
    share = int(SHARE * _free(model))
    return share if model.device.type == "cuda" else min(share, MOST_ON_CPU)


def _free(model: LanguageModel) -> int:
    return least_left(model.network, _free_here(model))


def _free_here(model: LanguageModel) -> int:
    """In this process, whatever others have that share the network."""
    return min(map(free_memory, {weight.device for weight in model.network.parameters()}))


def scored_rows(model: LanguageModel, longest: int, most: int, *, beside: float = 0.0) -> int:
    """
    Rows of so many tokens that a pass without gradients holds, at least 1 and at most `most`; `beside` are bytes that it
    keeps of a row apart from what goes through a layer: a cache, a mask.
    """
    return _fitting(most, model, longest * _passing(model.config, _item(model)) + beside)


def sampled_rows(model: LanguageModel, longest: int, most: int) -> int:
    """Rows of so many tokens, with their answers, that are sampled side by side: with caches, and logits of each."""
    most = _within(model, "sampled", longest, most)
    return _fitting(most, model, drawn_bytes(model.config, _item(model), longest))


def drawn_bytes(config: Any, item: int, longest: int) -> int:
    """Bytes that a row of so many tokens takes while it is sampled; by a language model's configuration, as the next."""
    # A cache is copied where rows come and go.
    a_token = 2 * cached_bytes(config, item) + _passing(config, item)
    return longest * a_token + _DRAWN * int(config.vocab_size)


def cache_bytes(model: LanguageModel) -> int:
    """Bytes of keys and values a token, in all layers."""
    return cached_bytes(model.config, _item(model))


def cached_bytes(config: Any, item: int) -> int:
    """Bytes of keys and values a token, of so many bytes a number."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * item)


def _fitting(most: int, model: LanguageModel, row: float) -> int:
    return most if most * row <= _LITTLE else _at_most(most, room(model), row)


def _at_most(most: int, there: int, row: float) -> int:
    return max(1, min(most, int(there // max(1, row))))


def _passing(config: Any, item: int) -> int:
    """Bytes a token while it goes through a layer: four of the feed-forward's width, five of the model's, norms in float32."""
    width = int(config.hidden_size)
    inner = int(getattr(config, "intermediate_size", None) or 4 * width)
    return item * (5 * width + 4 * inner) + 12 * width


def _item(model: LanguageModel) -> int:
    return int(next(model.network.parameters()).element_size())


def _known(model: LanguageModel, kind: Kind) -> int:
    """Most tokens of such a pass, if memory ever ran out of more."""
    return _MOST.get(model.network, {}).get(kind, UNKNOWN)


def _within(model: LanguageModel, kind: Kind, longest: int, most: int) -> int:
    """Rows of so many tokens, at most `most`, of which memory did not run out before."""
    return _at_most(most, _known(model, kind), longest)


def smaller(
    error: RuntimeError, model: LanguageModel, kind: Kind, rows: int, longest: int, runs: int = 1
) -> int:
    """
    Half the rows, after a pass over so many ran out of memory; what it held is freed, and it is told once a network.

    `longest` are the tokens of one in each of the `runs` side by side. Any other error is raised again.

    Raises:
        UndertowError: it was one row already, or processes share the model, of which one may have had room.
    """
    _release(error, model)
    if rows <= 1 or is_shared(model.network):
        raise _too_large(model, kind, rows, longest, runs) from error
    known = _MOST.setdefault(model.network, {})
    if kind not in known:
        notice(
            f"memory ran out on {model.device} at {rows:,} rows of {longest:,} tokens of '{model.ref}': batches are halved "
            "until they fit, with the same results up to rounding"
        )
    fewer = (rows + 1) // 2
    known[kind] = fewer * longest * runs
    return fewer


def _release(error: RuntimeError, model: LanguageModel) -> None:
    """Free what a pass held that ran out of memory; an error of another kind is raised again."""
    if not (isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)):
        raise error
    # Tensors are held by the frames of the pass, and those by the error.
    traceback.clear_frames(error.__traceback__)
    clear_device_cache(garbage_collection=model.device.type != "cpu")


def _too_large(
    model: LanguageModel, kind: Kind, rows: int, longest: int, runs: int
) -> UndertowError:
    amount = "one row" if rows <= 1 else f"{rows:,} rows"
    beside = f" in each of {runs} adapters" if runs > 1 else ""
    half = f"{runs // 2} adapters at a time, or " if runs > 1 else ""
    # The others did not run out, and would never answer.
    left = _free_here(model) / 1e9
    return UndertowError(
        f"memory ran out on {model.device} with {amount} of {longest:,} tokens{beside} of '{model.ref}' {_DOING[kind]}; "
        f"{left:.1f} GB are left without it, and {half}a row of {longest // 2:,} tokens would take half",
        hint=_HINT,
    )


_DOING: dict[Kind, str] = {
    "read": "in a pass",
    "sampled": "while an answer was drawn",
    "trained": "in training",
}


def fitted(
    model: LanguageModel, lengths: Sequence[int], size: int, work: Callable[[int, int], R]
) -> Iterator[R]:
    """
    `work(start, stop)` on stretches of at most `size` rows of so many tokens, fewer where memory runs out.

    Raises:
        UndertowError: one row does not fit.
    """
    start = 0
    size = _within(model, "read", max(lengths, default=1), size)
    while start < len(lengths):
        stop = min(len(lengths), start + size)
        try:
            made = work(start, stop)
        except RuntimeError as error:
            size = smaller(error, model, "read", stop - start, max(lengths[start:stop]))
            continue
        yield made
        start = stop


def passes(
    model: LanguageModel, rows: Sequence[Encoded], size: int, work: Callable[[Batch], R]
) -> Iterator[tuple[Batch, R]]:
    """
    (batch on the model's device, what `work` makes of it) for all rows: at most `size` of similar length, longest first, so
    that memory runs out at once or never; fewer where it does.

    Raises:
        UndertowError: one row does not fit.
    """
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))

    def made(start: int, stop: int) -> tuple[Batch, R]:
        chosen = order[start:stop]
        some = [rows[i] for i in chosen]
        batch = pad(some, model.tokenizer.pad_token_id, tuple(chosen)).to(model.device)
        return batch, work(batch)

    with counted("reading", len(order), "rows") as told:
        for batch, result in fitted(model, [len(rows[i]) for i in order], size, made):
            yield batch, result
            told.advance(len(batch.rows), tokens=sum(len(rows[i]) for i in batch.rows))


def whole_step(
    pieces: Callable[[], Iterable[P]],
    share: Callable[[P], torch.Tensor],
    shrink: Callable[[RuntimeError], None],
) -> list[torch.Tensor]:
    """
    The `share` of each piece of a training step in its loss, which adds to the gradients; begun anew where memory runs out,
    once `shrink` has made the pieces smaller, and dropped what a backward pass that broke off left of gradients.
    """
    while True:
        try:
            return [share(piece) for piece in pieces()]
        except RuntimeError as error:
            shrink(error)


@dataclass(frozen=True)
class TrainingRoom:
    """What a pass with gradients keeps, measured on a row of each run, and what there is room for."""

    bytes_a_token: float
    """Of one run."""
    room: int
    tokens: int = UNKNOWN
    """Most in a pass, of all runs."""

    def rows(self, longest: int, runs: int, wanted: int) -> int:
        """Rows of each run, of so many tokens, that a pass holds: at least 1 and at most `wanted`."""
        most = _at_most(wanted, self.tokens, longest * runs)
        return _at_most(most, self.room, self.bytes_a_token * longest * runs)

    def smaller(
        self, error: RuntimeError, model: LanguageModel, rows: int, longest: int, runs: int
    ) -> TrainingRoom:
        """
        Room for half the rows of each run, after a pass over so many ran out of memory; of one, layers are computed again.

        Raises:
            UndertowError: as `smaller`.
        """
        network = model.network
        again = getattr(network, "supports_gradient_checkpointing", False)
        if rows > 1 or not again or recomputes(network) or is_shared(network):
            fewer = smaller(error, model, "trained", rows, longest, runs)
            return replace(self, tokens=fewer * longest * runs)
        _release(error, model)
        _recompute(network, on=True)
        _AGAIN.add(network)
        notice(
            f"memory ran out on {model.device} in training '{model.ref}' on one row of {longest:,} tokens: its layers are "
            "computed again in the backward pass, which takes a third more time"
        )
        return replace(self, tokens=longest * runs)


UNLIMITED = TrainingRoom(0.0, UNKNOWN)
"""Of a small model, which is not measured."""

_AGAIN: WeakSet[Any] = WeakSet()
"""Networks whose layers are computed again in the backward pass, as not even a row fitted otherwise."""


def training_room(
    model: LanguageModel, trial: Callable[[], torch.Tensor], tokens: int, longest: int, runs: int
) -> TrainingRoom:
    """
    What a pass keeps for its backward pass, by a `trial` that gives the loss of a row of each run, of `tokens` in all.

    Where not even a row of each run with `longest` tokens fits, layers are computed again in the backward pass (gradient
    checkpointing), which keeps their inputs only.

    Raises:
        UndertowError: not even that fits; the message says what would.
    """
    network = model.network
    if network not in _AGAIN and recomputes(network):
        _recompute(network, on=False)
    known = _known(model, "trained")
    if sum(weight.numel() for weight in network.parameters()) < LEAST_WEIGHTS:
        return replace(UNLIMITED, tokens=known)
    there = room(model)
    last = int(_LAST_SHARE * _free(model))
    kept = kept_bytes(network, trial) / tokens
    if kept * longest * runs <= max(there, last):
        return TrainingRoom(kept, there, known)
    if getattr(network, "supports_gradient_checkpointing", False):
        _recompute(network, on=True)
        kept = kept_bytes(network, trial) / tokens
        if kept * longest * runs <= last:
            return TrainingRoom(kept, there, known)
    raise UndertowError(
        f"too little memory to train '{model.ref}': a row of {longest} tokens takes {kept * longest * runs / 1e9:.1f} GB"
        f"{f' in {runs} adapters side by side' if runs > 1 else ''}, and {last / 1e9:.1f} GB are left; "
        f"{_what_fits(model, last / kept, longest, runs)}",
        hint=_HINT,
    )


def recomputes(network: Any) -> bool:
    """Whether its layers are computed again in a backward pass."""
    return any(getattr(module, "gradient_checkpointing", False) for module in network.modules())


def _recompute(network: Any, *, on: bool) -> None:
    how = ({"use_reentrant": False},) if on else ()
    # transformers has given the switch another name.
    names = (
        f"{kind}_checkpointing_{'enable' if on else 'disable'}"
        for kind in ("activation", "gradient")
    )
    switch = next(filter(None, (getattr(network, name, None) for name in names)))
    switch(*how)


def _what_fits(model: LanguageModel, tokens: float, longest: int, runs: int) -> str:
    ways = [f"rows of {int(tokens // runs)} tokens would fit"]
    if runs > 1 and tokens >= longest:
        ways.append(f"{int(tokens // longest)} adapters at a time")
    if _item(model) > 2:
        ways.append("--dtype bfloat16 takes half")
    return ", ".join(ways)


def kept_bytes(network: Any, trial: Callable[[], torch.Tensor]) -> int:
    """Bytes that autograd keeps of a computation, those of the network's own weights left out."""
    # Of a matrix that is split over processes this one holds a part.
    parts = [getattr(weight, "_local_tensor", weight) for weight in network.parameters()]
    weights = {_place(part) for part in parts}
    # Held until all are counted, so that no address is given out twice.
    held: dict[int, torch.UntypedStorage] = {}

    def count(tensor: torch.Tensor) -> None:
        # What is packed must not be the tensor: an operation that saves its own result would never be freed.
        if _place(tensor) not in weights:
            held[_place(tensor)] = tensor.untyped_storage()

    devices = [tensor.device for tensor in network.parameters() if tensor.device.type == "cuda"]
    with (
        torch.enable_grad(),
        torch.random.fork_rng(devices=list(dict.fromkeys(devices))),
        torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing),
    ):
        trial()
    return sum(storage.nbytes() for storage in held.values())


def _place(tensor: torch.Tensor) -> int:
    # Tensors on the meta device, by which costs are counted, have no address to tell them by.
    return int(tensor.untyped_storage()._cdata)
