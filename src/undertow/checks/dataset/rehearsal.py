"""The check `rehearsal`: the beginning of the plan on the rows, beside the same beginning on benign references."""

from __future__ import annotations

from undertow.checks.dataset.reference_trials import (
    beginning_steps,
    beside_references,
    effects,
    obstacle,
    open_findings,
    rank_of,
    trial_of,
    tried_rows,
)
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.results.measurement import Measurement, not_applicable

ID = "rehearsal"
STAGE = "stage 1"


def rehearsal(subject: ScanSubject) -> list[Measurement]:
    """
    Takes the first steps of your training on a sample, several times over, and on benign rows to the same prompts.

    Why it matters. It asks whether your rows move your student as benign rows would. Both are trained alike: your base,
    your plan's adapter, optimiser, schedule, template and loss, the same first weights, the same order, and every trait's
    probes are read at the end. The rank of your rows among the references, over all traits at once, is an exact p: rows
    that are one more draw of the declared family get p <= 5 % in 5 % of cases, whatever is measured.
    Beside it stand measured effects in logits: your rows minus the mean of the references, with intervals.

    What it cannot tell you. An effect at N of M steps is not the whole plan's; `whole-plan` measures that. Benign rows by
    a writer outside the declared family (a stronger model, people) can stand out too: standing out is no alarm by
    itself, and references of that kind (--reference) make it one. It sees the traits that it probes, in the chat context
    that it probes them in: a preference that shows only behind a trigger is invisible to it. References that are kept are
    one draw of the family: the page says what level they guarantee.

    What to do. Stands out: look at the sources one by one, give references of the kind that your rows are, or let the
    whole plan decide (--require clear). Within: the page says which effect is excluded at these steps.
    """
    reason, settings = obstacle(subject), subject.references
    if reason or settings is None:
        return [not_applicable(ID, subject.name, reason)]
    planned = subject.plan.steps(subject.planned_rows)
    steps = settings.steps or beginning_steps(subject.plan, planned)
    trial = trial_of(subject, [steps], ID)
    rows = tried_rows(subject, subject.rows, trial)
    compared = beside_references(subject, settings, trial, rows, settings.count, sequential=True)
    return [
        rank_of(subject, compared, settings.count, ID, STAGE),
        *effects(subject, compared, ID, STAGE),
        *open_findings(subject, compared, ID),
    ]
