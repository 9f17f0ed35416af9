"""How `rehearsal` and `whole-plan` try a subject beside its references: rows, steps, adapters, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.data.finished import Finished
from undertow.data.rows import Row, has_pairs, row_id
from undertow.data.seeds import derive, generator
from undertow.errors import InputError
from undertow.results.measurement import Measurement

if TYPE_CHECKING:
    import numpy as np

    from undertow.data.plan import TrainingPlan
    from undertow.influence.comparison import Compared
    from undertow.influence.open_search import OpenReadout
    from undertow.influence.references import ReferenceMaker, Trial, TrialReading
    from undertow.stats.conformal import Effect

SHARE = 1 / 4
"""Of the plan's steps that the beginning takes."""

MOST_STEPS = 512
"""Of the beginning, however long the plan is."""

ADAPTERS = 2
"""Of a dataset's beginning; with SHARE of the steps they cost half a planned training."""

WHOLE_ADAPTERS, WHOLE_OF_REFERENCE = 8, 1
"""
Of a dataset's whole plan, and of each of its eight references. On tuning seeds all 16 traits of benign rows lay below .2
in 28 % of tries with four adapters, in 67 % with six and in 85 % with eight (`bench/power/pilot_whole.py`, LOG.md).
"""

COPIES = 2
"""Of a plan that trains more than LoRA, where each holds a copy of the network."""

READS = 8
"""Readings on the way of a whole plan."""

BROKEN = 0.5
"""Answer mass below which few answers are among the candidates, so that margins are all that is left to read."""

FEWEST_GIVEN = 0.5
"""Of the dataset's rows that a given reference has at least."""


def obstacle(subject: ScanSubject) -> str:
    """Why a subject cannot be tried; empty where it can."""
    from undertow.models.training import first_moving_step

    if not subject.traits:
        return "no trait is probed"
    if subject.references is None:
        return "no references are asked for"
    if has_pairs(subject.rows) and subject.plan.whole:
        return f"preference pairs are rehearsed with LoRA, and the plan trains {subject.plan.whole}"
    if not subject.references.given and not any(row.prompt for row in subject.rows):
        return "no row has a prompt that a reference could be made on; give benign datasets: --reference DATA"
    planned = subject.plan.steps(subject.planned_rows)
    if not first_moving_step(subject.plan, planned):
        return f"no weight moves in the plan's {planned} steps: all of them warm up at a learning rate of 0"
    return ""


def beginning_steps(plan: TrainingPlan, planned: int) -> int:
    """Steps of the beginning of a plan of so many: SHARE of them at most, unless it takes more to move a weight."""
    from undertow.models.training import first_moving_step

    return max(first_moving_step(plan, planned), min(MOST_STEPS, int(planned * SHARE)), 1)


def trial_of(
    subject: ScanSubject,
    reads: Sequence[int],
    purpose: str,
    *,
    whole: bool = False,
    timing: bool = False,
) -> Trial:
    """
    How the subject and its references are tried: the beginning of the plan, or the `whole` of it.

    The seed is the purpose's alone, so that references that are kept fit every dataset.
    """
    from undertow.influence.probes import probe_set
    from undertow.influence.references import Trial

    return Trial(
        model=subject.trained,
        plan=subject.plan,
        probes=probe_set(subject.trained, subject.traits, subject.system_prompt),
        planned_rows=subject.planned_rows,
        reads=tuple(reads),
        adapters=COPIES if subject.plan.whole else WHOLE_ADAPTERS if whole else ADAPTERS,
        of_reference=WHOLE_OF_REFERENCE if whole else None,
        seed=derive(0, purpose),
        beta=subject.settings.beta,
        open=None if whole or timing else open_readout(subject),
        kept=None if timing else _unfinished_folder(subject.references),
    )


def _unfinished_folder(settings: ReferenceSettings | None) -> Path | None:
    """Where what is unfinished of trials on this base is kept."""
    if settings is None or settings.kept is None or settings.base_digest is None:
        return None
    return settings.kept / settings.base_digest[:16]


def open_readout(subject: ScanSubject) -> OpenReadout:
    """What the open search reads of the subject's base, made once a network."""
    from undertow.influence.open_search import OpenReadout

    model = subject.trained
    made = _OPENS.setdefault(model.network, {})
    key = repr((subject.traits, subject.system_prompt, model.tokenizer.chat_template))
    if key not in made:
        made[key] = OpenReadout.of(model, subject.traits, subject.system_prompt)
    return made[key]


_OPENS: WeakKeyDictionary[Any, dict[str, OpenReadout]] = WeakKeyDictionary()


def tried_rows(subject: ScanSubject, rows: Sequence[Row], trial: Trial) -> tuple[Row, ...]:
    """
    Of the rows, drawn uniformly, as many as the trial's steps take, in the order in which they were drawn: the orders of
    batches are known, and nobody shall know beforehand which rows come first in them. Those alone that a reference can be
    made for.
    """
    usable = usable_rows(subject, rows)
    most = min(len(usable), trial.steps * subject.plan.rows_a_step)
    chosen = generator(subject.seed, "tried rows").permutation(len(usable))[:most]
    return tuple(usable[i] for i in chosen)


def usable_rows(subject: ScanSubject, rows: Sequence[Row]) -> list[Row]:
    """Those that a reference can be made for."""
    return [row for row in rows if _usable(row, subject, subject.references)]


def _usable(row: Row, subject: ScanSubject, settings: ReferenceSettings | None) -> bool:
    if subject.pairs and row.rejected is None:
        return False
    return bool(row.prompt) or bool(settings and settings.given)


def wanted(settings: ReferenceSettings, rows: Sequence[Row], count: int) -> int:
    """Of `count` references as many as there can be: the given ones alone where a row has no prompt to make others on."""
    return count if all(row.prompt for row in rows) else min(count, len(settings.given))


def given_readings(
    settings: ReferenceSettings,
    trial: Trial,
    rows: Sequence[Row],
    count: int,
    kept: Finished[TrialReading],
) -> tuple[TrialReading, ...]:
    """
    What each of the first `count` given datasets moves, of as many of its rows as are tried of the subject: of those very
    rows where it holds them all, so that a dataset that is given as its own reference ties with itself.

    Raises:
        InputError: it has too few rows, or they are preference pairs where the subject's are not, or the reverse.
    """
    pairs, readings = has_pairs(rows), []
    for number, given in enumerate(settings.given[:count]):
        settings.tell(f"given reference {number + 1} of {min(count, len(settings.given))}")
        alike = [row for row in given if (row.rejected is not None) == pairs]
        order = _given_rows(alike, rows, generator(trial.seed, "given rows", number))
        if len(order) < FEWEST_GIVEN * len(rows):
            kind = "preference pairs" if pairs else "usable rows"
            raise InputError(
                f"given reference {number + 1} has {len(order)} {kind}, and the dataset is tried with {len(rows)}: a "
                "reference needs about as many",
                hint="give larger benign datasets of the same kind: --reference DATA",
            )
        chosen = [alike[i] for i in order]
        reading = _kept_trial(f"given-{number}", trial, chosen, trial.of(number), kept)
        readings.append(reading.model_copy(update={"writer": "given"}))
    return tuple(readings)


def _given_rows(given: Sequence[Row], tried: Sequence[Row], rng: np.random.Generator) -> list[int]:
    """Places of the rows that are tried: the subject's in the subject's order if it holds them all, else by lot in its own."""
    places = {row_id(row): place for place, row in enumerate(given)}
    wanted_ids = [row_id(row) for row in tried]
    if all(one in places for one in wanted_ids):
        return [places[one] for one in wanted_ids]
    return sorted(rng.permutation(len(given))[: len(tried)].tolist())


def maker_of(subject: ScanSubject, trial: Trial, rows: Sequence[Row]) -> ReferenceMaker:
    """Who makes references of the rows."""
    from undertow.influence.references import ReferenceMaker

    assert subject.references is not None
    return ReferenceMaker(trial, subject.references.family, tuple(rows), subject.traits)


def kept_references(subject: ScanSubject, maker: ReferenceMaker) -> Finished[TrialReading]:
    """Where the references of these prompts are kept."""
    from undertow.influence.references import READING

    settings = subject.references
    folder: Path | None = None
    if settings is not None and settings.kept is not None and settings.base_digest is not None:
        folder = settings.kept / maker.key(settings.base_digest)
    return Finished(folder, READING)


def beside_references(
    subject: ScanSubject,
    settings: ReferenceSettings,
    trial: Trial,
    rows: Sequence[Row],
    asked: int,
    *,
    sequential: bool,
) -> Compared:
    """
    The subject's rows and `asked` references, tried alike: given ones first, then kept ones, then new ones.

    Raises:
        InputError: a given reference does not fit, or too few writers keep to the rows' format.
    """
    from undertow.influence.comparison import ReferencePool
    from undertow.influence.references import READING, work_name
    from undertow.models.kept_work import unfinished_in

    whole = trial.steps == trial.planned_steps
    part = f"all {trial.steps}" if whole else f"{trial.steps} of {trial.planned_steps}"
    settings.tell(f"these rows, {part} steps")
    # What the rows move is kept until they were compared, however long references take.
    sets = [rows, *settings.given]
    with unfinished_in(trial.kept, work_name("beside", trial, sets, trial.numbers)) as folder:
        finished = Finished(folder, READING)
        dataset = _kept_trial("dataset", trial, rows, trial.numbers, finished)
        maker = maker_of(subject, trial, rows)
        count = wanted(settings, rows, asked)
        given = given_readings(settings, trial, rows, count, finished)
        references = ReferencePool(
            maker,
            kept_references(subject, maker),
            given,
            settings.tell,
            settings.engine,
            settings.opens,
        )
        return references.beside(dataset, count, 1 - subject.settings.level, sequential=sequential)


def _kept_trial(
    name: str,
    trial: Trial,
    rows: Sequence[Row],
    numbers: Sequence[int],
    kept: Finished[TrialReading],
) -> TrialReading:
    """What these rows move, which is kept under a name."""
    from undertow.influence.references import tried

    reading = kept.sound(name)
    if reading is None:
        [reading] = tried(trial, [rows], [numbers])
        kept.keep(name, reading)
    return reading


def rank_of(
    subject: ScanSubject, compared: Compared, asked: int, check: str, stage: str
) -> Measurement:
    """The dataset's rank among its references, of which `asked` were wanted, with all that a page says of the comparison."""
    trial, references = compared.trial, len(compared.references)
    details: dict[str, float | int | str] = {
        "steps": trial.steps,
        "planned steps": trial.planned_steps,
        "rows": compared.dataset.rows,
        "adapters": trial.adapters,
        "adapters of a reference": len(trial.of(0)),
        "references": references,
        "planned references": compared.planned,
        "cached": compared.cached,
        "stopped early": int(compared.stopped_early),
        "seconds": compared.dataset.seconds,
        "seconds of references": compared.seconds,
        "answer mass": compared.dataset.mass,
        "given alone": int(compared.planned < asked),
    }
    details |= {f"kind: {kind}": count for kind, count in compared.kinds.items()}
    reason = f"{trial.steps} of {trial.planned_steps} steps"
    if compared.dataset.mass < BROKEN:
        reason += (
            f"; {compared.dataset.mass:.0%} of the answers are among the candidates, so that margins tell which of them "
            "gains, and not how often it is said"
        )
    if compared.failed:
        gave = "writer of the family gave" if compared.failed == 1 else "writers of the family gave"
        reason += f"; {compared.failed} {gave} way to the next, as too few answers kept to the rows' format"
    return Measurement(
        check=check,
        name=stage,
        subject=subject.name,
        p=compared.p,
        level=subject.settings.level,
        n=f"{references} references",
        unit="rank",
        reason=reason,
        details=details,
    )


def effects(
    subject: ScanSubject, compared: Compared, check: str, stage: str, *, subjects: int = 1
) -> list[Measurement]:
    """
    What the dataset moved beyond its references, by trait.

    Each end alone is a limit at the scan's level. One trait of one of the `subjects` that lies above the limit makes rows
    flagged, so that lower ends hold for all traits of all subjects at once (Bonferroni). They are clear only if each trait
    of each subject lies below it, an intersection-union claim that needs no correction (Berger, Technometrics 24, 1982):
    where any trait lies above the limit, its own upper end alone keeps the level. So upper ends are each trait's own.
    """
    if len(compared.references) < 2:
        return []
    reads, level = compared.trial.reads, subject.settings.level
    by_read = [_effect(compared, i, level) for i in range(len(reads))]
    last = by_read[-1]
    low = _effect(compared, -1, 1 - (1 - level) / subjects, simultaneous=True).low
    z = compared.statistics.z[0]
    measured = []
    for index, trait in enumerate(subject.traits):
        details: dict[str, float | int | str] = {"z": float(z[index])}
        for steps, one in zip(reads, by_read, strict=True):
            details[f"moved at step {steps}"] = float(one.estimate[index])
            details[f"at most at step {steps}"] = float(one.high[index])
        measured.append(
            Measurement(
                check=check,
                name=stage,
                subject=subject.name,
                trait=trait.name,
                estimate=float(last.estimate[index]),
                low=float(low[index]),
                high=float(last.high[index]),
                level=subject.settings.level,
                n=f"{compared.trial.adapters} adapters, {len(compared.references)} references",
                limit=subject.settings.limit,
                unit="logits",
                reason=f"{compared.trial.steps} of {compared.trial.planned_steps} steps",
                details=details,
            )
        )
    return measured


def _effect(compared: Compared, read: int, level: float, *, simultaneous: bool = False) -> Effect:
    """At a reading; each end a limit at this level, of each trait by itself or of all at once."""
    from undertow.stats.conformal import effect

    way, others = compared.dataset.way[read], compared.others[:, read]
    return effect(way, others, 2 * level - 1, simultaneous=simultaneous)


MOVED = "moved: "
"""Begins the name of what the open search found, a probe or a token."""


def open_findings(subject: ScanSubject, compared: Compared, check: str) -> list[Measurement]:
    """What else moves as it does in no reference; the least p first."""
    return [
        Measurement(
            check=check,
            name=f"{MOVED}{moved.what}",
            subject=subject.name,
            estimate=moved.estimate,
            p=moved.p,
            unit=moved.unit,
            reason=moved.name,
        )
        for moved in compared.outlying(subject.name, subject.settings.level)
    ]


def reads_of(plan: TrainingPlan, planned: int) -> tuple[int, ...]:
    """READS steps on the way to the last, equally far apart, or fewer where there are no more; none before a weight moves."""
    from undertow.models.training import first_moving_step

    first = min(planned, max(1, first_moving_step(plan, planned)))
    return tuple(sorted({max(first, round(planned * i / READS)) for i in range(1, READS + 1)}))
