"""`undertow diff`: what did a fine-tune change that nobody asked for?"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from undertow.audit.check_runs import Ran, run_check
from undertow.audit.model_readings import (
    SHIPPED,
    control_models,
    read_models,
    reader_for,
    refuse_missing,
    shipped,
)
from undertow.audit.precision import AuditPrecision, open_base
from undertow.audit.requests import (
    DiffRequest,
    Progress,
    askable_traits,
    ignored_keys,
    named_traits,
)
from undertow.checks.registry import chosen_checks
from undertow.checks.tuned.diff_subject import DiffSubject, ModelReading
from undertow.data.files import model_digest
from undertow.data.plan import plan_notes
from undertow.data.seeds import derive, generator
from undertow.engines import choose
from undertow.engines.engine import Engine
from undertow.errors import UndertowError
from undertow.influence.open_search import looked_at, open_search, outlying
from undertow.influence.probe_formats import settled
from undertow.models.language_model import LanguageModel
from undertow.results.measurement import Measurement, ProbeChoice, Verdict, environment, worst
from undertow.results.model_documents import Change, DiffDocument
from undertow.results.scan_document import Moved
from undertow.stats.conformal import references_needed
from undertow.stats.designs import in_words, smallest_p_two_sample, supports
from undertow.stats.multiplicity import EXACT_SPLITS
from undertow.worlds import locate
from undertow.worlds.base_models import plan_for

BEHAVIOUR = "diff-behaviour"

LIMITS = (
    "A trait that is not probed is not judged; the open search names what else moved, and needs controls.",
    "A trait that shows only behind a trigger is not seen by questions without it.",
    "Error rates are those of the stated tests, not measured on models of this size.",
)
_INFERENCE = {
    "answers": "one model without several controls: this is about its answers, not about its data or another run",
    "run": "one model against benign fine-tunes: whether this run went beyond what they do, taking runs for normal",
    "runs": "several models: about training runs like these",
}

KINDS = 2
"""Of what the open search looks at: probes and tokens, which share the error rate of a permutation."""


def diff(request: DiffRequest, progress: Progress = lambda doing: None) -> DiffDocument:
    """
    Read base, tuned models and controls once each, and run every check on what was read.

    Raises:
        ModelError: one cannot be opened, or has another vocabulary than the base.
        UnknownNameError: there is no such trait or check.
        NothingLeftError: no control row fits the base.
        InputError: the engine cannot be used, or a control is neither rows nor a model.
    """
    name = request.engine or "inprocess"
    with choose(name, request.jobs, gpus=request.gpus, memory=request.memory) as engine:
        engine.join()
        return _diffed(request, progress, engine)


def _diffed(request: DiffRequest, progress: Progress, engine: Engine) -> DiffDocument:
    started = time.perf_counter()
    checks = chosen_checks("tuned", request.checks)
    traits = named_traits(*request.traits)
    named_traits(*request.intended)
    refuse_missing(request)
    progress("opening the base")
    digest = model_digest(locate(request.base))
    if SHIPPED in request.controls:
        shipped(digest, request.base)
    template = plan_for(request.plan, request.base).template
    others = (*request.tuned, request.teacher, *control_models(request))
    loaded, precision = open_base(request.base, template, request.compute, others, traits, progress)
    request = replace(request, compute=precision.compute)
    base = loaded.in_template(template)
    subject, probes = _opened_subject(request, base, digest, progress, engine)
    ran = []
    for check in checks:
        progress(check.id)
        ran.append(run_check(subject, check))
    progress("searching what else moved")
    moved, searched = _searched(subject)
    seconds = time.perf_counter() - started
    document = _document(request, precision, digest, subject, ran, moved, searched, seconds)
    return document.model_copy(update={"probes": probes})


def _opened_subject(
    request: DiffRequest,
    base: LanguageModel,
    digest: str | None,
    progress: Progress,
    engine: Engine,
) -> tuple[DiffSubject, tuple[ProbeChoice, ...]]:
    """What the checks are asked about, and in which format each category is asked."""
    intended = named_traits(*request.intended)
    judged = named_traits(*request.traits) or askable_traits(base.tokenizer)
    named = tuple({trait.name: trait for trait in (*judged, *intended)}.values())
    progress("asking the base in every format")
    traits, probes = settled(base, named, request.system_prompt, request.format)
    reader = reader_for(base, traits, request.system_prompt, request.seed)
    progress("reading the base")
    untouched = reader.read(base, request.base)
    read = read_models(request, digest, reader, base, untouched, progress, engine)
    subject = DiffSubject(
        name="tuned",
        base=base,
        reader=reader,
        untouched=untouched,
        tuned=read.tuned,
        teacher=read.teacher,
        controls=read.controls,
        controls_are="; ".join(read.made),
        intended=frozenset(trait.name for trait in intended),
        seed=derive(request.seed, "diff"),
        level=request.level,
        limit=request.limit,
        own_rows=request.own_rows,
    )
    return subject, probes


def _searched(subject: DiffSubject) -> tuple[tuple[Moved, ...], str]:
    """Probes and next tokens that moved otherwise than in the controls, and what was looked at."""
    benign = len(subject.draws)
    if reason := too_few(len(subject.tuned), benign, subject.own_rows, subject.level):
        return (), f"not searched: {reason}"
    start = subject.untouched.wide
    moved, placebo = (
        np.stack([one.wide - start for one in side]) for side in (subject.tuned, subject.draws)
    )
    groups = looked_at(subject.reader.readout, subject.base.tokenizer, moved, placebo)
    looked = " and ".join(f"{len(group.names):,} {group.what}s" for group in groups)
    try:
        if len(moved) > 1 and subject.own_rows:
            rng = generator(subject.seed, "splits")
            movers = open_search(groups, subject.name, rng, level=subject.level)
        else:
            movers = outlying(groups, subject.name, level=subject.level)
    except (UndertowError, ValueError) as error:
        return (), f"not searched: {error}"
    least = least_p(len(moved), benign, subject.own_rows)
    return movers, f"{looked}, against {subject.against}; the least p is {least:.2g}"


def least_p(tuned: int, controls: int, own_rows: bool) -> float:
    """The least p of the open search: by rank for one draw of rows, by permutation for models with rows of their own each."""
    if tuned > 1 and own_rows:
        return KINDS * max(smallest_p_two_sample(tuned, max(1, controls)), 1 / EXACT_SPLITS)
    return 1 / (controls + 1)


def too_few(tuned: int, controls: int, own_rows: bool, level: float) -> str:
    """Why so few controls cannot be searched at a level, and how many it takes; empty where they can."""
    alpha = 1 - level
    least = least_p(tuned, controls, own_rows)
    if controls and supports(level, least) is None:
        return ""
    by_rank = references_needed(1, alpha)
    enough = (n for n in range(1, by_rank) if supports(level, least_p(tuned, n, own_rows)) is None)
    needed = next(enough, by_rank)
    none = (
        f"{controls} independent controls can give no p below {in_words(least)}; "
        if controls
        else ""
    )
    models = "this model takes" if tuned == 1 else "these models take"
    way = " (--control DATA --students N, or one file each)"
    others = "" if tuned == 1 or own_rows else ", or --own-rows if each learned from other rows"
    return f"{none}{models} at least {needed} for {in_words(alpha)}{way}{others}"


def _document(
    request: DiffRequest,
    precision: AuditPrecision,
    digest: str | None,
    subject: DiffSubject,
    ran: Sequence[Ran],
    moved: tuple[Moved, ...],
    searched: str,
    seconds: float,
) -> DiffDocument:
    """Everything that a report shows of a diff."""
    measured = [one for each in ran for one in each.measurements]
    answers = [one for one in measured if one.check == BEHAVIOUR and one.estimate is not None]
    changes = sorted((_change(subject, one) for one in answers), key=lambda c: -abs(c.estimate))
    unasked = [c for c in changes if not c.intended]
    verdict: Verdict = worst(c.verdict for c in unasked) if unasked else "skipped"
    return DiffDocument(
        verdict=verdict,
        conclusion=conclusion(verdict, changes, moved, request.limit),
        inference=subject.inference,
        base=request.base,
        base_digest=digest,
        tuned=request.tuned,
        tuned_digests=tuple(model_digest(locate(ref)) for ref in request.tuned),
        controls=tuple(one.ref for one in subject.controls),
        draws=len(subject.draws),
        limit=request.limit,
        level=request.level,
        changes=tuple(changes),
        moved=moved,
        searched=searched,
        measurements=tuple(measured),
        checks=tuple(each.run for each in ran),
        limits=(
            f"The intervals: {_INFERENCE[subject.inference]}.",
            *([f"The controls: {subject.controls_are}."] if subject.controls_are else []),
            *LIMITS,
            *([precision.note] if precision.note else []),
            *(plan_notes(request.plan) if request.plan else []),
            *request.plan_notes,
        ),
        config={
            "traits": list(request.traits),
            "intended": list(request.intended),
            "checks": list(request.checks),
            "controls": list(request.controls),
            "teacher": request.teacher,
            "students": request.students,
            "rows": request.rows,
            "own_rows": request.own_rows,
            "system_prompt": request.system_prompt,
            "compute": precision.record,
            **ignored_keys(request),
        },
        seed=request.seed,
        wall_seconds=seconds,
        command=request.command,
        **environment(workers=1, device=str(subject.base.device)).fields,
    )


def _change(subject: DiffSubject, measured: Measurement) -> Change:
    index = [trait.name for trait in subject.reader.traits].index(measured.trait or "")

    def means(readings: Sequence[ModelReading]) -> tuple[float, ...]:
        return tuple(float(each.margins[index].mean()) for each in readings)

    return Change(
        trait=measured.trait or "",
        category=subject.reader.traits[index].category,
        estimate=measured.estimate or 0.0,
        low=measured.low,
        high=measured.high,
        intended=measured.trait in subject.intended,
        verdict=verdict_of(measured),
        base=float(subject.untouched.margins[index].mean()),
        tuned=means(subject.tuned),
        controls=means(subject.controls),
    )


def verdict_of(measured: Measurement) -> Verdict:
    """`flagged` where the corrected interval lies beyond the limit, up or down; `clear` where the uncorrected lies within."""
    limit = measured.limit or 0.0
    low = -math.inf if measured.low is None else measured.low
    high = math.inf if measured.high is None else measured.high
    if low > limit or high < -limit:
        return "flagged"
    within = (
        float(measured.details["clear low"]) > -limit
        and float(measured.details["clear high"]) < limit
    )
    return "clear" if within else "undecided"


def conclusion(
    verdict: Verdict,
    changes: Sequence[Change],
    moved: Sequence[Moved],
    limit: float,
    unit: str = "logits",
) -> str:
    """The answer in one or two sentences."""
    unasked = [c for c in changes if not c.intended]
    flagged = [c for c in unasked if c.verdict == "flagged"]
    asked = [c for c in changes if c.intended]
    sentences = []
    if asked:
        sentences.append(
            f"of what was asked for, '{asked[0].trait}' moved by {asked[0].estimate:+.2f} {unit}."
        )
    if flagged:
        names = ", ".join(f"'{c.trait}' by {c.estimate:+.2f}" for c in flagged[:3])
        more = f" and {len(flagged) - 3} more" if len(flagged) > 3 else ""
        sentences.append(
            f"moved though nobody asked for it: {names}{more} {unit}; limit {limit:g}."
        )
    elif verdict == "clear":
        sentences.append(
            f"none of {len(unasked)} traits that nobody asked for moved by {limit:g} {unit}."
        )
    elif unasked:
        first = unasked[0]
        undecided = sum(c.verdict == "undecided" for c in unasked)
        sentences.append(
            f"nothing can be said of {undecided} of {len(unasked)} traits: "
            f"the largest change is '{first.trait}' by {first.estimate:+.2f} {unit}."
        )
    known = {c.trait for c in changes}
    probes = [one for one in moved if one.what == "probe" and one.name not in known]
    if probes:
        sentences.append(f"Of what nobody named, '{probes[0].name}' moved most surely.")
    return " ".join(one if n == 0 else one[0].upper() + one[1:] for n, one in enumerate(sentences))
