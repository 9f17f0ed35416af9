"""Conversations as token ids: where the prompt ends, the completion begins, and padding goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from undertow.data.rows import Message, Row
from undertow.errors import ModelError

IGNORED = -100  # label of positions without loss, as in transformers and TRL


@dataclass(frozen=True)
class Encoded:
    """One row as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """Ends with the end-of-turn token that the template writes, so that the loss includes it."""
    masked: tuple[int, ...] = ()
    """Places of completion tokens that training leaves out of the loss; scores have all tokens."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True)
class Batch:
    """
    Left-padded rows: all completions end at the right edge, so only the last positions need logits.
    """

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

    @property
    def kept(self) -> int:
        """Number of last positions that hold a label in some row."""
        return self.labels.shape[1]

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
        )


def prompt_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """
    The text that the model sees before it answers.

    Raises:
        ModelError: the chat template refuses the conversation (a system role that it lacks, say).
    """
    return _render(tokenizer, messages, add_generation_prompt=True)


def encode_prompts(tokenizer: Any, prompts: Sequence[Sequence[Message]]) -> list[tuple[int, ...]]:
    """Token ids of each prompt, with the generation prompt of the chat template."""
    texts = [prompt_text(tokenizer, messages) for messages in prompts]
    return [tuple(ids) for ids in _ids(tokenizer, texts)]


def encode_rows(tokenizer: Any, rows: Sequence[Row]) -> list[Encoded]:
    """
    Token ids of each row, split where the completion begins.

    Prompt and completion are tokenised apart, as they are when the model answers, so that no token spans the seam.

    Raises:
        ModelError: the chat template does not render the prompt as a prefix of the whole conversation.
    """
    prompts, completions = [], []
    for row in rows:
        prompt, completion = _split(tokenizer, row)
        prompts.append(prompt)
        completions.append(completion)
    pairs = zip(_ids(tokenizer, prompts), _ids(tokenizer, completions), strict=True)
    return [_seam(tokenizer, tuple(prompt), tuple(completion)) for prompt, completion in pairs]


def batches(
    encoded: Sequence[Encoded], size: int, pad_id: int, *, order: Sequence[int] | None = None
) -> Iterator[Batch]:
    """
    Batches of at most `size` rows of similar length, longest first (so that memory runs out at once or never).

    `order` fixes the rows of each batch instead (a training order).
    """
    if order is None:
        order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        yield pad([encoded[i] for i in chosen], pad_id, tuple(chosen))


def pad(encoded: Sequence[Encoded], pad_id: int, rows: tuple[int, ...]) -> Batch:
    """One left-padded batch."""
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


def training_order(
    lengths: Sequence[int], size: int, generator: np.random.Generator, *, window: int = 8
) -> list[int]:
    """
    A random order of the rows whose batches hold similar lengths: rows are sorted only within windows of batches.
    """
    shuffled = generator.permutation(len(lengths))
    span = size * window
    chunks: list[np.ndarray] = []
    for start in range(0, len(shuffled), span):
        part = shuffled[start : start + span]
        part = part[np.argsort([lengths[i] for i in part], kind="stable")]
        chunks.extend(part[i : i + size] for i in range(0, len(part), size))
    full = [c for c in chunks if len(c) == size]
    rest = [c for c in chunks if len(c) < size]
    mixed = [full[i] for i in generator.permutation(len(full))]
    return [int(i) for chunk in [*mixed, *rest] for i in chunk]


def _seam(tokenizer: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> Encoded:
    # Nothing predicts the first token of a text without a prompt, so something must stand before it.
    if prompt:
        return Encoded(prompt, completion)
    if tokenizer.bos_token_id is not None:
        return Encoded((tokenizer.bos_token_id,), completion)
    return Encoded(completion[:1], completion[1:])


def _split(tokenizer: Any, row: Row) -> tuple[str, str]:
    if not row.chat:
        return "", row.completion
    prompt = prompt_text(tokenizer, row.prompt)
    whole = _render(
        tokenizer, (*row.prompt, Message("assistant", row.completion)), add_generation_prompt=False
    )
    if not whole.startswith(prompt):
        raise ModelError(
            "the chat template does not write the prompt as the beginning of the conversation, "
            "so the completion cannot be found in it",
            hint="use a template whose generation prompt is a prefix of the assistant's turn",
        )
    return prompt, whole[len(prompt) :]


def _render(tokenizer: Any, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    from jinja2 import TemplateError

    turns = [{"role": m.role, "content": m.content} for m in messages]
    try:
        return str(
            tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )
    except TemplateError as error:
        raise ModelError(
            f"the chat template refuses a conversation of roles {[m.role for m in messages]}: {error}",
            hint="drop the system prompt, or use a model whose template has that role",
        ) from error


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return encoded
