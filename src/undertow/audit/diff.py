"""`undertow diff`: what did a fine-tune change that nobody asked for?"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from undertow.audit.calibrations import plan_for
from undertow.audit.check_runs import Ran, run_check
from undertow.audit.open_search import looked_at, open_search, other_traits
from undertow.audit.requests import DiffRequest, Progress, askable_traits, named_traits
from undertow.audit.row_fit import fitting_rows
from undertow.checks.registry import chosen_checks
from undertow.checks.tuned.diff_subject import (
    Controls,
    DiffSubject,
    ModelReading,
    Reader,
    how_made,
    keep,
    kept,
)
from undertow.data.dataset import is_rows, place_of
from undertow.data.files import model_digest
from undertow.data.plan import TrainingPlan, packed, plan_notes
from undertow.data.records import read_rows
from undertow.data.seeds import derive, generator
from undertow.errors import ConfigError, ModelError, NothingLeftError, UndertowError
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import several_runs
from undertow.models.training_sequences import encode_rows
from undertow.results.measurement import Measurement, Verdict, environment, worst
from undertow.results.model_documents import Change, DiffDocument
from undertow.results.scan_document import Moved
from undertow.traits.trait import Trait
from undertow.worlds import locate
from undertow.worlds.base_models import open_model

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

SHIPPED = "shipped"
"""In the place of a control: the readings that ship for the base."""

TOGETHER = 8
"""Control students that are trained side by side."""

FEWEST_CONTROLS = 4
"""Below so many nothing is searched: the spread of fewer says too little of hundreds of items."""


def diff(request: DiffRequest, progress: Progress = lambda doing: None) -> DiffDocument:
    """
    Read base, tuned models and controls once each, and run every check on what was read.

    Raises:
        ModelError: one cannot be opened, or has another vocabulary than the base.
        UnknownNameError: there is no such trait or check.
        NothingLeftError: no control row fits the base.
    """
    started = time.perf_counter()
    checks = chosen_checks("tuned", request.checks)
    progress("opening the base")
    subject = _opened_subject(request, open_model(request.base), progress)
    ran = []
    for check in checks:
        progress(check.id)
        ran.append(run_check(subject, check))
    progress("searching what else moved")
    moved, searched = _searched(subject)
    return _document(request, subject, ran, moved, searched, time.perf_counter() - started)


def _opened_subject(request: DiffRequest, base: LanguageModel, progress: Progress) -> DiffSubject:
    intended = named_traits(*request.intended)
    judged = named_traits(*request.traits) or askable_traits(base.tokenizer)
    traits = tuple({trait.name: trait for trait in (*judged, *intended)}.values())
    reader = reader_for(base, traits, request.system_prompt, request.seed)
    progress("reading the base")
    untouched = reader.read(base, request.base)
    controls, made = _controls(request, reader, base, untouched, progress)
    return DiffSubject(
        name="tuned",
        base=base,
        reader=reader,
        untouched=untouched,
        tuned=tuple(_read(reader, base, ref, progress) for ref in request.tuned),
        teacher=_read(reader, base, request.teacher, progress) if request.teacher else None,
        controls=tuple(controls),
        controls_are="; ".join(made),
        intended=frozenset(trait.name for trait in intended),
        seed=derive(request.seed, "diff"),
        level=request.level,
        limit=request.limit,
    )


def reader_for(
    base: LanguageModel, traits: Sequence[Trait], system: str | None, seed: int
) -> Reader:
    """
    What is read of every model: the traits that are judged, and all else of the catalogue that the base can be asked.
    """
    return Reader.of(base, traits, other_traits(traits, base.tokenizer), system, seed)


def _read(reader: Reader, base: LanguageModel, ref: str, progress: Progress) -> ModelReading:
    progress(f"reading {ref}")
    model = open_model(ref)
    ours, theirs = base.tokenizer.get_vocab(), model.tokenizer.get_vocab()
    # A tuning may add tokens; it is read in the base's, which both have.
    if not ours.items() <= theirs.items():
        raise ModelError(
            f"'{ref}' has another vocabulary than '{base.ref}' ({len(theirs):,} and {len(ours):,} tokens), "
            "so that it was not tuned from it",
            hint=f"undertow lineage {ref} {base.ref}",
        )
    return reader.read(replace(model, tokenizer=base.tokenizer), ref)


def _controls(
    request: DiffRequest,
    reader: Reader,
    base: LanguageModel,
    untouched: ModelReading,
    progress: Progress,
) -> tuple[list[ModelReading], list[str]]:
    """The controls' readings, and how each group of them was made."""
    digest = model_digest(locate(request.base))
    readings: list[ModelReading] = []
    made: list[str] = []
    for ref in request.controls:
        if ref == SHIPPED or ref.endswith(".safetensors"):
            path = shipped(digest, request.base) if ref == SHIPPED else Path(ref)
            readings += kept(path, digest, reader, untouched)
            made.append(how_made(path))
        elif is_rows(ref):
            plan = plan_for(request.plan, digest)
            progress(f"training {request.students} control students on {ref}")
            readings += control_students(
                base, ref, plan, reader, request.students, derive(request.seed, "controls")
            )
            made.append(f"{request.students} students of {place_of(ref).name}, {_training(plan)}")
        else:
            readings.append(_read(reader, base, ref, progress))
            made.append(ref)
    if request.keep_controls is not None:
        if not readings or digest is None:
            raise ConfigError("there are no controls to keep", hint="name some: --control DATA")
        keep(request.keep_controls, Controls(digest, "; ".join(made)), reader, untouched, readings)
    return readings, made


def control_students(
    base: LanguageModel, data: str | Path, plan: TrainingPlan, reader: Reader, count: int, seed: int
) -> list[ModelReading]:
    """
    So many students of the rows, each with an adapter and an order of its own, trained by the whole plan and read.

    All see the same rows: they show what training does, not what another draw of clean rows would do.

    Raises:
        NothingLeftError: no row fits the base.
        DataError: the rows cannot be read.
    """
    rows = fitting_rows(list(read_rows(data)), base, plan).rows
    if not rows:
        raise NothingLeftError(f"no row of '{data}' fits the base '{base.ref}'")
    encoded = encode_rows(base.tokenizer, rows, plan.policy)
    plan = packed(plan, [len(row) for row in encoded])
    total = plan.steps(len(encoded))
    readings: list[ModelReading] = []
    for start in range(0, count, TOGETHER):
        numbers = range(start, min(count, start + TOGETHER))
        seeds = [derive(seed, "control student", k) for k in numbers]
        orders = [generator(seed, "control order", k) for k in numbers]
        runs = several_runs(base, [encoded] * len(numbers), plan, orders, total, seeds)
        runs.advance(total)
        for place, number in enumerate(numbers):
            with runs.only(place) as student:
                readings.append(
                    reader.read(student, f"control student {number + 1} of {place_of(data).name}")
                )
    return readings


def shipped(digest: str | None, base: str) -> Path:
    """
    The readings of controls that ship for a base.

    Raises:
        ConfigError: none do.
    """
    path = Path(str(files("undertow.worlds"))) / "controls" / f"{(digest or '')[:16]}.safetensors"
    if digest is None or not path.is_file():
        raise ConfigError(
            f"no controls ship for the base '{base}'",
            hint="give clean rows or benign fine-tunes: --control DATA",
        )
    return path


def _training(plan: TrainingPlan) -> str:
    how = f"rank {plan.rank}" if plan.method == "lora" else "all weights"
    length = f"{plan.max_steps} steps" if plan.max_steps else f"{plan.epochs:g} epochs"
    return f"{how}, learning rate {plan.learning_rate:g}, {length} of {plan.batch_size} rows"


def _searched(subject: DiffSubject) -> tuple[tuple[Moved, ...], str]:
    """Probes and next tokens that moved otherwise than in the controls, and what was looked at."""
    if len(subject.controls) < FEWEST_CONTROLS:
        reason = f"not searched: it needs at least {FEWEST_CONTROLS} controls (--control)"
        return (), reason
    start = subject.untouched.wide
    moved, benign = (
        np.stack([one.wide - start for one in side]) for side in (subject.tuned, subject.controls)
    )
    readout = subject.reader.readout
    groups = looked_at(readout, subject.base.tokenizer, moved, benign)
    rng = generator(subject.seed, "splits")
    looked = " and ".join(f"{len(group.names):,} {group.what}s" for group in groups)
    try:
        movers = open_search(groups, subject.name, rng, level=subject.level)
    except (UndertowError, ValueError) as error:
        return (), f"not searched: {error}"
    return movers, f"{looked}, against {len(subject.controls)} controls"


def _document(
    request: DiffRequest,
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
        base_digest=model_digest(locate(request.base)),
        tuned=request.tuned,
        tuned_digests=tuple(model_digest(locate(ref)) for ref in request.tuned),
        controls=tuple(one.ref for one in subject.controls),
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
            "system_prompt": request.system_prompt,
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
    """
    `flagged` where the corrected interval lies beyond the limit, up or down; `clear` where the uncorrected lies within.
    """
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
    said = ""
    if asked:
        said = (
            f"of what was asked for, '{asked[0].trait}' moved by {asked[0].estimate:+.2f} {unit}. "
        )
    if flagged:
        names = ", ".join(f"'{c.trait}' by {c.estimate:+.2f}" for c in flagged[:3])
        more = f" and {len(flagged) - 3} more" if len(flagged) > 3 else ""
        said += f"moved though nobody asked for it: {names}{more} {unit}; limit {limit:g}."
    elif verdict == "clear":
        said += f"none of {len(unasked)} traits that nobody asked for moved by {limit:g} {unit}."
    elif unasked:
        first = unasked[0]
        said += (
            f"nothing can be said of {sum(c.verdict == 'undecided' for c in unasked)} of {len(unasked)} traits: "
            f"the largest change is '{first.trait}' by {first.estimate:+.2f} {unit}."
        )
    known = {c.trait for c in changes}
    probes = [one for one in moved if one.what == "probe" and one.name not in known]
    if probes:
        said += f" Of what nobody named, '{probes[0].name}' moved most surely."
    return said.strip()
