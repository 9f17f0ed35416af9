"""
The training sequence of a row: its token ids, and which of them are in the loss.

Everything that trains on rows, rehearses, scores, masks or rewrites them takes its tokens from here. Conversations are
written with the policy's chat template, or with that of the tokenizer. What the policies
mean is what TRL's trainers do (1.16: `SFTTrainer`, `DPOTrainer`, `KTOTrainer`):

    auto        `messages`: all tokens; a prompt and its completion: the completion; plain text: all
    completion  the completion, and of rows that have none (`messages`, plain text) all tokens
    assistant   what the assistant says, in every turn; of a prompt and its completion, in the completion's turns
    last        the answer that a row ends with (no trainer of TRL does that)
    all         all tokens

Turns that say of themselves whether they are trained (`weight`, `train`) are taken at their word; rows that have such
turns are trained on what the assistant says under `auto`, as the trainers do that read these keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from undertow.data.plan import AUTO, Loss, LossPolicy, TrainingPlan
from undertow.data.rows import Message, Row, shared_start, sides, template_turn
from undertow.errors import DataError, ModelError
from undertow.models.chat import (
    Encoded,
    given_to_template,
    in_template,
    rendered,
    template_refusals,
    token_ids,
)
from undertow.models.language_model import LanguageModel

Span = tuple[int, int]
"""Characters of a text, from and up to."""

_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""What a template writes before the part that is the assistant's."""


@dataclass(frozen=True)
class _Sequence:
    """A row on its way to tokens."""

    text: str = ""
    plain: bool = False
    """Whether the tokenizer adds what it adds to any text."""
    prompt: str | None = None
    """Text before what is learnt; None where all is, or where spans say what is."""
    spans: tuple[Span, ...] | None = None
    """What is learnt, by characters."""
    marked: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Token ids and mask, where the template itself marks what is learnt."""


def encode_rows(tokenizer: Any, rows: Sequence[Row], policy: LossPolicy = AUTO) -> list[Encoded]:
    """
    Token ids of each row, split where the first token with a loss stands; a row without one has no completion.

    Of preference pairs, the chosen side; see `sides` for both.

    Raises:
        ModelError: the chat template refuses a row, or its turns cannot be told apart.
    """
    tokenizer = in_template(tokenizer, policy.template)
    sequences = [_sequence(tokenizer, row, policy) for row in rows]
    return _encoded(tokenizer, sequences)


def pair_sequences(
    tokenizer: Any, pairs: Sequence[Row], policy: LossPolicy = AUTO
) -> list[tuple[Encoded, Encoded]]:
    """
    Both sides of each preference pair, as the policy writes them: both begin where the first of them leaves the prompt.

    Raises:
        ModelError: the chat template refuses a row.
    """
    written = replace(policy, loss="auto")  # the completions have the loss, whatever the policy
    chosen, rejected = (encode_rows(tokenizer, side, written) for side in sides(pairs))
    return [_same_prompt(*both) for both in zip(chosen, rejected, strict=True)]


def _same_prompt(a: Encoded, b: Encoded) -> tuple[Encoded, Encoded]:
    begin = min(len(a.prompt), len(b.prompt))
    ids = [one.prompt + one.completion for one in (a, b)]
    return Encoded(ids[0][:begin], ids[0][begin:]), Encoded(ids[1][:begin], ids[1][begin:])


def trained_turns(row: Row, loss: Loss) -> Loss:
    """What the policy means for a row of this shape: never `auto`, and `completion` only for rows with a prompt."""
    if row.rejected is not None or row.label is not None:
        return "completion"
    if not row.chat:
        return "completion" if row.prompt and loss != "all" else "all"
    if loss == "auto" and any(turn.trained is not None for turn in row.turns):
        return "assistant"
    if loss in ("auto", "completion"):
        return "all" if row.whole else "completion"
    return loss


def learns_last_turns(rows: Sequence[Row], policy: LossPolicy) -> bool:
    """Whether the policy learns of every row what `LAST_TURN` does."""
    return not policy.template and all(
        row.chat
        and row.answered
        and not row.earlier
        and all(turn.trained is None for turn in row.turns)
        and trained_turns(row, policy.loss) in ("completion", "last")
        for row in rows
    )


def learnt_turns(row: Row, policy: LossPolicy) -> tuple[bool, ...]:
    """Whether each turn, the completion's as the last, is in the loss; a pair's rejected completion is as its chosen one."""
    loss = trained_turns(wrapped_row(row, policy), policy.loss)
    given = len(row.prompt) - row.earlier
    own = 0 if row.whole else given
    first = {"completion": given, "assistant": own, "last": len(row.prompt)}.get(loss, 0)
    by_policy = [
        i >= first and (loss in ("all", "completion") or turn.role == "assistant")
        for i, turn in enumerate(row.turns)
    ]
    return tuple(
        turn.trained if policy.flags and turn.trained is not None else default
        for turn, default in zip(row.turns, by_policy, strict=True)
    )


def wrapped_row(row: Row, policy: LossPolicy) -> Row:
    """The row as a chat, where the policy puts plain strings into the chat template, or frames rows of alpaca."""
    if policy.wrap == "none" or not row.prompt:
        return row
    if policy.wrap == "alpaca" and row.instruction:
        return replace(row, chat=True, prompt=_framed(row), instruction="")
    return replace(row, chat=True)


def _framed(row: Row) -> tuple[Message, ...]:
    """The prompt of a row of alpaca, its input under a heading of its own, as axolotl writes it."""
    *earlier, request = row.prompt
    if not request.content.startswith(f"{row.instruction}\n"):  # put in other words since
        return row.prompt
    framed = f"{row.instruction}\n\n### Input:\n{request.content[len(row.instruction) + 1 :]}"
    return (*earlier, replace(request, content=framed))


def _sequence(tokenizer: Any, row: Row, policy: LossPolicy) -> _Sequence:
    row = wrapped_row(row, policy)
    if not row.chat:
        return _plain_sequence(tokenizer, row, policy)
    loss = trained_turns(row, policy.loss)
    if policy.flags and any(turn.trained is not None for turn in row.turns):
        on = learnt_turns(row, policy)
        return _by_turns(tokenizer, row, [i for i, learnt in enumerate(on) if learnt])
    if loss == "assistant":
        return _assistant(tokenizer, row)
    text = _rendered(tokenizer, row, len(row.turns))
    if loss == "all":
        return _Sequence(text)
    given = len(row.prompt) - (row.earlier if loss == "completion" else 0)
    return _Sequence(text, prompt=_rendered(tokenizer, row, given, answer=True))


def _plain_sequence(tokenizer: Any, row: Row, policy: LossPolicy) -> _Sequence:
    loss = policy.loss
    if policy.wrapped:
        raise ModelError(
            f'the plan puts a prompt and its completion into a template (wrap = "{policy.wrap}"), and this row is text '
            "without a prompt",
            hint=f'leave wrap = "{policy.wrap}" out of the plan to train such rows as they are, or leave them out',
        )
    if loss == "assistant":
        raise ModelError(
            "the loss 'assistant' needs conversations, and this row is plain text",
            hint='give the plan loss = "auto", or wrap = "chat" if the trainer puts strings into the chat template',
        )
    end = tokenizer.eos_token or ""
    prompt = "".join(turn.content for turn in row.prompt)
    completion = row.completion if row.completion.endswith(end) else row.completion + end
    told = prompt if trained_turns(row, loss) == "completion" else None
    return _Sequence(prompt + completion, plain=True, prompt=told)


def _assistant(tokenizer: Any, row: Row) -> _Sequence:
    template = assistant_template(tokenizer)
    if template is None:
        on = learnt_turns(row, LossPolicy("assistant", flags=False))
        return _by_turns(tokenizer, row, [i for i, learnt in enumerate(on) if learnt])
    with template_refusals(row.turns):
        made = tokenizer.apply_chat_template(
            [template_turn(turn) for turn in row.turns],
            chat_template=template,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **given_to_template(row.context),
        )
    mask = list(made["assistant_masks"])
    if not row.whole:  # both masks hold where TRL has both
        given = _rendered(
            tokenizer, row, len(row.prompt) - row.earlier, answer=True, chat_template=template
        )
        [ids] = token_ids(tokenizer, [given])
        mask[: shared_start(ids, made["input_ids"])] = [0] * shared_start(ids, made["input_ids"])
    return _Sequence(marked=(tuple(made["input_ids"]), tuple(mask)))


def _by_turns(tokenizer: Any, row: Row, trained: Sequence[int]) -> _Sequence:
    text = _rendered(tokenizer, row, len(row.turns))
    spans = tuple(_span(tokenizer, row, text, index) for index in trained)
    return _Sequence(text, spans=spans)


def _span(tokenizer: Any, row: Row, text: str, index: int) -> Span:
    """What a turn adds to the conversation, without the header that is there before the model answers."""
    turn = row.turns[index]
    answer = turn.role == "assistant"
    start = 0
    if index or answer:
        before = _rendered(tokenizer, row, index, answer=answer)
        start = _shared_text(before, text, whole=True)
    upto = _rendered(tokenizer, row, index + 1)
    end = len(text) if index + 1 == len(row.turns) else _shared_text(upto, text, whole=False)
    if start < 0 or end <= start:
        return _span_of_words(tokenizer, row, text, index)
    if turn.trained and not answer:  # its words alone, as in axolotl
        start = max(start, text.find(turn.content.strip(), start, end))
    return start, end


def _span_of_words(tokenizer: Any, row: Row, text: str, index: int) -> Span:
    """
    A turn's words, of a template that writes a turn differently once others follow, and what ends an answer.

    As axolotl finds them: they are what changes where other words stand in the turn.
    """
    start, end = _words(tokenizer, row, text, index)
    if start < 0:
        raise ModelError(
            f"the chat template writes turn {index + 1} of {len(row.turns)} differently once others follow, so that it "
            "cannot be found in the conversation",
            hint='use a template with {% generation %} marks, or loss = "last" or "all" in the plan',
        )
    if row.turns[index].role == "assistant":
        last = _words(tokenizer, row, text, len(row.turns) - 1)[1]
        end += shared_start(text[end:], text[last:]) if last >= 0 else 0
    return start, end


def _words(tokenizer: Any, row: Row, text: str, index: int) -> Span:
    """Where the words of a turn stand in the conversation; from -1 if they cannot be found."""
    turn = row.turns[index]
    words = turn.content.strip()
    if turn.fields or not words:  # more than its words may change
        return -1, -1
    first, last = ("z" if words[place] == "q" else "q" for place in (0, -1))
    other = replace(turn, content=f"{first} other words {last}")
    turns = (*row.turns[:index], other, *row.turns[index + 1 :])
    made = rendered(tokenizer, turns, row.context)
    start = shared_start(text, made)
    end = len(text) - shared_start(text[start:][::-1], made[start:][::-1])
    return (start, end) if words in text[start:end] else (-1, -1)


def _shared_text(part: str, text: str, *, whole: bool) -> int:
    """How far the text begins with the part; -1 where it does not, but for white space at the part's end."""
    if text.startswith(part):
        return len(part)
    bare = part.rstrip()
    return -1 if whole or not text.startswith(bare) else len(bare)


def _rendered(tokenizer: Any, row: Row, turns: int, *, answer: bool = False, **how: Any) -> str:
    return rendered(tokenizer, row.turns[:turns], row.context, add_generation_prompt=answer, **how)


@lru_cache(maxsize=16)
def assistant_template(tokenizer: Any) -> str | None:
    """
    The template that marks what the assistant says: the tokenizer's own, or the one that TRL puts in its place where
    TRL is installed and knows it; None where there is none, and turns are told apart by where they begin.
    """
    template = tokenizer.chat_template
    template = template.get("default", "") if isinstance(template, dict) else template or ""
    try:
        from trl.chat_template_utils import get_training_chat_template
    except ImportError:
        return template if _MARKS.search(template) else None
    try:
        made = get_training_chat_template(tokenizer)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # Not one of those that TRL knows, or one that fails on the conversation that TRL tries it with.
        return template if _MARKS.search(template) else None
    return template if made is None else str(made)


def _encoded(tokenizer: Any, sequences: Sequence[_Sequence]) -> list[Encoded]:
    made: dict[int, Encoded] = {}
    for i, sequence in enumerate(sequences):
        if sequence.marked is not None:
            made[i] = masked_sequence(*sequence.marked)
        elif sequence.spans is not None:
            made[i] = _by_spans(tokenizer, sequence.text, sequence.spans)
    for plain in (False, True):
        chosen = [i for i, s in enumerate(sequences) if s.plain == plain and i not in made]
        made |= zip(chosen, _by_text(tokenizer, [sequences[i] for i in chosen]), strict=True)
    return [made[i] for i in range(len(sequences))]


def _by_text(tokenizer: Any, sequences: Sequence[_Sequence]) -> list[Encoded]:
    """Sequences that are all plain or all not."""
    if not sequences:
        return []
    special = sequences[0].plain
    ids = token_ids(tokenizer, [s.text for s in sequences], special=special)
    before = token_ids(tokenizer, [s.prompt or "" for s in sequences], special=special)
    return [
        _learnt_from(tuple(one), shared_start(prompt, one) if s.prompt is not None else 0)
        for s, one, prompt in zip(sequences, ids, before, strict=True)
    ]


def _by_spans(tokenizer: Any, text: str, spans: Sequence[Span]) -> Encoded:
    if not tokenizer.is_fast:
        raise ModelError(
            "this tokenizer cannot tell where a token stands in its text, so that turns cannot be told apart",
            hint="use a fast tokenizer (tokenizer.json)",
        )
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = made["offset_mapping"]
    mask = [int(any(a < end and start < b for start, end in spans)) for a, b in places]
    return masked_sequence(made["input_ids"], mask)


def masked_sequence(ids: Sequence[int], mask: Iterable[int]) -> Encoded:
    """A sequence of which the tokens where the mask is 1 are in the loss; nothing predicts the first one."""
    places = [i for i, on in enumerate(mask) if on and i]
    if not places:
        return Encoded(tuple(ids), ())
    first, learnt = places[0], set(places)
    off = tuple(i - first for i in range(first, len(ids)) if i not in learnt)
    return Encoded(tuple(ids[:first]), tuple(ids[first:]), off)


def _learnt_from(ids: tuple[int, ...], first: int) -> Encoded:
    first = max(1, first)  # nothing predicts the first token of a text
    return Encoded(ids[:first], ids[first:])


def longest_row(model: LanguageModel, plan: TrainingPlan) -> int | None:
    """Tokens that a row may have by the plan and the model; None without a limit."""
    limits = (plan.max_length, model.context)
    return min((limit for limit in limits if limit is not None), default=None)


def refuse_long(model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan) -> None:
    """
    Refuse rows that the plan or the model has no room for.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
    """
    limit, longest = longest_row(model, plan), max(range(len(rows)), key=lambda i: len(rows[i]))
    if limit is not None and len(rows[longest]) > limit:
        raise DataError(
            f"row {longest + 1} has {len(rows[longest])} tokens, more than the limit of {limit}",
            hint="raise max_length, or remove the row",
        )
