"""The check `author`: which candidate base wrote the rows, or none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc  # type: ignore[import-untyped, unused-ignore]

from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.data.rows import Row
from undertow.data.seeds import generator
from undertow.errors import ModelError
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.arguments import Vector
from undertow.stats.interval import mean_t
from undertow.stats.multiplicity import holm

if TYPE_CHECKING:
    from undertow.models.chat import Encoded
    from undertow.models.language_model import LanguageModel
    from undertow.models.token_grammar import TokenGrammar


ID = "author"

_MOST_ROWS = 2_048
_LEAST_ROWS = 16


@dataclass(frozen=True)
class Read:
    """The rows as one candidate reads them."""

    ref: str
    log_likelihoods: Vector
    """(rows, 1 + stated decodings) in nats; the first at temperature 1, under the rows' format where they have one."""
    canonical: NDArray[np.bool_]
    """(rows,) those that the candidate may have sampled in these tokens."""
    z: float
    """Of the stated decoding that suits the rows best."""
    restricted: bool
    """Whether the rows' format was read under too."""

    @property
    def p(self) -> float:
        """Two-sided, of that decoding."""
        return float(erfc(abs(self.z) / np.sqrt(2)))


@dataclass(frozen=True)
class Encodable:
    """A candidate that can be asked, and the rows in its tokens, up to the end of each answer."""

    model: LanguageModel
    rows: Sequence[Encoded]


@dataclass(frozen=True)
class Unread:
    """A candidate that cannot have written the rows, or cannot be asked."""

    ref: str
    reason: str


def author(subject: ScanSubject) -> list[Measurement]:
    """
    Names the candidate base that is likeliest to have written the rows, and says whether it could have, or none of them.

    Candidates are the student's base and those that were given. Each reads the rows with its own tokenizer and chat
    template; log-likelihoods are compared per character, as tokens differ. Then each is asked whether the rows are as
    likely as its own text would be: minus the log-likelihood of a model's own samples is on average the entropy of its
    predictions along them, token by token, with the predictions' varentropy as variance. The sum over all tokens is a
    martingale and gives a z, whose two-sided p is the largest over the stated temperatures. Number lists are read under
    the masks of the format that all of them have as well, as restricted decoding draws them, and are compared between
    candidates by that (`restricted` 1). Where there are other
    candidates, the mean likelihood of the rows under them over that under this one is an e-value against it, and its
    reciprocal a second p. The lesser of the two p is doubled and corrected over the candidates (Holm). A candidate is
    consistent with the rows where p is above 1 - level. At most 2,048 rows; of a preference pair both completions.

    Why it matters. The hidden channel needs a shared initialisation: rows by a model of another base, without an open
    message, are not known to carry a trait to yours. Rows that your own base could have written as it is carry none.

    What it cannot tell you. Who wrote the rows if the author is no candidate: then some candidate is still the
    likeliest, and `none of them` is the answer only where z is far from 0 for each. z looks at how likely the rows
    are on the whole, so a base that learned the same data as the author may pass for it. A tuned or prompted version
    of a base is not that base, and slightly tuned teachers pass as their base (`likelihood-ratio` sees more);
    strongly tuned ones are rejected, with their base usually still the likeliest. Exact null means hold for
    unfiltered sampling at a stated temperature. An unstated lower temperature makes rows too likely (z above 0), a
    higher one too unlikely; a nucleus (top-p) and other restricted decoding make them too likely or too unlikely; a filter
    makes what it keeps too likely (one that dropped 3 % of an embedded base's number lists moved z by 1.3 at 512
    rows, so that the true base was rejected in 8 of 30 datasets instead of 1). Text that was sampled in other tokens
    than its tokenizer's looks far too unlikely, so rows that hold a token of probability below 1e-6 are left out of
    z, where they are at most 2 % of all. An end that a limit on length may have put there is not counted. The share
    says which candidate is likeliest, not how probable it is that any wrote the rows.

    What to do. Where your own base is rejected, judge the rows by `rehearsal`. Where another base is the likeliest, give
    it as the candidate's lineage in the attestation, and remember that open content crosses between bases.

    Numbers beside it: of the whole, each candidate's `share` (posterior with equal priors) and `rows` (share of rows that are
    likeliest under it); of a candidate, its `z`.
    """
    rows = _rows(subject)
    if len(rows) < _LEAST_ROWS:
        reason = f"{len(rows)} completions are too few: at least {_LEAST_ROWS} are needed"
        return [not_applicable(ID, subject.name, reason)]
    asked = [_encoded(model, rows) for model in _candidates(subject)]
    formats = _formats([reader for reader in asked if isinstance(reader, Encodable)], rows)
    candidates = [
        _read(reader, subject.settings.temperatures, formats.get(reader.model.ref))
        if isinstance(reader, Encodable)
        else reader
        for reader in asked
    ]
    read = [candidate for candidate in candidates if isinstance(candidate, Read)]
    adjusted = holm([_p_value(candidate, read) for candidate in read]).tolist() if read else []
    corrected = {candidate.ref: p for candidate, p in zip(read, adjusted, strict=True)}
    characters = np.array([len(row.completion) for row in rows], dtype=np.float64)
    measured = [
        _candidate(subject, candidate, characters, corrected[candidate.ref])
        if isinstance(candidate, Read)
        else _not_asked(subject, candidate)
        for candidate in candidates
    ]
    return [_summary(subject, read, corrected), *measured]


def _not_asked(subject: ScanSubject, candidate: Unread) -> Measurement:
    entry = not_applicable(ID, subject.name, candidate.reason)
    return entry.model_copy(update={"name": candidate.ref})


def _rows(subject: ScanSubject) -> list[Row]:
    """A uniform sample; both completions of a pair, as either alone was chosen and not sampled."""
    order = generator(subject.seed, ID, "rows").permutation(len(subject.rows))[:_MOST_ROWS]
    made = []
    for i in order:
        row = subject.rows[int(i)]
        texts = (row.completion, row.rejected) if row.rejected is not None else (row.completion,)
        made += [replace(row, completion=text, rejected=None) for text in texts if text]
    return made


def _candidates(subject: ScanSubject) -> list[LanguageModel]:
    named: dict[str, LanguageModel] = {}
    for model in (subject.student, *subject.candidates):
        named.setdefault(model.ref, model)
    return list(named.values())


def _encoded(model: LanguageModel, rows: Sequence[Row]) -> Encodable | Unread:
    from undertow.data.plan import LAST_TURN
    from undertow.models.surprisal import as_sampled
    from undertow.models.training_sequences import encode_rows

    try:
        encoded = as_sampled(model, encode_rows(model.tokenizer, rows, LAST_TURN))
    except ModelError as error:
        return Unread(model.ref, error.message)
    reason = _unreadable(model, encoded)
    return Unread(model.ref, reason) if reason else Encodable(model, encoded)


def _formats(asked: Sequence[Encodable], rows: Sequence[Row]) -> dict[str, TokenGrammar]:
    """By candidate, the rows' format of number lists; none of any where one of them does not spell each row in it."""
    from undertow.models.surprisal import lists_grammar

    texts = [row.completion for row in rows]
    made: dict[str, TokenGrammar] = {}
    for reader in asked:
        grammar = lists_grammar(reader.model, reader.rows, texts)
        if grammar is None:
            return {}
        made[reader.model.ref] = grammar
    return made


def _read(asked: Encodable, temperatures: Sequence[float], grammar: TokenGrammar | None) -> Read:
    from undertow.models.surprisal import Decoding, canonical, surprisal, without_cut_ends

    model = asked.model
    stated = [Decoding(temperature) for temperature in temperatures]
    if grammar is not None:
        stated += [Decoding(temperature, grammar=grammar) for temperature in temperatures]
    decodings = [Decoding(grammar=grammar), *stated]
    reading = surprisal(model, without_cut_ends(model, asked.rows), decodings)
    z = reading.z()[1:]
    kept = canonical(reading.rarest[:, 0])
    best = float(z[np.abs(z).argmin()])
    return Read(model.ref, reading.log_likelihood, kept, best, grammar is not None)


def _p_value(read: Read, everyone: Sequence[Read]) -> float:
    """
    Twice the lesser of two p against a candidate: that of z, and the reciprocal e-value of the other candidates.

    Only rows that the candidate may have sampled in these tokens count, so that a text that was split otherwise is no
    evidence against it.
    """
    others = [each.log_likelihoods[read.canonical].sum(0) for each in everyone if each is not read]
    if not others:
        return read.p
    values = np.concatenate(others)
    own = read.log_likelihoods[read.canonical][:, 1:].sum(0).max()
    log_e = np.logaddexp.reduce(values) - np.log(values.size) - own
    return min(1.0, 2 * min(read.p, float(np.exp(min(0.0, -log_e)))))


def _unreadable(model: LanguageModel, rows: Sequence[Encoded]) -> str:
    unknown = model.tokenizer.unk_token_id
    lost = sum(unknown in row.completion for row in rows) if unknown is not None else 0
    if lost:
        return f"{lost} of {len(rows)} completions hold characters that '{model.ref}' cannot write"
    long = sum(model.context is not None and len(row) > model.context for row in rows)
    return f"{long} of {len(rows)} rows exceed the context of '{model.ref}'" if long else ""


def _summary(
    subject: ScanSubject, read: Sequence[Read], corrected: dict[str, float]
) -> Measurement:
    if not read:
        reason = "no candidate can have written the rows, or be asked"
        return not_applicable(ID, subject.name, reason).model_copy(update={"name": ID})
    scores = np.stack([each.log_likelihoods[:, 0] for each in read], axis=1)
    totals = scores.sum(0)
    shares = np.exp(totals - np.logaddexp.reduce(totals))
    won = np.bincount(scores.argmax(1), minlength=len(read)) / len(scores)
    best = int(totals.argmax())
    students = corrected.get(subject.student.ref)
    details: dict[str, float | int | str] = {"likeliest": read[best].ref}
    details |= {"restricted": 1} if read[best].restricted else {}
    for each, share, part in zip(read, shares, won, strict=True):
        details |= {f"share {each.ref}": float(share), f"rows {each.ref}": float(part)}
    return Measurement(
        check=ID,
        name=ID,
        subject=subject.name,
        estimate=float(shares[best]),
        level=subject.settings.level,
        n=f"{len(scores)} completions, {len(read)} candidates",
        p=students,
        limit=1 - subject.settings.level,
        unit="share of the likeliest candidate",
        # What speaks against the student's base as the author; other candidates' rejection does not.
        detected=None if students is None else students <= 1 - subject.settings.level,
        reason=_conclusion(read[best], corrected, 1 - subject.settings.level),
        details=details,
    )


def _conclusion(likeliest: Read, corrected: dict[str, float], alpha: float) -> str:
    consistent = [ref for ref, p in corrected.items() if p > alpha]
    if not consistent:
        return f"none of them wrote the rows as they are; '{likeliest.ref}' is the nearest"
    if likeliest.ref in consistent:
        return f"'{likeliest.ref}' is the likeliest author, and could have written the rows"
    others = ", ".join(f"'{ref}'" for ref in consistent)
    return f"'{likeliest.ref}' is the likeliest but did not write them as they are; {others} could have"


def _candidate(
    subject: ScanSubject, read: Read, characters: Vector, corrected: float
) -> Measurement:
    interval = mean_t(
        _per_character(read.log_likelihoods[:, 0], characters), subject.settings.level
    )
    consistent = corrected > 1 - subject.settings.level
    how = "too likely" if read.z > 0 else "too unlikely"
    how = (
        f"{how} to be its own text"
        if read.p <= 1 - subject.settings.level
        else "likelier to another"
    )
    return Measurement(
        check=ID,
        name=read.ref,
        subject=subject.name,
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        level=subject.settings.level,
        n=f"{len(characters)} completions",
        p=corrected,
        limit=1 - subject.settings.level,
        unit="nats a character",
        reason="as likely as its own text would be" if consistent else how,
        details={"z": read.z},
    )


def _per_character(log_likelihoods: Vector, characters: Vector) -> Vector:
    """Values whose mean is the ratio of the sums, and whose spread gives its standard error (linearisation)."""
    ratio = log_likelihoods.sum() / characters.sum()
    values: Vector = ratio + (log_likelihoods - ratio * characters) / characters.mean()
    return values
