"""
How much likelier rows are behind each trait's system prompt than behind the others': centred scores, and pairwise ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from undertow.checks.dataset.written_by_base import Sampled, log_likelihoods_of, sampled
from undertow.data.rows import has_pairs
from undertow.influence.shifted_versions import Version, prompted_versions
from undertow.stats.arguments import Vector

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject

_MOST_ROWS = 1_024


def prompt_scores(subject: Subject, purpose: str) -> tuple[list[str], Vector]:
    """
    Names of the traits that have a prompt, and for each row what its prompt adds to the log-likelihood, centred.

    Shape (rows, traits), in nats; minus the mean of the other traits' prompts, or the neutral prompt's where there is
    one trait. Of a preference pair it is what the prompt adds to the chosen completion minus what it adds to the rejected
    one, not normalised by length (Aden-Ali et al. 2026, arXiv 2602.04863); rows without a rejected one are left out then.

    Raises:
        ModelError: the chat template has no system role.
    """
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


def _of_rows(subject: Subject, rows: Sampled, versions: list[Version]) -> Vector:
    # The likelihood without a prompt is the same for every trait: centring removes it.
    return _likelihoods(subject, rows.part(0, _MOST_ROWS), versions)


def _of_pairs(subject: Subject, rows: Sampled, versions: list[Version]) -> Vector:
    from undertow.models.chat import encode_rows
    from undertow.models.decoding import as_sampled

    chosen = [row for row in rows.rows if row.rejected is not None][:_MOST_ROWS]
    both = [*chosen, *(replace(row, completion=row.rejected or "") for row in chosen)]
    student = subject.student
    sides = Sampled(both, as_sampled(student, encode_rows(student.tokenizer, both)))
    values = _likelihoods(subject, sides, versions)
    return values[: len(chosen)] - values[len(chosen) :]


def _likelihoods(subject: Subject, rows: Sampled, versions: list[Version]) -> Vector:
    from undertow.models.decoding import Decoding

    found = [log_likelihoods_of(subject.student, rows, each, [Decoding()]) for each in versions]
    return np.hstack(found)
