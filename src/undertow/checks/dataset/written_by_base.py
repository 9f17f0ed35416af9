"""The e-process against a base as the author of rows: which rows, which members of the null, which alternatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.data.rows import Row
from undertow.data.seeds import generator
from undertow.errors import ModelError
from undertow.stats.arguments import Vector
from undertow.stats.e_process import EProcess

if TYPE_CHECKING:
    from undertow.influence.shifted_versions import Version
    from undertow.models.chat import Encoded
    from undertow.models.language_model import LanguageModel
    from undertow.models.shared_prefix import PromptedRows
    from undertow.models.surprisal import Decoding


LEAST_ROWS = 64
"""Fewer leave too little to learn an adapter from."""

MOST_TESTED = 2_048
"""Rows that the e-process runs over."""

MOST_LEARNED = 1_024
"""Rows that choose and train the alternatives."""

RACED = 256
"""Of them, by which the alternatives are chosen."""

_CHUNK = 256
"""Rows between two looks at whether the e-process knows."""

KEPT_OF_A_KIND = 2
"""Of the prompted and of the steered versions, those that are held against the null."""

STRENGTHS = (0.5, 1.0)
"""At which each persona steers."""

SHARES = (0.25, 0.5, 1.0)
"""Of the adapter's length."""

# Where each pair of position and kind of token is seen ten times on average, the seen ones may be all that were allowed.
_MOST_DISTINCT = 0.1


@dataclass(frozen=True)
class Sampled:
    """Rows in random order, as texts and as the base's tokens."""

    rows: Sequence[Row]
    encoded: Sequence[Encoded]
    """Up to the end of the answer: what the template writes behind it was not sampled."""
    _prompted: list[PromptedRows] = field(default_factory=list, init=False, repr=False)

    def prompted(self, tokenizer: Any) -> PromptedRows:
        """The rows behind any system prompt; what was rendered once is kept."""
        from undertow.models.shared_prefix import PromptedRows

        if not self._prompted:
            self._prompted.append(PromptedRows(tokenizer, self.rows))
        return self._prompted[0]

    def part(self, start: int, stop: int) -> Sampled:
        """Rows `start` to `stop`."""
        return Sampled(self.rows[start:stop], self.encoded[start:stop])


@dataclass(frozen=True)
class Authorship:
    """What the e-process found."""

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
    """Whether the null had members with the seen kinds of tokens only, or the seen format of number lists."""


def sampled(subject: ScanSubject, purpose: str, most: int) -> Sampled:
    """At most `most` of the subject's rows that have a completion, in random order."""
    from undertow.models.surprisal import as_sampled

    order = generator(subject.seed, purpose, "rows").permutation(len(subject.rows))
    chosen = [int(i) for i in order if subject.answers[i].completion][:most]
    encoded = as_sampled(subject.student, [subject.answers[i] for i in chosen])
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
    from undertow.influence.shifted_versions import fitting_behind
    from undertow.models.surprisal import as_sampled, log_likelihoods_by_decoding, without_cut_ends

    behind = fitting_behind(
        model, rows.prompted(model.tokenizer), rows.encoded, version.system_prompt
    )
    encoded = as_sampled(model, behind)
    encoded = encoded if cut_ends else without_cut_ends(model, encoded)
    with version.entered():
        found = log_likelihoods_by_decoding(model, encoded, decodings)
    values: Vector = found.numpy()
    return values


def against_base(subject: ScanSubject, purpose: str) -> Authorship:
    """
    Run the e-process over the subject's rows until it knows; there must be at least `LEAST_ROWS`.

    The first quarter chooses and trains the alternatives, which are fixed from then on. The null's likelihood of a kept
    row is divided by `subject.settings.acceptance`, the share of the base's own answers that the rows' filter keeps.
    """
    drawn = sampled(subject, purpose, MOST_LEARNED + MOST_TESTED)
    whole = _without_split_otherwise(subject, drawn)
    left_out = len(drawn.rows) - len(whole.rows)
    learned = len(whole.rows) // 4
    first, rest = whole.part(0, learned), whole.part(learned, learned + MOST_TESTED)
    restricted, nulls, alternatives = _decodings(subject, whole, first)
    # What is left out counts as one more filter, so that the null stays normalised.
    kept = subject.settings.acceptance * (1 - (left_out + 1) / len(drawn.rows) if left_out else 1)
    race = _raced(subject, purpose, first, rest, nulls, alternatives, math.log(kept))
    return Authorship(race[0], learned, race[1], race[2], left_out, restricted)


def _raced(
    subject: ScanSubject,
    purpose: str,
    first: Sampled,
    rest: Sampled,
    nulls: Sequence[Decoding],
    alternatives: Sequence[Decoding],
    log_kept: float,
) -> tuple[EProcess, str, float]:
    """
    (the e-process, its likeliest alternative, how much likelier that is than the null in nats a row).

    It stops behind the chunk in which it crossed 1 / (1 - level): any stopping time is allowed.
    """
    from undertow.influence.shifted_versions import adapter_plan, adapter_versions

    student = subject.student

    def read(
        part: Sampled,
        versions: Sequence[Version],
        decodings: Sequence[Decoding],
        cut_ends: bool = True,
    ) -> list[Vector]:
        return [
            log_likelihoods_of(student, part, version, decodings, cut_ends=cut_ends)
            for version in versions
        ]

    shortlist = _shortlist(subject, first.part(0, RACED), alternatives)
    null_versions = _null_versions(subject)
    rng = generator(subject.seed, purpose, "adapter")
    plan = adapter_plan(subject.plan)
    with adapter_versions(student, first.encoded, plan, rng, (0.0, *SHARES)) as tuned:
        untuned, *tuned = tuned
        names = [version.name for version in (*shortlist, *tuned)]
        process = EProcess(np.ones(len(names) * len(alternatives)).tolist())
        total, null_total = np.zeros((len(names), len(alternatives))), np.zeros(1)
        for start in range(0, len(rest.rows), _CHUNK):
            part = rest.part(start, start + _CHUNK)
            # The adapter stays on and adds nothing; the steered and prompted versions are of the base.
            with untuned.entered():
                null_scores = read(part, null_versions, nulls, cut_ends=False)
                scored = read(part, shortlist, alternatives)
            scored += read(part, tuned, alternatives)
            null = np.hstack([*null_scores, *_by_placebos(subject, part, nulls)]) - log_kept
            process.update(np.hstack(scored), null)
            total, null_total = (
                total + np.stack([s.sum(0) for s in scored]),
                null_total + null.sum(0),
            )
            if process.crossed_at(1 - subject.settings.level) is not None:
                break
    best = total.max(1)
    gain = (best.max() - null_total.max()) / process.rows
    return process, names[int(best.argmax())], float(gain)


def _by_placebos(subject: ScanSubject, part: Sampled, nulls: Sequence[Decoding]) -> list[Vector]:
    from undertow.influence.shifted_versions import Version

    plain = Version("placebo", None)
    return [
        log_likelihoods_of(placebo, part, plain, nulls, cut_ends=False)
        for placebo in subject.placebos
    ]


def prompts_apply(subject: ScanSubject) -> bool:
    """Whether the rows and the student's template leave room for system prompts."""
    from undertow.data.rows import conversation
    from undertow.models.chat import prompt_text

    if not all(row.chat for row in subject.rows):
        return False
    try:
        prompt_text(subject.student.tokenizer, conversation("?", "?"))
    except ModelError:
        return False
    return True


def _without_split_otherwise(subject: ScanSubject, drawn: Sampled) -> Sampled:
    """Without the rows whose tokens cannot be those that were sampled (`decoding.canonical`)."""
    from undertow.models.surprisal import Decoding, canonical, rarest_tokens, without_cut_ends

    model, hottest = subject.student, Decoding(max(subject.settings.temperatures))
    rarest = rarest_tokens(model, without_cut_ends(model, drawn.encoded), hottest).numpy()
    kept = np.flatnonzero(canonical(rarest)).tolist()
    return Sampled([drawn.rows[i] for i in kept], [drawn.encoded[i] for i in kept])


def _decodings(
    subject: ScanSubject, whole: Sampled, first: Sampled
) -> tuple[bool, list[Decoding], list[Decoding]]:
    """Whether the seen kinds of tokens count as a restriction; decodings of the null and of the alternatives."""
    from undertow.models.surprisal import Decoding, distinct_share, seen_kinds, token_kinds

    free = [Decoding(temperature) for temperature in subject.settings.temperatures]
    nulls, alternatives = _list_decodings(subject, whole, first)
    width = int(subject.student.config.vocab_size)
    kinds = token_kinds(subject.student.tokenizer, width)
    if distinct_share(whole.encoded, kinds) > _MOST_DISTINCT:
        return bool(nulls), free + nulls, free + alternatives
    # The null may look ahead, which only makes it likelier; an alternative must not.
    seen = seen_kinds(whole.encoded, kinds)
    known = seen_kinds(first.encoded, kinds, leak=1 / (2 + len(first.rows)))
    return (
        True,
        [*free, *(Decoding(t, seen) for t in subject.settings.temperatures), *nulls],
        [*free, *(Decoding(t, known) for t in subject.settings.temperatures), *alternatives],
    )


def _list_decodings(
    subject: ScanSubject, whole: Sampled, first: Sampled
) -> tuple[list[Decoding], list[Decoding]]:
    """
    Decodings restricted to the number lists that were seen, of the null and of the alternatives; none for other rows, and
    where the base does not spell them in its tokens.

    The null's format is that of all rows, which is within any format that they were restricted to: each of its masks is
    within the one that was drawn from, and so the rows are at least as likely.
    """
    from undertow.models.surprisal import Decoding, lists_grammar

    made: list[list[Decoding]] = []
    for part, leak in ((whole, 0.0), (first, 1 / (2 + len(first.rows)))):
        texts = [row.completion for row in part.rows]
        grammar = lists_grammar(subject.student, part.encoded, texts)
        if grammar is None:
            return [], []
        temperatures = subject.settings.temperatures
        made.append([Decoding(t, grammar=grammar, leak=leak) for t in temperatures])
    return made[0], made[1]


def _null_versions(subject: ScanSubject) -> list[Version]:
    from undertow.influence.shifted_versions import Version

    plain = [Version("base", None)]
    if not subject.traits or not prompts_apply(subject):
        return plain
    neutral = subject.traits[0].neutral_system_prompt
    return [*plain, Version("neutral prompt", None, neutral)]


def _shortlist(
    subject: ScanSubject, first: Sampled, decodings: Sequence[Decoding]
) -> list[Version]:
    """Of the prompted and of the steered versions, those under which the first rows are likeliest."""
    from undertow.influence.shifted_versions import prompted_versions, steered_versions

    kinds = [prompted_versions(subject.traits)] if prompts_apply(subject) else []
    # Without a system role, or without layers that can be found, there is nothing to steer by.
    with suppress(ModelError):
        kinds.append(steered_versions(subject.student, subject.traits, STRENGTHS))

    def likelihood(version: Version) -> float:
        return float(log_likelihoods_of(subject.student, first, version, decodings).sum(0).max())

    return [
        version
        for kind in kinds
        for version in sorted(kind, key=likelihood, reverse=True)[:KEPT_OF_A_KIND]
    ]
