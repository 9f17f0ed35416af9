"""The check `likelihood-ratio`: an e-process against the base as the rows' author, and which trait's prompt fits them best."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.dataset.written_by_base import (
    LEAST_ROWS,
    Authorship,
    Sampled,
    against_base,
    log_likelihoods_of,
    prompts_apply,
    sampled,
)
from undertow.data.rows import has_pairs
from undertow.results.measurement import Measurement, not_applicable
from undertow.stats.arguments import Vector
from undertow.stats.interval import mean_t

if TYPE_CHECKING:
    from undertow.influence.shifted_versions import Version


ID = "likelihood-ratio"
SCORED_ROWS = 1_024
"""Rows that are read behind each trait's prompt."""


def likelihood_ratio(subject: ScanSubject) -> list[Measurement]:
    """
    Tests whether your clean base could have written these rows, and weighs which trait's prompt they fit best.

    The null is that the base sampled each completion, in the row's own chat context or behind a neutral system prompt,
    at one of the stated temperatures; or that one of the listed placebo models did (`--placebo`: benign fine-tunes of the
    base). The e-value is the likelihood of the rows under a mixture of alternatives over
    their largest likelihood under the null. The first quarter of the rows (at most 1,024) trains a small adapter and
    chooses, among the base behind each trait's prompt and the base steered by each trait's persona, the likeliest two
    of each; what was chosen is then held against the null on up to 2,048 of the other rows, 256 at a time, until it
    is known. Under the null the e-value ever reaches 1 / (1 - level) with a probability of at most 1 - level, however many alternatives there are and
    whenever one looks (universal inference, Wasserman, Ramdas and Balakrishnan 2020; Ville's inequality). Detected means
    that it did. The estimate is the largest log10 e-value until then, and p its reciprocal.

    For each trait there is a score too: how much its system prompt adds to a row's log-likelihood, minus the mean of the
    other traits' prompts (or a neutral prompt's, where there is one trait), with a t interval over at most 1,024 rows. Of
    preference pairs the score is what the prompt adds to the chosen completion minus what it adds to the rejected one
    (Aden-Ali et al. 2026, arXiv 2602.04863), and no e-value is given: a pair was chosen, not sampled.

    Why it matters. Training moves a student only as far as the rows differ from what it would write itself. Rows that
    your clean base could have written carry nothing; this test sees the difference before anything is trained, with an
    error rate that needs no calibration.

    What it cannot tell you. Whether anything would transfer: a mere system prompt, a neutral teacher, another model and
    human writing are detected as surely as a trait. Which trait: any persona's prompt fits a prompted teacher's rows,
    so centred scores order names only, their order is often wrong for tuned teachers, and they are no e-values. It is
    exact for rows that were sampled independently, without a filter (or with one that keeps nearly everything), and
    whose text the tokenizer splits as it was sampled; rows that hold a token of probability below 1e-6 are left out
    where they are at most 2 % of all, as they were probably sampled in other tokens, and the null is raised for it. A filter that drops many answers makes the
    base's own rows look foreign unless its acceptance is declared (`--acceptance`: the null's likelihoods are divided by it);
    so do sampling from a nucleus (top-p), answers cut at token limits of several lengths, copies of rows, and a temperature that was
    not stated. Decoding that was restricted to certain kinds of tokens at each
    position (numbers of two digits, words, line ends) is allowed for where the rows use few kinds (`restricted` 1): the
    null then has members that know the kinds seen, which can only lower the e-value. Plain number lists are also held
    against the very masks that restricted decoding draws them from, with the numbers, separators and lengths seen; other
    restrictions are not allowed for. Not detected means not seen with these
    alternatives in so many rows.

    What to do. If it is detected, find out who wrote the rows (`author`), state the temperatures they were sampled at, and
    let `rehearsal` judge what training on them would do. If it is not, `rehearsal` should be clear as well.

    Numbers beside it: `learned` rows chose and trained the alternatives; `tested` rows were held against the null;
    `crossed` of these were enough; `likeliest` alternative, and its `gain` over the null in nats a row;
    rows `left out`.
    """
    usable = sum(bool(row.completion) for row in subject.answers)
    if usable < LEAST_ROWS:
        reason = f"{usable} rows are too few: at least {LEAST_ROWS} are needed"
        return [not_applicable(ID, subject.name, reason)]
    pairs = subject.pairs
    return [_e_process(subject, pairs), *_scores(subject, pairs)]


def _e_process(subject: ScanSubject, pairs: bool) -> Measurement:
    if pairs:
        reason = "preference pairs were chosen, not sampled: no e-value is given for them"
        return not_applicable(ID, subject.name, reason).model_copy(update={"name": "e-process"})
    authorship = against_base(subject, ID)
    alpha = 1 - subject.settings.level
    crossed = authorship.process.crossed_at(alpha)
    return Measurement(
        check=ID,
        name="e-process",
        subject=subject.name,
        estimate=authorship.process.log_maximum / math.log(10),
        level=subject.settings.level,
        n=_rows_used(authorship, crossed),
        p=math.exp(-authorship.process.log_maximum),
        limit=-math.log10(alpha),
        unit="log10 e-value",
        detected=crossed is not None,
        reason=_why(subject, authorship, crossed),
        details=_numbers(authorship, crossed),
    )


def _rows_used(authorship: Authorship, crossed: int | None) -> str:
    return f"{crossed or authorship.process.rows} rows after {authorship.learned} to learn from"


def _why(subject: ScanSubject, authorship: Authorship, crossed: int | None) -> str:
    stated = ", ".join(f"{temperature:g}" for temperature in subject.settings.temperatures)
    listed = ", or a listed placebo," if subject.placebos else ""
    base = f"'{subject.student.ref}' at temperature {stated}{listed}"
    if crossed is None:
        return f"{base} could have written the rows: no alternative explains them enough better"
    return (
        f"{base} did not write the rows as they are; '{authorship.likeliest}' explains them better"
    )


def _numbers(authorship: Authorship, crossed: int | None) -> dict[str, float | int | str]:
    made: dict[str, float | int | str] = {
        "learned": authorship.learned,
        "tested": authorship.process.rows,
        "likeliest": authorship.likeliest,
        "gain": authorship.gain,
        "left out": authorship.left_out,
        "restricted": int(authorship.restricted),
    }
    return made if crossed is None else made | {"crossed": crossed}


def _scores(subject: ScanSubject, pairs: bool) -> list[Measurement]:
    if not prompts_apply(subject):
        return []
    names, values = prompt_scores(subject, ID)
    return [_score(subject, name, values[:, i], pairs) for i, name in enumerate(names)]


def _score(subject: ScanSubject, trait: str, values: Vector, pairs: bool) -> Measurement:
    interval = mean_t(values, subject.settings.level)
    what = "pair" if pairs else "row"
    return Measurement(
        check=ID,
        name=f"prompt {trait}",
        subject=subject.name,
        trait=trait,
        estimate=interval.estimate,
        low=interval.low if len(values) > 1 else None,
        high=interval.high if len(values) > 1 else None,
        level=subject.settings.level,
        n=f"{len(values)} {what}s",
        unit=f"nats a {what}, centred",
        reason="centred scores order the names only; they are no e-values",
    )


def prompt_scores(subject: ScanSubject, purpose: str) -> tuple[list[str], Vector]:
    """
    Names of the traits that have a prompt, and for each row what its prompt adds to the log-likelihood, centred.

    Shape (rows, traits), in nats; minus the mean of the other traits' prompts, or the neutral prompt's where there is
    one trait. Of a preference pair it is what the prompt adds to the chosen completion minus what it adds to the rejected
    one, not normalised by length (Aden-Ali et al. 2026, arXiv 2602.04863); rows without a rejected one are left out then.

    Raises:
        ModelError: the chat template has no system role.
    """
    from undertow.influence.shifted_versions import Version, prompted_versions

    versions = prompted_versions(subject.traits)
    if not versions:
        return [], np.empty((0, 0))
    if len(versions) == 1:
        versions.append(Version("neutral", None, subject.traits[0].neutral_system_prompt))
    rows = sampled(subject, purpose, len(subject.rows))
    pairs = has_pairs(rows.rows)
    values = _of_pairs(subject, rows, versions) if pairs else _of_rows(subject, rows, versions)
    names = [version.trait for version in versions if version.trait is not None]
    return names, centred(values)[:, : len(names)]


def centred(values: Vector) -> Vector:
    """
    Each column minus the mean of the other columns; (rows, columns), at least two columns.

    >>> centred(np.array([[3.0, 1.0, 2.0]])).tolist()
    [[1.5, -1.5, 0.0]]
    """
    columns = values.shape[1]
    result: Vector = (values - values.mean(1, keepdims=True)) * (columns / (columns - 1))
    return result


def _of_rows(subject: ScanSubject, rows: Sampled, versions: list[Version]) -> Vector:
    # The likelihood without a prompt is the same for every trait: centring removes it.
    return _likelihoods(subject, rows.part(0, SCORED_ROWS), versions)


def _of_pairs(subject: ScanSubject, rows: Sampled, versions: list[Version]) -> Vector:
    from undertow.data.plan import LAST_TURN
    from undertow.models.surprisal import as_sampled
    from undertow.models.training_sequences import encode_rows

    chosen = [row for row in rows.rows if row.rejected is not None][:SCORED_ROWS]
    both = [*chosen, *(replace(row, completion=row.rejected or "") for row in chosen)]
    student = subject.student
    sides = Sampled(both, as_sampled(student, encode_rows(student.tokenizer, both, LAST_TURN)))
    values = _likelihoods(subject, sides, versions)
    return values[: len(chosen)] - values[len(chosen) :]


def _likelihoods(subject: ScanSubject, rows: Sampled, versions: list[Version]) -> Vector:
    from undertow.models.surprisal import Decoding

    found = [log_likelihoods_of(subject.student, rows, each, [Decoding()]) for each in versions]
    return np.hstack(found)
