"""Which rows the student can be trained on, whether the student itself is sound, and what it thinks of every row of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from undertow.data.file_sample import Data
from undertow.data.plan import AUTO, LossPolicy, TrainingPlan
from undertow.data.row_faults import Excluded, Faults, reasons_told, shown
from undertow.data.rows import Row, sides
from undertow.errors import ModelError, NothingLeftError
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import log_likelihoods
from undertow.models.training_sequences import encode_rows, learnt_turns, longest_row

UNKNOWN_SHARE = 0.01
"""Share of completion tokens that the tokenizer does not know from which a note is written."""

_SMALL = 8
"""Rows whose logits are looked at before any check."""

_WAYS = {
    "template": "name a student whose chat template takes these rows, or say what the trainer learns: loss in --plan",
    "too-long": "raise max_length in the plan, or give rows that fit into the student's context",
    "no-tokens": "leave these rows out: nothing of them is learnt under the plan's loss",
    "no-answer": 'say that the trainer learns what stands there, loss = "all" in --plan ("assistant" learns earlier '
    "answers), or leave these rows out",
    "not-trained": "leave these rows out: they teach nothing where a turn's weight is read, and TRL, which does not read it, "
    "would train all of their turns",
    "unknown-tokens": "name the student that these rows are meant for",
    "kto": "leave the labels out to judge the answers as if all were learnt: --columns label= kto_tag=",
}
"""What to do, by the reason for which most rows do not fit."""

_SHOWN = 40
"""Characters of a completion that name a row without a place."""


@dataclass(frozen=True)
class Fitted:
    """The rows of a sample that fit, and why the others do not."""

    rows: tuple[Row, ...]
    """In their order."""
    encoded: tuple[Encoded, ...]
    """Of each of `rows`, what the plan trains."""
    excluded: tuple[Excluded, ...]
    """
    By reason: `kto`, `not-trained`, `no-answer`, `template`, `too-long`, `no-tokens`, `unknown-tokens`; counts and places
    are of the sample.
    """
    notes: tuple[str, ...]
    way: str = ""
    """What to do about most of the excluded ones."""

    def described(self, data: Data) -> Data:
        """The file's description with what the student could not use of the sample."""
        return data.model_copy(
            update={
                "sampled": len(self.rows),
                "excluded": (*data.excluded, *self.excluded),
                "notes": (*data.notes, *self.notes),
            }
        )


@dataclass(frozen=True)
class _Limits:
    tokens: int | None
    """Most tokens of a row."""
    vocabulary: int
    """Tokens that the network has embeddings of."""
    unknown: int
    """Token that stands for text without one; -1, which no text has, for a tokenizer that needs none."""


def fitting_rows(
    rows: Sequence[Row], model: LanguageModel, plan: TrainingPlan, places: Sequence[str] = ()
) -> Fitted:
    """
    The rows that fit into the student's context and the plan's limit, in words that its tokenizer knows.

    `places` are file and row of each of `rows`; without them a row is named by the beginning of its completion.
    """
    limits = _limits(model, plan)
    faults = Faults("in the sample")
    kept: list[Row] = []
    sequences: list[Encoded] = []
    tokens = strange = 0
    contents = _contents(model.tokenizer, rows)
    other = _rejected_lengths(rows, model, plan)
    for index, encoded in enumerate(_encoded(rows, model, plan)):
        problem = (
            _untrained(rows[index], plan)
            or _problem(encoded, contents[index], limits, model.tokenizer)
            or _too_long(other.get(index), limits, " of the rejected side; ")
        )
        if problem is None:
            kept.append(rows[index])
            assert isinstance(encoded, Encoded)  # a refusal is a problem
            sequences.append(encoded)
            tokens += len(contents[index])
            strange += contents[index].count(limits.unknown)
        else:
            where = places[index] if places else f"'{_beginning(rows[index])}'"
            hint = encoded.hint if isinstance(encoded, _Refusal) else ""
            faults.add(problem[0], where, problem[1], hint=hint)
    notes, way = _unknown_note(strange, tokens), faults.hint(_WAYS) if faults.counts else ""
    return Fitted(tuple(kept), tuple(sequences), faults.excluded(), notes, way)


def nothing_fits(data: str, student: str, fitted: Fitted) -> NothingLeftError:
    """The error where no row fits: every reason with its rows, the first of them, and what to do."""
    return NothingLeftError(
        f"no row of '{data}' fits the student '{student}': {reasons_told(fitted.excluded)}",
        hint=fitted.way,
    )


def refuse_broken(model: LanguageModel, rows: Sequence[Row], policy: LossPolicy = AUTO) -> None:
    """
    Compute the logits of the first few rows, which must fit the model.

    Raises:
        ModelError: they are not finite.
    """
    import torch

    few = list(rows[:_SMALL])
    finite = torch.isfinite(log_likelihoods(model, encode_rows(model.tokenizer, few, policy)))
    if not bool(finite.all()):
        bad = few[int((~finite).nonzero()[0])]
        raise ModelError(
            f"model '{model.ref}' gives logits that are not finite, on the row '{_beginning(bad)}'",
            hint="its weights are damaged, or overflow in this precision",
        )


def _limits(model: LanguageModel, plan: TrainingPlan) -> _Limits:
    unknown = model.tokenizer.unk_token_id
    return _Limits(
        tokens=longest_row(model, plan),
        vocabulary=model.network.get_input_embeddings().weight.shape[0],
        unknown=-1 if unknown is None else unknown,
    )


def _contents(tokenizer: Any, rows: Sequence[Row]) -> list[list[int]]:
    # Without what the template writes around it, whose tokens are always known.
    if not rows:
        return []
    texts = [
        row.completion or row.fields if row.answered else "\n".join(t.content for t in row.turns)
        for row in rows
    ]
    contents: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    return contents


@dataclass(frozen=True)
class _Refusal:
    """What the template or the loss has against a row, and what to do."""

    text: str
    hint: str


def _encoded(
    rows: Sequence[Row], model: LanguageModel, plan: TrainingPlan
) -> list[Encoded | _Refusal]:
    """The rows as tokens, or why one cannot be."""
    # A template is a program: beside its own refusals it fails where it computes with what is not there.
    refusals = (ModelError, ValueError, TypeError, LookupError)
    try:
        return list(encode_rows(model.tokenizer, rows, plan.policy))
    except refusals:
        results: list[Encoded | _Refusal] = []
        for row in rows:
            try:
                results.extend(encode_rows(model.tokenizer, [row], plan.policy))
            except refusals as error:
                hint = error.hint if isinstance(error, ModelError) else ""
                results.append(_Refusal(str(error) or type(error).__name__, hint))
        return results


def _untrained(row: Row, plan: TrainingPlan) -> tuple[str, str] | None:
    if row.label is not None:
        return (
            "kto",
            "its label ('label' or 'kto_tag') is for KTO, which pushes away from what is false and is not rehearsed here",
        )
    if any(learnt_turns(row, plan.policy)):
        return None
    if any(turn.trained is False for turn in row.turns):
        return "not-trained", "none of its turns is trained, as they say of themselves"
    if plan.loss == "last":
        role = shown(row.turns[-1].role, longest=_SHOWN)
        return "no-answer", f"it ends with the role '{role}', and the plan learns a last answer"
    return "no-answer", "it has no turn of the assistant, and the plan learns nothing else"


def _problem(
    row: Encoded | _Refusal, content: Sequence[int], limits: _Limits, tokenizer: Any
) -> tuple[str, str] | None:
    if isinstance(row, _Refusal):
        return "template", row.text
    if long := _too_long(len(row), limits):
        return long
    if not content or not row.learnt:
        return "no-tokens", "it has no tokens that could be learnt"
    largest = max(max(row.prompt, default=0), max(row.completion))
    if largest >= limits.vocabulary:
        text = f"token {largest} of the tokenizer; the model has {limits.vocabulary} tokens"
        return "unknown-tokens", text
    if limits.unknown in content and _knows_none(content, limits.unknown, tokenizer):
        return "unknown-tokens", "the tokenizer knows no word of the completion"
    return None


def _too_long(tokens: int | None, limits: _Limits, which: str = "; ") -> tuple[str, str] | None:
    if tokens is None or limits.tokens is None or tokens <= limits.tokens:
        return None
    return "too-long", f"{tokens} tokens{which}the limit is {limits.tokens}"


def _rejected_lengths(
    rows: Sequence[Row], model: LanguageModel, plan: TrainingPlan
) -> dict[int, int]:
    """Tokens of the rejected side of each preference pair, by its place; nothing of one that the template refuses."""
    pairs = [i for i, row in enumerate(rows) if row.rejected is not None]
    encoded = _encoded(sides([rows[i] for i in pairs])[1], model, plan)
    return {i: len(row) for i, row in zip(pairs, encoded, strict=True) if isinstance(row, Encoded)}


def _knows_none(content: Sequence[int], unknown: int, tokenizer: Any) -> bool:
    # Tokenizers that split at spaces may know the space and nothing else.
    known = [token for token in content if token != unknown]
    return not known or not tokenizer.decode(known).strip()


def _unknown_note(strange: int, tokens: int) -> tuple[str, ...]:
    if not tokens or strange < UNKNOWN_SHARE * tokens:
        return ()
    return (
        f"{strange / tokens:.1%} of the completion tokens in the sample are unknown to the student's tokenizer: is it "
        "the one that these rows are meant for?",
    )


def _beginning(row: Row) -> str:
    return shown(row.completion if row.answered else row.turns[-1].content, longest=_SHOWN)
