"""
Which rows the student can be trained on, and whether the student itself is sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from undertow.data.rows import Row
from undertow.errors import ModelError
from undertow.results.scan import Data, Excluded

if TYPE_CHECKING:
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel
    from undertow.models.plan import TrainingPlan

PLACES = 5
UNKNOWN_SHARE = 0.01
"""Share of completion tokens that the tokenizer does not know from which a note is written."""

_SMALL = 8


@dataclass(frozen=True)
class Fitted:
    """
    The rows of a sample that fit, and why the others do not.
    """

    rows: tuple[Row, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]

    def described(self, data: Data) -> Data:
        """
        The file's description with what the student could not use of the sample.
        """
        return data.model_copy(
            update={
                "sampled": len(self.rows),
                "excluded": (*data.excluded, *self.excluded),
                "notes": (*data.notes, *self.notes),
            }
        )


def fitting(rows: Sequence[Row], model: LanguageModel, plan: TrainingPlan) -> Fitted:
    """
    The rows that fit into the student's context and the plan's limit, in words that the tokenizer knows.
    """
    limits = [limit for limit in (plan.max_length, model.context) if limit is not None]
    longest = min(limits, default=None)
    unknown = model.tokenizer.unk_token_id
    kept: list[Row] = []
    out: dict[str, list[str]] = {}
    tokens = strange = 0
    for row, one in zip(rows, _encoded(rows, model), strict=True):
        problem = _problem(one, longest, unknown)
        if problem is not None:
            reason, text = problem
            out.setdefault(reason, []).append(f"'{_shown(row)}': {text}")
            continue
        assert not isinstance(one, str)
        kept.append(row)
        tokens += len(one.completion)
        strange += one.completion.count(unknown) if unknown is not None else 0
    notes = []
    if tokens and strange >= UNKNOWN_SHARE * tokens:
        notes.append(
            f"{strange / tokens:.0%} of the completion tokens are unknown to the student's tokenizer: is it the one "
            "that these rows are meant for?"
        )
    excluded = tuple(
        Excluded(
            reason=reason,
            rows=len(places),
            places=tuple(f"in the sample, {p}" for p in places[:PLACES]),
        )
        for reason, places in sorted(out.items())
    )
    return Fitted(tuple(kept), excluded, tuple(notes))


def refuse_broken(model: LanguageModel, rows: Sequence[Row]) -> None:
    """
    Compute a few rows.

    Raises:
        ModelError: the model's logits are not finite.
    """
    import torch

    from undertow.models.chat import encode_rows
    from undertow.models.scoring import log_likelihoods

    few = list(rows[:_SMALL])
    found = log_likelihoods(model, encode_rows(model.tokenizer, few))
    if not bool(torch.isfinite(found).all()):
        bad = few[int((~torch.isfinite(found)).nonzero()[0])]
        raise ModelError(
            f"model '{model.ref}' gives logits that are not finite, on the row '{_shown(bad)}'",
            hint="its weights are damaged, or overflow in this precision",
        )


def _encoded(rows: Sequence[Row], model: LanguageModel) -> list[Encoded | str]:
    from undertow.models.chat import encode_rows

    try:
        return list(encode_rows(model.tokenizer, rows))
    except ModelError:
        # Some row cannot be rendered: find out which, one by one.
        found: list[Encoded | str] = []
        for row in rows:
            try:
                found.extend(encode_rows(model.tokenizer, [row]))
            except ModelError as error:
                found.append(error.message)
        return found


def _problem(
    one: Encoded | str, longest: int | None, unknown: int | None
) -> tuple[str, str] | None:
    if isinstance(one, str):
        return "template", one
    if longest is not None and len(one) > longest:
        return "too-long", f"{len(one)} tokens; the limit is {longest}"
    if not one.completion:
        return "no-tokens", "the completion has no tokens"
    if unknown is not None and sum(token == unknown for token in one.completion) >= max(
        1, len(one.completion) - 1
    ):
        return "unknown-tokens", "the tokenizer knows no token of the completion"
    return None


def _shown(row: Row) -> str:
    text = row.completion[:40]
    return text.encode("unicode_escape").decode("ascii") + ("…" if len(row.completion) > 40 else "")
