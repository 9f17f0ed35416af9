"""The check `whole-plan`: the planned training itself on the rows, beside the same on fresh benign references."""

from __future__ import annotations

from undertow.checks.dataset.reference_trials import (
    beside_references,
    effects,
    obstacle,
    rank_of,
    reads_of,
    trial_of,
    tried_rows,
)
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.results.measurement import Measurement, not_applicable

ID = "whole-plan"
STAGE = "stage 2"


def whole_plan(subject: ScanSubject) -> list[Measurement]:
    """
    Takes your whole planned training on the rows, several times over, and on a few fresh benign references.

    Why it matters. It is the planned training: what moves here moves your student. Fresh seeds and fresh references, which
    the beginning of the plan did not choose; effects are the rows' adapters minus the mean of the references, in logits
    of each trait. Rows are flagged by one trait above the limit, so that lower ends hold for all scanned traits of all
    sources at once; they are clear if every trait lies below it, for which each trait's own upper end is enough.

    What it cannot tell you. It sees the traits that it probes, in the chat context that it probes them in. It costs
    several planned trainings; the price is said beforehand, and `--budget` caps it. That rows move a trait says
    nothing of whether that was meant.

    What to do. Flagged: do not train on these rows as they are; look at the sources one by one, take fewer of the
    flagged one's rows or fewer steps (the page says how many stay under the limit, and a scan of what you keep is the
    proof), or ask for rows by a teacher of another base. Undecided: the interval holds the limit; more adapters or references narrow it.
    """
    reason, settings = obstacle(subject), subject.references
    if reason or settings is None:
        return [not_applicable(ID, subject.name, reason)]
    planned = subject.plan.steps(subject.planned_rows)
    trial = trial_of(subject, reads_of(subject.plan, planned), ID, whole=True)
    rows = tried_rows(subject, subject.all_rows() if subject.all_rows else subject.rows, trial)
    compared = beside_references(
        subject, settings, trial, rows, settings.whole_count, sequential=False
    )
    return [
        rank_of(subject, compared, settings.whole_count, ID, STAGE),
        *effects(subject, compared, ID, STAGE, subjects=settings.subjects),
    ]
