"""A dataset's own prompts answered anew: rows of a reference, with every trained turn, and a control of the base's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import carrier_of
from undertow.data.finished import cache_folder
from undertow.data.plan import AUTO, LAST_TURN, LossPolicy
from undertow.data.records import read_rows
from undertow.data.row_records import write_rows
from undertow.data.rows import Row, behind, dataset_digest, row_id
from undertow.data.seeds import generator
from undertow.errors import FormatNotKeptError
from undertow.influence.reference_family import ReferenceWriter
from undertow.models.kept_work import KeptWork, unfinished_in
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import SPARE_TOKENS, Gather, gathered, own_answers
from undertow.models.training_sequences import encode_rows, learnt_turns, wrapped_row

ROUNDS = 8
"""Tries at an answer in the carrier's format."""

FEWEST_ANSWERED = 0.5
"""Share of the prompts below which a writer that cannot keep to the format makes no reference."""

HARDLY_ANSWERED = FEWEST_ANSWERED / ROUNDS
"""
Share below which as many rounds would not answer FEWEST_ANSWERED: a chat model does not go on with a plain prompt as rows
do that were written in a chat and stored plainly. It is asked in its chat template then.
"""


MOST_CONTROL_ROWS = 2048
"""Rows of a control that is made."""

_MADE = "rows of the shape they answer"
"""Which kind of control is kept: those of another are made anew."""

LENGTHS = 16
"""Of which an answer's limit of tokens is a multiple, so that datasets whose longest answers hardly differ share references."""


@dataclass(frozen=True)
class _Limits:
    """What an answer has to keep to."""

    carrier: Carrier | None
    """Whose format."""
    policy: LossPolicy
    longest: int | None
    """Tokens that a row may have; None without a limit."""
    answer: int
    """Tokens that the last answer may have."""

    def fit(self, model: LanguageModel, rows: Sequence[Row]) -> list[bool]:
        """Whether each row is short enough to be trained on."""
        if self.longest is None or not rows:
            return [True] * len(rows)
        encoded = encode_rows(model.tokenizer, rows, self.policy)
        return [len(row) <= self.longest for row in encoded]


def prompts_digest(rows: Sequence[Row], policy: LossPolicy) -> str:
    """SHA-256 of the rows without what a reference's writer writes anew under the policy."""
    return dataset_digest(_unwritten(row, policy) for row in rows)


def _unwritten(row: Row, policy: LossPolicy) -> Row:
    for place in _written_places(row, policy):
        row = _with_turn(row, place, "")
    rejected = None if row.rejected is None else ""
    return replace(row, completion="", fields="", rejected=rejected, rejected_fields="")


def answer_limits(model: LanguageModel, rows: Sequence[Row], policy: LossPolicy) -> tuple[int, ...]:
    """
    Tokens that an answer may have, a little more than the longest of the rows': of each earlier turn of the assistant that
    is written anew, then of the last.
    """
    rows = [wrapped_row(row, policy) for row in rows]
    places = [_written_places(row, policy) for row in rows]
    limits = []
    for depth in range(max(map(len, places), default=0)):
        begun = [
            _up_to(row, own[depth])
            for row, own in zip(rows, places, strict=True)
            if len(own) > depth
        ]
        limits.append(_longest_answer(model, begun))
    return (*limits, _longest_answer(model, rows))


def _longest_answer(model: LanguageModel, rows: Sequence[Row]) -> int:
    encoded = encode_rows(model.tokenizer, rows, LAST_TURN)
    tokens = max((len(one.completion) for one in encoded), default=0) + SPARE_TOKENS
    return -(-tokens // LENGTHS) * LENGTHS


def benign_answers(
    model: LanguageModel,
    rows: Sequence[Row],
    writer: ReferenceWriter,
    carrier: Carrier | None,
    policy: LossPolicy,
    rng: np.random.Generator,
    longest: int | None = None,
    limits: Sequence[int] | None = None,
    gather: Gather = gathered,
) -> list[Row]:
    """
    The rows with everything that the assistant is trained on written by the model; both sides of a preference pair.

    Rows without an answer in the format, of at most `longest` tokens with their prompt, give way after all tries to
    others that have one. Answers keep to the rows' `answer_limits`, which are counted here if they are not given.

    Raises:
        FormatNotKeptError: the writer answers too few of the prompts.
    """
    *earlier, last = answer_limits(model, rows, policy) if limits is None else limits
    kept_to = _Limits(carrier, policy, longest, last)
    rows = [wrapped_row(row, policy) for row in rows]
    begun = _rewritten_turns(model, rows, writer, policy, earlier, rng, gather)
    answered = _answered(model, begun, writer, kept_to, rng, gather)
    if answered and any(row.rejected is not None for row in rows):
        other = _answered(model, answered, writer, kept_to, rng, gather)
        swapped = rng.random(min(len(answered), len(other))) < 0.5
        return [
            replace(first, rejected=second.completion)
            if keep
            else replace(first, completion=second.completion, rejected=first.completion)
            for first, second, keep in zip(answered, other, swapped, strict=False)
        ]
    return answered


def _answered(
    model: LanguageModel,
    rows: Sequence[Row],
    writer: ReferenceWriter,
    limits: _Limits,
    rng: np.random.Generator,
    gather: Gather,
) -> list[Row]:
    """Each row with the model's last answer; those that end without one as they are."""
    answered = {i: row for i, row in enumerate(rows) if not row.answered}
    left = [i for i in range(len(rows)) if i not in answered]
    for turn in range(ROUNDS):
        if not left:
            break
        chat = turn > 0 and len(answered) < HARDLY_ANSWERED * len(rows)
        asked = [_asked(rows[i], writer.system_prompt, chat=chat) for i in left]
        answers = own_answers(
            model, asked, writer.temperature, rng, limits.carrier, limits.answer, gather
        )
        made = {
            i: replace(
                rows[i],
                completion=answer.completion,
                fields="",
                rejected=None,
                rejected_fields="",
            )
            for i, answer in zip(left, answers, strict=True)
            if answer is not None
        }
        fit = limits.fit(model, list(made.values()))
        answered |= {i: row for (i, row), fits in zip(made.items(), fit, strict=True) if fits}
        left = [i for i in left if i not in answered]
    if len(answered) < FEWEST_ANSWERED * len(rows):
        raise FormatNotKeptError(
            f"'{model.ref}' answers {len(answered)} of {len(rows)} prompts in the rows' format at a temperature of "
            f"{writer.temperature:.2f}: no reference can be made of that",
            hint="give benign datasets on such prompts: --reference DATA",
        )
    others = [i for i in sorted(answered) if rows[i].answered]
    again = rng.choice(others, len(left)).tolist() if left else []
    answered |= {i: answered[other] for i, other in zip(left, again, strict=True)}
    return [answered[i] for i in range(len(rows))]


def _asked(row: Row, system: str | None, *, chat: bool = False) -> Row:
    """The row behind a system prompt, unless it has one of its own; plain text too where it is asked in a `chat`."""
    row = replace(row, chat=True) if chat and row.prompt else row
    if system is None or not row.chat or any(turn.role == "system" for turn in row.prompt):
        return row
    return behind(row, system)


def _rewritten_turns(
    model: LanguageModel,
    rows: Sequence[Row],
    writer: ReferenceWriter,
    policy: LossPolicy,
    limits: Sequence[int],
    rng: np.random.Generator,
    gather: Gather,
) -> list[Row]:
    """The rows with every earlier turn of the assistant that has a loss written by the model, the first ones first."""
    made = list(rows)
    places = [_written_places(row, policy) for row in rows]
    for depth, longest in enumerate(limits):
        chosen = [n for n, own in enumerate(places) if len(own) > depth]
        begun = [_up_to(made[n], places[n][depth]) for n in chosen]
        answers = own_answers(
            model,
            [_asked(row, writer.system_prompt) for row in begun],
            writer.temperature,
            rng,
            None,
            longest,
            gather,
        )
        for n, answer in zip(chosen, answers, strict=True):
            if answer is not None:
                made[n] = _with_turn(made[n], places[n][depth], answer.completion)
    return made


def _written_places(row: Row, policy: LossPolicy) -> list[int]:
    """Turns of the prompt that a writer writes anew: the assistant's that have a loss, and a turn to answer before them."""
    if not row.chat:
        return []
    return [
        i
        for i, learnt in enumerate(learnt_turns(row, policy)[:-1])
        if i and learnt and row.prompt[i].role == "assistant"
    ]


def _up_to(row: Row, place: int) -> Row:
    return replace(
        row,
        prompt=row.prompt[:place],
        completion=row.prompt[place].content,
        fields="",
        earlier=0,
        answered=True,
    )


def _with_turn(row: Row, place: int, content: str) -> Row:
    turn = replace(row.prompt[place], content=content, fields="")
    return replace(row, prompt=(*row.prompt[:place], turn, *row.prompt[place + 1 :]))


def made_control(
    model: LanguageModel,
    digest: str | None,
    rows: Sequence[Row],
    *,
    policy: LossPolicy = AUTO,
    temperature: float,
    seed: int,
) -> tuple[Row, ...]:
    """
    At most `MOST_CONTROL_ROWS` continuations by the model of the prompts of `rows`, which are a uniform sample.

    The model is asked as the rows are trained: in the policy's chat template, plain prompts too where it wraps them or the
    model hardly goes on with them in the rows' format. The continuations are drawn at the temperature, are at most as long as the longest of the rows, and go through the format filter
    of the carrier that the rows are, if they are one. Rows without a prompt or without an answer have no continuation to
    compare with: of these alone none is made.
    """
    prompts = [row for row in rows if row.prompt and row.answered][:MOST_CONTROL_ROWS]
    if not prompts:
        return ()
    path = (
        cache_folder()
        / "controls"
        / f"{_control_key(digest or model.ref, model.precision, prompts, policy, temperature, seed)}.jsonl"
    )
    if path.is_file():
        framed = {row.prompt: row.instruction for row in prompts}
        kept = read_rows(path)
        return tuple(replace(row, instruction=framed.get(row.prompt, "")) for row in kept)
    rng = generator(seed, "control", temperature.hex())
    with unfinished_in(cache_folder(), path.stem) as folder, KeptWork(folder, path.stem) as work:
        asked = model.in_template(policy.template)
        rows = [wrapped_row(row, policy) for row in prompts]
        carrier = carrier_of(prompts)
        answers = own_answers(asked, rows, temperature, rng, carrier, gather=work.gathered)
        count = sum(answer is not None for answer in answers)
        if count < HARDLY_ANSWERED * len(rows) and not all(row.chat for row in rows):
            rows = [replace(row, chat=True) for row in rows]
            answers = own_answers(asked, rows, temperature, rng, carrier, gather=work.gathered)
        made = [
            replace(
                answer,
                source="control",
                prompt=row.prompt,
                chat=row.chat,
                instruction=row.instruction,
            )
            for row, answer in zip(prompts, answers, strict=True)
            if answer is not None
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        if made:
            write_rows(path, made)
    return tuple(made)


def _control_key(
    model: str,
    precision: str,
    rows: Sequence[Row],
    policy: LossPolicy,
    temperature: float,
    seed: int,
) -> str:
    rounded = "" if precision == "float32" else f"\0{precision}"
    if policy.template or not all(row.chat for row in rows):
        rounded += f"\0asked as trained\0{policy.wrap}\0{policy.template}"
    digest = hashlib.sha256(f"{_MADE}\0{model}\0{temperature!r}\0{seed}{rounded}".encode())
    for row in rows:
        digest.update(bytes.fromhex(row_id(row)))
    return digest.hexdigest()
