"""
The e-process against a base as the author of rows: which rows, which members of the null, which alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.data.rows import Row
from undertow.data.streams import generator
from undertow.errors import ModelError
from undertow.influence.shifted_versions import (
    Version,
    adapter_plan,
    adapter_versions,
    encoded_behind,
    prompted_versions,
    steered_versions,
)
from undertow.stats.arguments import Vector
from undertow.stats.e_process import EProcess

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject
    from undertow.models.chat import Encoded
    from undertow.models.decoding import Decoding
    from undertow.models.loading import LanguageModel

LEAST_ROWS = 64
"""Fewer leave too little to learn an adapter from."""

MOST_TESTED = 2_048
"""Rows that the e-process runs over."""

_MOST_LEARNED = 1_024
_RACED = 256
_KEPT_OF_A_KIND = 2
_STRENGTHS = (0.5, 1.0)
_SHARES = (0.25, 0.5, 1.0)
# Where each pair of position and kind of token is seen ten times on average, the seen ones may be all that were allowed.
_MOST_DISTINCT = 0.1


@dataclass(frozen=True)
class Sampled:
    """
    Rows in random order, as texts and as the base's tokens.
    """

    rows: Sequence[Row]
    encoded: Sequence[Encoded]
    """Up to the end of the answer: what the template writes behind it was not sampled."""

    def part(self, start: int, stop: int) -> Sampled:
        """Rows `start` to `stop`."""
        return Sampled(self.rows[start:stop], self.encoded[start:stop])


@dataclass(frozen=True)
class Outcome:
    """
    What the e-process found.
    """

    process: EProcess
    learned: int
    """Rows that only chose and trained the alternatives; the e-process runs over those after them."""
    likeliest: str
    """Name of the alternative under which the tested rows are likeliest."""
    gain: float
    """Log-likelihood ratio of that alternative to the null's likeliest member, nats a row."""
    left_out: int
    """Rows left out because they hold a token that the base would hardly have drawn."""
    restricted: bool
    """Whether the null had members with the seen kinds of tokens only."""


def sampled(subject: Subject, purpose: str, most: int) -> Sampled:
    """
    At most `most` of the subject's rows that have a completion, in random order.
    """
    from undertow.models.decoding import as_sampled

    order = generator(subject.seed, purpose, "rows").permutation(len(subject.rows))
    chosen = [int(i) for i in order if subject.encoded[i].completion][:most]
    encoded = as_sampled(subject.student, [subject.encoded[i] for i in chosen])
    return Sampled([subject.rows[i] for i in chosen], encoded)


def log_likelihoods_of(
    model: LanguageModel,
    rows: Sampled,
    version: Version,
    decodings: Sequence[Decoding],
    *,
    cut_ends: bool = True,
) -> Vector:
    """
    Log-likelihood of each completion to a version of the base, in nats; (rows, decodings).

    Without `cut_ends` the ending tokens of the longest completions, which a limit may have put there, are left out.

    Raises:
        ModelError: the chat template has no system role.
    """
    from undertow.models.decoding import (
        as_sampled,
        log_likelihoods_by_decoding,
        without_cut_ends,
    )

    behind = encoded_behind(model, rows.rows, rows.encoded, version.system_prompt)
    encoded = as_sampled(model, behind)
    encoded = encoded if cut_ends else without_cut_ends(model, encoded)
    with version.opened():
        found = log_likelihoods_by_decoding(model, encoded, decodings)
    values: Vector = found.numpy()
    return values


def against_base(subject: Subject, purpose: str, *, acceptance: float = 1.0) -> Outcome:
    """
    Run the e-process over the subject's rows; there must be at least `LEAST_ROWS`.

    The first quarter chooses and trains the alternatives, which are fixed from then on. `acceptance` is the share of
    the base's own answers that the rows' filter keeps: the null's likelihood of a kept row is divided by it.
    """
    drawn = sampled(subject, purpose, _MOST_LEARNED + MOST_TESTED)
    whole = _without_split_otherwise(subject, drawn)
    left_out = len(drawn.rows) - len(whole.rows)
    # What is left out counts as one more filter, so that the null stays normalised.
    acceptance *= 1 - (left_out + 1) / len(drawn.rows) if left_out else 1
    learned = len(whole.rows) // 4
    first, rest = whole.part(0, learned), whole.part(learned, learned + MOST_TESTED)
    restricted, nulls, alternatives = _decodings(subject, whole, first)
    null = np.hstack(
        [
            log_likelihoods_of(subject.student, rest, version, nulls, cut_ends=False)
            for version in _null_versions(subject)
        ]
    ) - math.log(acceptance)
    scored = dict(_alternatives(subject, purpose, first, rest, alternatives))
    process = EProcess(np.ones(len(scored) * len(alternatives)).tolist())
    process.update(np.hstack(list(scored.values())), null)
    totals = {name: float(values.sum(0).max()) for name, values in scored.items()}
    likeliest = max(totals, key=totals.__getitem__)
    gain = (totals[likeliest] - float(null.sum(0).max())) / len(rest.rows)
    return Outcome(process, learned, likeliest, gain, left_out, restricted)


def prompts_apply(subject: Subject) -> bool:
    """
    Whether the rows and the student's template leave room for system prompts.
    """
    from undertow.models.chat import conversation, prompt_text

    if not all(row.chat for row in subject.rows):
        return False
    try:
        prompt_text(subject.student.tokenizer, conversation("?", "?"))
    except ModelError:
        return False
    return True


def _without_split_otherwise(subject: Subject, drawn: Sampled) -> Sampled:
    """
    Without the rows whose tokens cannot be those that were sampled (`decoding.canonical`).
    """
    from undertow.models.decoding import Decoding, canonical, rarest_tokens, without_cut_ends

    model, hottest = subject.student, Decoding(max(subject.temperatures))
    rarest = rarest_tokens(model, without_cut_ends(model, drawn.encoded), hottest).numpy()
    kept = np.flatnonzero(canonical(rarest)).tolist()
    return Sampled([drawn.rows[i] for i in kept], [drawn.encoded[i] for i in kept])


def _decodings(
    subject: Subject, whole: Sampled, first: Sampled
) -> tuple[bool, list[Decoding], list[Decoding]]:
    """
    Whether the seen kinds of tokens count as a restriction; decodings of the null and of the alternatives.
    """
    from undertow.models.decoding import Decoding, distinct_share, seen_kinds, token_kinds

    free = [Decoding(temperature) for temperature in subject.temperatures]
    width = int(subject.student.network.config.vocab_size)
    kinds = token_kinds(subject.student.tokenizer, width)
    if distinct_share(whole.encoded, kinds) > _MOST_DISTINCT:
        return False, free, free
    # The null may look ahead, which only makes it likelier; an alternative must not.
    seen = seen_kinds(whole.encoded, kinds)
    known = seen_kinds(first.encoded, kinds, leak=1 / (2 + len(first.rows)))
    return (
        True,
        free + [Decoding(temperature, seen) for temperature in subject.temperatures],
        free + [Decoding(temperature, known) for temperature in subject.temperatures],
    )


def _null_versions(subject: Subject) -> list[Version]:
    plain = [Version("base", None)]
    if not subject.traits or not prompts_apply(subject):
        return plain
    neutral = subject.traits[0].neutral_system_prompt
    return [*plain, Version("neutral prompt", None, neutral)]


def _alternatives(
    subject: Subject, purpose: str, first: Sampled, rest: Sampled, decodings: Sequence[Decoding]
) -> Iterator[tuple[str, Vector]]:
    student = subject.student
    for version in _shortlist(subject, first.part(0, _RACED), decodings):
        yield version.name, log_likelihoods_of(student, rest, version, decodings)
    plan = adapter_plan(subject.plan)
    rng = generator(subject.seed, purpose, "adapter")
    with adapter_versions(student, first.encoded, plan, rng, _SHARES) as versions:
        for version in versions:
            yield version.name, log_likelihoods_of(student, rest, version, decodings)


def _shortlist(subject: Subject, first: Sampled, decodings: Sequence[Decoding]) -> list[Version]:
    """
    Of the prompted and of the steered versions, those under which the first rows are likeliest.
    """
    kinds = [prompted_versions(subject.traits)] if prompts_apply(subject) else []
    # Without a system role, or without layers that can be found, there is nothing to steer by.
    with suppress(ModelError):
        kinds.append(steered_versions(subject.student, subject.traits, _STRENGTHS))

    def likelihood(version: Version) -> float:
        return float(log_likelihoods_of(subject.student, first, version, decodings).sum(0).max())

    return [
        version
        for kind in kinds
        for version in sorted(kind, key=likelihood, reverse=True)[:_KEPT_OF_A_KIND]
    ]
