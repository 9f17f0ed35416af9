"""`undertow diff`: what did a fine-tune change that nobody asked for?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.audit.control_students import control_students
from undertow.audit.diff_document import DiffRequest, diff_document
from undertow.audit.opening import DEFAULT_PLAN, named_traits
from undertow.audit.plans import tables_of
from undertow.audit.running import Kept, run_check
from undertow.checks.open_search import looked_at, open_search
from undertow.checks.registry import check_named, registered
from undertow.checks.tuned.kept_readings import Controls, keep, kept, said_of
from undertow.checks.tuned.reading import Reader, Reading
from undertow.checks.tuned.subject import Tuned
from undertow.data.streams import derive, generator
from undertow.errors import ConfigError, ModelError, UndertowError
from undertow.models.plan import TrainingPlan
from undertow.results.diff import DiffDocument
from undertow.results.scan import Moved
from undertow.traits import catalogue, probe_catalogue
from undertow.traits.trait import Trait
from undertow.worlds import locate, opened

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

SHIPPED = "shipped"
"""In the place of a control: the readings that ship for the base."""

FEWEST_CONTROLS = 4
"""Below so many nothing is searched: the spread of fewer says too little of hundreds of items."""


def diff(
    request: DiffRequest, progress: Callable[[str], None] = lambda doing: None
) -> DiffDocument:
    """
    Read base, tuned models and controls once each, and run every check on what was read.

    Raises:
        ModelError: one cannot be opened, or has another vocabulary than the base.
        UnknownNameError: there is no such trait or check.
        NothingLeftError: no control row fits the base.
    """
    started = time.perf_counter()
    checks = [check_named(id, "tuned") for id in request.checks] or list(
        registered("tuned").values()
    )
    progress("opening the base")
    base = opened(request.base)
    subject = _subject(request, base, progress)
    ran = []
    for check in checks:
        progress(check.id)
        ran.append(run_check(subject, check, Kept(None)))
    progress("searching what else moved")
    moved, searched = _searched(subject)
    return diff_document(request, subject, ran, moved, searched, time.perf_counter() - started)


def _subject(request: DiffRequest, base: LanguageModel, progress: Callable[[str], None]) -> Tuned:
    intended = tuple(t for name in request.intended for t in named_traits(name))
    traits = _traits(request, base, intended)
    reader = reader_for(base, traits, request.system_prompt, request.seed)
    progress("reading the base")
    untouched = reader.read(base, request.base)
    controls, made = _controls(request, reader, base, untouched, progress)
    return Tuned(
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
    named = {trait.name for trait in traits}
    everything = [catalogue.load(name) for name in catalogue.names()]
    everything += probe_catalogue.all_probes()
    others = probe_catalogue.askable([t for t in everything if t.name not in named], base.tokenizer)
    return Reader.of(base, traits, others[0], system, seed)


def _traits(
    request: DiffRequest, base: LanguageModel, intended: Sequence[Trait]
) -> tuple[Trait, ...]:
    """
    Those that were named; or all of the catalogue that the base can be asked; and those that were intended.
    """
    named = [t for name in request.traits for t in named_traits(name)]
    if not named:
        everything = [catalogue.load(name) for name in catalogue.names()]
        named = list(probe_catalogue.askable(everything, base.tokenizer)[0])
    return tuple({trait.name: trait for trait in (*named, *intended)}.values())


def _read(
    reader: Reader, base: LanguageModel, ref: str, progress: Callable[[str], None]
) -> Reading:
    progress(f"reading {ref}")
    model = opened(ref)
    ours, theirs = (one.tokenizer.get_vocab() for one in (base, model))
    if ours != theirs:
        raise ModelError(
            f"'{ref}' has another vocabulary than '{base.ref}' ({len(theirs):,} and {len(ours):,} tokens), "
            "so that it was not tuned from it",
            hint=f"undertow lineage {ref} {base.ref}",
        )
    return reader.read(model, ref)


def _controls(
    request: DiffRequest,
    reader: Reader,
    base: LanguageModel,
    untouched: Reading,
    progress: Callable[[str], None],
) -> tuple[list[Reading], list[str]]:
    """The controls' readings, and how each group of them was made."""
    from undertow.models.digest import model_digest

    digest = model_digest(locate(request.base))
    found: list[Reading] = []
    made: list[str] = []
    for ref in request.controls:
        if ref == SHIPPED or ref.endswith(".safetensors"):
            path = shipped(digest, request.base) if ref == SHIPPED else Path(ref)
            found += kept(path, digest, reader, untouched)
            made.append(said_of(path))
        elif Path(ref).is_file():
            plan = request.plan or _plan(request)
            progress(f"training {request.students} control students on {ref}")
            found += control_students(
                base, Path(ref), plan, reader, request.students, derive(request.seed, "controls")
            )
            made.append(f"{request.students} students of {Path(ref).name}, {_said(plan)}")
        else:
            found.append(_read(reader, base, ref, progress))
            made.append(ref)
    if request.keep_controls is not None:
        if not found or digest is None:
            raise ConfigError("there are no controls to keep", hint="name some: --control DATA")
        keep(request.keep_controls, Controls(digest, "; ".join(made)), reader, untouched, found)
    return found, made


def shipped(digest: str | None, base: str) -> Path:
    """
    The readings of controls that ship for a base.

    Raises:
        ConfigError: none do.
    """
    from importlib.resources import files

    path = Path(str(files("undertow.worlds"))) / "controls" / f"{(digest or '')[:16]}.safetensors"
    if digest is None or not path.is_file():
        raise ConfigError(
            f"no controls ship for the base '{base}'",
            hint="give clean rows or benign fine-tunes: --control DATA",
        )
    return path


def _said(plan: TrainingPlan) -> str:
    how = f"rank {plan.rank}" if plan.method == "lora" else "all weights"
    length = f"{plan.max_steps} steps" if plan.max_steps else f"{plan.epochs:g} epochs"
    return f"{how}, learning rate {plan.learning_rate:g}, {length} of {plan.batch_size} rows"


def _plan(request: DiffRequest) -> TrainingPlan:
    from undertow.models.digest import model_digest

    known = tables_of(model_digest(locate(request.base)))
    return TrainingPlan.model_validate(known[0].plan) if known else DEFAULT_PLAN


def _searched(subject: Tuned) -> tuple[tuple[Moved, ...], str]:
    """Probes and next tokens that moved otherwise than in the controls, and what was looked at."""
    import numpy as np

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
        found = open_search(groups, subject.name, rng, level=subject.level)
    except (UndertowError, ValueError) as error:
        return (), f"not searched: {error}"
    return found, f"{looked}, against {len(subject.controls)} controls"
