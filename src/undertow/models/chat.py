"""Conversations as token ids: where the prompt ends, the completion begins, and padding goes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from undertow.data.rows import Message, template_turn
from undertow.errors import ModelError

IGNORED = -100  # label of positions without loss, as in transformers and TRL


_ROLES_SHOWN = 8
"""Turns whose roles an error names."""

_ROLE_SHOWN = 20
"""Characters of such a role."""


@dataclass(frozen=True)
class Encoded:
    """One row as token ids: what comes before the first token with a loss, and what follows from there."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """Ends with the end-of-turn token that the template writes, so that the loss includes it."""
    masked: tuple[int, ...] = ()
    """Places of completion tokens that are left out of the loss, and of every score."""

    @property
    def learnt(self) -> int:
        """Tokens with a loss."""
        return len(self.completion) - len(self.masked)

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True)
class Batch:
    """Left-padded rows: all completions end at the right edge, so only the last positions need logits."""

    input_ids: torch.Tensor
    """(rows, length) int64."""
    attention_mask: torch.Tensor
    """(rows, length) int64, 0 on padding."""
    position_ids: torch.Tensor
    """(rows, length) int64, counted from each row's first token."""
    labels: torch.Tensor
    """(rows, kept) int64: the completion tokens of the last `kept` positions, IGNORED elsewhere."""
    rows: tuple[int, ...]
    """Index of each row in the sequence that was batched."""
    beginning: torch.Tensor | None = None
    """(runs, length) int64: what stands before every row and is computed once a run; not in `input_ids`."""

    @property
    def kept(self) -> int:
        """Number of last positions that hold a label in some row."""
        return self.labels.shape[1]

    @property
    def length(self) -> int:
        """Columns, those of the beginning included."""
        return self.input_ids.shape[1] + self.begun

    @property
    def begun(self) -> int:
        """Tokens of the beginning."""
        return 0 if self.beginning is None else self.beginning.shape[1]

    @property
    def tokens(self) -> int:
        """Tokens of all rows, their beginnings included, padding not."""
        return int(self.attention_mask.sum()) + self.begun * len(self.rows)

    @property
    def seen(self) -> torch.Tensor:
        """(rows, length) int64: `attention_mask` with the beginning before it."""
        return seen_behind(self.attention_mask, self.begun)

    def whole(self) -> Batch:
        """The same with the beginning in each row, where any padding then stands between it and the rest."""
        if self.beginning is None:
            return self
        before = self.beginning[:1].expand(len(self.rows), -1)
        positions = torch.arange(self.begun, device=before.device).expand(len(self.rows), -1)
        return Batch(
            torch.cat([before, self.input_ids], 1),
            self.seen,
            torch.cat([positions, self.position_ids], 1),
            self.labels,
            self.rows,
        )

    def part(self, start: int, stop: int) -> Batch:
        """Some of its rows, without columns that are padding in all of them."""
        rows = slice(start, stop)
        mask, labels = self.attention_mask[rows], self.labels[rows]
        begin, first = (int(at.any(0).int().argmax()) for at in (mask, labels != IGNORED))
        return Batch(
            self.input_ids[rows, begin:],
            mask[:, begin:],
            self.position_ids[rows, begin:],
            labels[:, first:],
            self.rows[rows],
            self.beginning,
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        return Batch(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            self.position_ids.to(device),
            self.labels.to(device),
            self.rows,
            None if self.beginning is None else self.beginning.to(device),
        )


def seen_behind(mask: torch.Tensor, length: int) -> torch.Tensor:
    """An attention mask, (rows, columns), with so many tokens before it that all rows have."""
    return functional.pad(mask, (length, 0), value=1)


@lru_cache(maxsize=16)
def in_template(tokenizer: Any, template: str) -> Any:
    """The tokenizer with this chat template in the place of its own; itself where none is given."""
    if not template or template == tokenizer.chat_template:
        return tokenizer
    made = copy.copy(tokenizer)  # shares the vocabulary
    made.chat_template = template
    return made


def prompt_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """
    The text that the model sees before it answers.

    Raises:
        ModelError: the chat template refuses the conversation (a system role that it lacks, say).
    """
    return rendered(tokenizer, messages, add_generation_prompt=True)


def encode_prompts(tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> list[tuple[int, ...]]:
    """Token ids of each prompt, with the generation prompt of the chat template."""
    texts = [prompt_text(tokenizer, messages) for messages in prompts]
    return [tuple(ids) for ids in token_ids(tokenizer, texts)]


def text_sequences(tokenizer: Any, texts: Sequence[str]) -> list[Encoded]:
    """
    Texts to be read, not learnt: their tokens behind the one that begins a text, or behind their own first.

    Nothing predicts the first token of a text, so something must stand before it.
    """
    begin = tokenizer.bos_token_id
    ids = [tuple(one) for one in token_ids(tokenizer, texts)]
    if begin is not None:
        return [Encoded((begin,), one) for one in ids]
    return [Encoded(one[:1], one[1:]) for one in ids]


def pad(
    encoded: Sequence[Encoded],
    pad_id: int,
    rows: tuple[int, ...],
    beginning: tuple[int, ...] = (),
    runs: int = 1,
) -> Batch:
    """One left-padded batch; a `beginning` that all prompts have is kept apart, once for each of the runs."""
    if beginning:
        rest = [replace(row, prompt=row.prompt[len(beginning) :]) for row in encoded]
        tails = pad(rest, pad_id, rows)
        return replace(
            tails,
            position_ids=tails.position_ids + len(beginning),
            beginning=torch.tensor([beginning] * runs),
        )
    length = max(len(e) for e in encoded)
    kept = max(len(e.completion) for e in encoded)
    ids = np.full((len(encoded), length), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    labels = np.full((len(encoded), kept), IGNORED, dtype=np.int64)
    for i, row in enumerate(encoded):
        ids[i, length - len(row) :] = row.prompt + row.completion
        mask[i, length - len(row) :] = 1
        labels[i, kept - len(row.completion) :] = row.completion
        labels[i, [kept - len(row.completion) + place for place in row.masked]] = IGNORED
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    tensors = [torch.from_numpy(array) for array in (ids, mask, positions, labels)]
    return Batch(tensors[0], tensors[1], tensors[2], tensors[3], rows)


WINDOW = 8
"""Batches within which `training_order` sorts rows by their length."""


def training_order(lengths: Sequence[int], size: int, generator: np.random.Generator) -> list[int]:
    """A random order of the rows whose batches hold similar lengths: rows are sorted only within windows of batches."""
    shuffled = generator.permutation(len(lengths))
    span = size * WINDOW
    chunks: list[np.ndarray] = []
    for start in range(0, len(shuffled), span):
        part = shuffled[start : start + span]
        part = part[np.argsort([lengths[i] for i in part], kind="stable")]
        chunks.extend(part[i : i + size] for i in range(0, len(part), size))
    full = [c for c in chunks if len(c) == size]
    rest = [c for c in chunks if len(c) < size]
    mixed = [full[i] for i in generator.permutation(len(full))]
    return [int(i) for chunk in [*mixed, *rest] for i in chunk]


def rendered(tokenizer: Any, messages: Sequence[Message], context: str = "", **how: Any) -> str:
    """
    The conversation as the chat template writes it; `context` is a row's (tools, the template's own arguments), `how`
    goes to the template.

    Raises:
        ModelError: the chat template refuses the conversation (a system role that it lacks, say).
    """
    with template_refusals(messages):
        return str(
            tokenizer.apply_chat_template(
                [template_turn(message) for message in messages],
                tokenize=False,
                **given_to_template(context),
                **how,
            )
        )


def given_to_template(context: str) -> dict[str, Any]:
    """A row's context as arguments of `apply_chat_template`, as TRL passes it on."""
    if not context:
        return {}
    given: dict[str, Any] = json.loads(context)
    arguments: dict[str, Any] = {"tools": given["tools"]} if "tools" in given else {}
    arguments.update(given.get("chat_template_kwargs", {}))
    return arguments


@contextmanager
def template_refusals(messages: Sequence[Message]) -> Iterator[None]:
    """
    Names the roles of a conversation that a template refuses.

    Raises:
        ModelError: in the place of the template's own error.
    """
    from jinja2 import TemplateError

    # A template is a program: beside its own refusals it fails where it computes with what is not there.
    failures = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
    try:
        yield
    except (TemplateError, *failures) as error:
        roles = [message.role[:_ROLE_SHOWN] for message in messages[:_ROLES_SHOWN]]
        more = "" if len(messages) <= _ROLES_SHOWN else f" and {len(messages) - _ROLES_SHOWN} more"
        raise ModelError(
            f"the chat template refuses a conversation of roles {roles}{more}: "
            f"{str(error) or type(error).__name__}",
            hint="drop the system prompt, or use a model whose template has that role"
            if isinstance(error, TemplateError)
            else "use a model whose template takes these rows, or leave them out",
        ) from error


def token_ids(tokenizer: Any, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
    """Token ids of texts as they stand; `special` adds what the tokenizer adds to any text."""
    if not texts:
        return []
    if getattr(type(tokenizer), "_encode_plus", None) is not PreTrainedTokenizerFast._encode_plus:
        encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=special)["input_ids"]
        return encoded
    # transformers asks for the place of each token too, which takes a third of the time.
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    made = backend.encode_batch_fast(list(texts), add_special_tokens=special)
    return [one.ids for one in made]
