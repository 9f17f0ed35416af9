"""What each check of a scan takes, by what it reads, draws and trains: counted in rows, told in operations and seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from undertow.audit.model_placing import Placing
from undertow.checks.dataset.content import MOST_ROWS as ASKED_ROWS
from undertow.checks.dataset.likelihood_ratio import SCORED_ROWS
from undertow.checks.dataset.reference_trials import (
    ADAPTERS,
    COPIES,
    READS,
    WHOLE_ADAPTERS,
    WHOLE_OF_REFERENCE,
    beginning_steps,
)
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.scan_subject import MOST_ROWS, ReferenceSettings
from undertow.checks.dataset.whole_plan import ID as WHOLE
from undertow.checks.dataset.written_by_base import (
    KEPT_OF_A_KIND,
    MOST_LEARNED,
    MOST_TESTED,
    RACED,
    SHARES,
    STRENGTHS,
)
from undertow.checks.registry import Registered
from undertow.data.plan import TrainingPlan
from undertow.influence.reference_rows import MOST_CONTROL_ROWS
from undertow.influence.references import TOGETHER
from undertow.influence.shifted_versions import BATCH, EPOCHS
from undertow.models.meta_costs import ModelCosts, RowSize

READ = 0.6
"""Of its bandwidth that drawing one token after the other reaches; assumed."""

SIDE_BY_SIDE = 256
"""Rows of a pass, and at most of those that are sampled at a time."""

PROBE_TOKENS = 48
"""Of a question in its template, by which a persona is read."""

NULLS = 2
"""Versions of the base that the null of `likelihood-ratio` has."""

ROW_SECONDS = 1.6e-5
"""Of a core, for a row of some 200 bytes in the pass over all rows; measured (docs/scale.md), where it is not timed."""

COMPARED_SECONDS = 5e-5
"""Of a core, for a token of `fingerprint` with its rearrangements; .024 ms and .047 ms were measured at 2,048 and 512 rows."""

ROWS, CONTROL = "rows", "control"
"""What a scan does beside its checks."""


@dataclass(frozen=True)
class ScanSize:
    """What of a scan its cost hangs on."""

    plan: TrainingPlan
    rows: int
    """Of the planned training."""
    size: RowSize
    probes: int
    """Tokens that a reading of the probes computes."""
    references: int
    catalogue: int
    """Tokens that the open search reads."""
    traits: int = 25
    """That are asked."""
    personas: int = 992
    """Prompts by which the directions of the traits' personas are read once; 0 where a template has no system prompts."""
    persona: int = 17
    """Tokens of such a system prompt."""
    question: int = 44
    """Tokens of the question that `content` asks about a completion."""
    sampled: int = 8_192
    """Rows that model checks see at most."""
    sources: tuple[int, ...] = ()
    """Planned rows of each source that is judged by itself."""
    otherwise: bool = False
    """Whether the whole is rehearsed under the other common loss as well, where the plan names none."""
    pairs: bool = False
    """Whether rows are preference pairs."""
    given_control: bool = False
    """Whether the control need not be made."""
    given_references: int = 0
    """Of the references, datasets that are there."""
    whole: bool = False
    """Whether the whole plan is rehearsed whatever its beginning shows."""
    reading: float | None = None
    """Seconds of the pass over all rows, where it was timed."""
    teacher: ModelCosts | None = None
    candidates: tuple[ModelCosts, ...] = ()
    placebos: tuple[ModelCosts, ...] = ()

    @property
    def others(self) -> tuple[ModelCosts, ...]:
        """Models beside the student."""
        teacher = () if self.teacher is None else (self.teacher,)
        return (*teacher, *self.candidates, *self.placebos)

    @property
    def subjects(self) -> tuple[ScanSize, ...]:
        """The whole, then each source, as one subject each."""
        return tuple(replace(self, rows=rows, sources=()) for rows in (self.rows, *self.sources))

    @property
    def rehearsed(self) -> tuple[ScanSize, ...]:
        """The subjects of which transfer is judged."""
        return (*self.subjects, *self.subjects[: int(self.otherwise)])

    def looked_at(self, most: int) -> int:
        """Of a subject's rows those that a check looks at, which looks at `most`."""
        return min(self.rows, self.sampled, most)

    def behind(self, tokens: int) -> float:
        """What a row takes behind so many tokens more, in rows."""
        return (self.size.tokens + tokens) / self.size.tokens


@dataclass(frozen=True)
class CheckPrice:
    """What one check takes, or a part of it."""

    check: str
    """Its id, or `ROWS` or `CONTROL`."""
    operations: float
    seconds: float
    note: str = ""
    part: str = ""

    @property
    def label(self) -> str:
        """Check and part."""
        return f"{self.check}: {self.part}" if self.part else self.check

    def hours(self, where: Placing) -> float:
        """Of accelerators: all that a scan takes are held as long as it takes."""
        return where.used * self.seconds / 3600

    def cost(self, where: Placing) -> float | None:
        """In whatever an hour's price is counted; None where it has none."""
        hourly = where.machine.hourly
        return None if hourly is None else self.hours(where) * hourly


@dataclass(frozen=True)
class ModelWork:
    """Rows that a model trains on, scores and draws."""

    trained: float = 0
    steps: float = 0
    """Of training, of however many adapters side by side."""
    scored: float = 0
    drawn: float = 0
    costs: ModelCosts | None = None
    """Of another model than the student."""


@dataclass(frozen=True)
class CheckWork:
    """What a check, or a part of it, has the models do for one subject."""

    works: tuple[ModelWork, ...] = ()
    note: str = ""
    part: str = ""
    processor: float = 0.0
    """Seconds without a model."""


Counted = Callable[[ScanSize, Placing], Iterable[CheckWork]]


def check_prices(
    scan: ScanSize, where: Placing, checks: Sequence[Registered]
) -> Iterator[CheckPrice]:
    """
    What a scan with these checks takes, over all its subjects, at most: the pass over all rows, the control, then check by
    check. What costs nothing has a note that says why; references that are kept cost nothing.
    """
    reading = ROW_SECONDS * scan.rows if scan.reading is None else scan.reading
    yield CheckPrice(ROWS, 0, reading, f"{scan.rows:,} of them, read by one process; no model")
    # Evidence alone is held against a control.
    if any(check.kind == "evidence" for check in checks):
        yield from _priced(CONTROL, _control, scan.subjects, scan.size, where)
    named = [check.id for check in checks]
    if WHOLE not in named and (scan.whole or BEGINNING in named):
        named.append(WHOLE)
    for check in named:
        subjects = scan.rehearsed if check in (BEGINNING, WHOLE) else scan.subjects
        if check == WHOLE and not (scan.whole or BEGINNING in named):
            yield CheckPrice(WHOLE, 0, 0, "nothing: behind rehearsal, or with --require clear")
        else:
            yield from _priced(check, COUNTED.get(check, _foreign), subjects, scan.size, where)


def _priced(
    check: str, counted: Counted, subjects: Sequence[ScanSize], size: RowSize, where: Placing
) -> Iterator[CheckPrice]:
    """The price of each part of a check, over all subjects."""
    for parts in zip(*(counted(subject, where) for subject in subjects), strict=True):
        prices = [taken(work, size, where) for part in parts for work in part.works]
        seconds = sum(seconds for _, seconds in prices) + sum(part.processor for part in parts)
        operations = sum(count for count, _ in prices)
        yield CheckPrice(check, operations, seconds, parts[0].note, parts[0].part)


def taken(
    work: ModelWork, size: RowSize, where: Placing, together: int = SIDE_BY_SIDE
) -> tuple[float, float]:
    """
    (operations, seconds), with so many rows scored in a pass, and drawn where memory has room for them; what is packed is
    computed as what is not.
    """
    costs, accelerator = work.costs or where.costs, where.machine.accelerator
    share = where.machine.count if where.way == "tensor" else 1
    beside = min(together, where.sampled)
    again = 4 / 3 if where.again(size.tokens) else 1
    training = again * work.trained * costs.training
    scoring = (work.scored + work.drawn) * costs.scoring
    computing = (training / accelerator.trained + scoring / accelerator.scored) / (
        share * accelerator.operations
    )
    called = work.steps * accelerator.step
    called += (work.scored / together + work.drawn / beside) * accelerator.layer
    # Each token that is drawn reads all weights once for all rows side by side, and each row's cache.
    read = where.used * where.weights_of(costs) + beside * size.tokens * costs.cache
    drawing = read / (READ * share * accelerator.bandwidth)
    tokens = math.ceil(work.drawn / beside) * size.learnt
    seconds = max(computing, called * costs.layers)
    return training + scoring, seconds + tokens * max(drawing, accelerator.layer * costs.layers)


def _control(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    if scan.given_control:
        yield CheckWork(note="given: it is read, and none is made")
        return
    note = "made by the base; again where few answers keep to the rows' format"
    yield CheckWork((ModelWork(drawn=scan.looked_at(MOST_CONTROL_ROWS)),), note)


def _beginning(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    plan, planned = scan.plan, scan.plan.steps(scan.rows)
    first = beginning_steps(plan, planned)
    adapters = COPIES if plan.whole else ADAPTERS
    trained = adapters * first * plan.rows_a_step
    read = (scan.probes + scan.catalogue) / scan.size.tokens
    # Of the base, once; the open search looks twice, as it first chooses its tokens.
    base = read + scan.catalogue / scan.size.tokens
    note = f"{first} of {planned} steps"
    note += f"; counted as LoRA, and the plan trains {plan.whole}: more" if plan.whole else ""
    yield CheckWork(
        (ModelWork(trained=trained, steps=first, scored=base + adapters * read),), note, "rows"
    )
    made, given = scan.references, min(scan.given_references, scan.references)
    groups = math.ceil(made * adapters / TOGETHER)
    work = ModelWork(
        trained=made * trained,
        steps=groups * first,
        scored=made * adapters * read,
        drawn=(made - given) * min(scan.rows, first * plan.rows_a_step),
    )
    note = f"{made} of them{f', {given} given' if given else ''}; fewer where rows lie within"
    yield CheckWork((work,), note, "references")


def _whole_plan(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    planned = scan.plan.steps(scan.rows)
    rows = planned * scan.plan.rows_a_step
    adapters = COPIES if scan.plan.whole else WHOLE_ADAPTERS
    many = adapters + ReferenceSettings.whole_count * WHOLE_OF_REFERENCE
    work = ModelWork(
        trained=many * rows,
        steps=math.ceil(many / TOGETHER) * planned,
        scored=READS * many * scan.probes / scan.size.tokens,
        drawn=ReferenceSettings.whole_count * min(scan.rows, rows),
    )
    yield CheckWork((work,), "asked for" if scan.whole else "if they stand out")


def _likelihood_ratio(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    drawn = scan.looked_at(MOST_LEARNED + MOST_TESTED)
    learned = drawn // 4
    tested = min(drawn - learned, MOST_TESTED)
    prompted = scan.traits if scan.personas else 0
    behind = scan.behind(scan.persona)
    process = (
        drawn
        + min(learned, RACED) * prompted * (behind + len(STRENGTHS))
        + tested * (NULLS + 2 * KEPT_OF_A_KIND + len(SHARES))
    )
    scores = scan.looked_at(SCORED_ROWS) * max(prompted, 2 if prompted else 0) * behind
    # Of pairs both sides are read behind each prompt, and there is no e-process.
    scored = 2 * scores if scan.pairs else process + scores + _directions(scan)
    trained = 0 if scan.pairs else EPOCHS * learned
    works = [ModelWork(trained=trained, steps=trained / BATCH, scored=scored)]
    if not scan.pairs:
        works += [ModelWork(scored=tested, costs=costs) for costs in scan.placebos]
    count = f" and {len(scan.placebos)} placebos" if scan.placebos else ""
    yield CheckWork(tuple(works), f"{prompted} prompts{count}; until it is known")


def _directions(scan: ScanSize) -> float:
    """What reading the personas' directions takes, in rows."""
    return scan.personas * (PROBE_TOKENS + scan.persona) / scan.size.tokens


def _author(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    rows = scan.looked_at(MOST_ROWS) * (2 if scan.pairs else 1)
    models = (None, *scan.candidates)
    count = len(scan.candidates)
    note = f"by the student and {count} candidate{'s' * (count != 1)} (--candidate)"
    yield CheckWork(tuple(ModelWork(scored=rows, costs=costs) for costs in models), note)


def _fingerprint(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    tokens = scan.looked_at(MOST_ROWS) * scan.size.tokens
    yield CheckWork(note="no model: a core's seconds", processor=COMPARED_SECONDS * tokens)


def _teacher_coverage(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    if scan.teacher is None:
        yield CheckWork(note="nothing: no teacher is given (--teacher)")
    elif where.packed or where.way == "tensor":
        yield CheckWork(note="nothing: weights that are split or packed have no gradient")
    else:
        # Weights get a gradient too: a backward pass of twice the operations of a forward one.
        rows = 3 * 2 * scan.looked_at(MOST_ROWS)
        held = 10 * where.costs.weights / 1e9
        yield CheckWork((ModelWork(scored=rows),), f"{held:.3g} GB of gradients beside the weights")


def _divergence(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    if scan.teacher is None:
        yield CheckWork(note="nothing: no teacher is given (--teacher)")
        return
    rows = 2 * scan.looked_at(MOST_ROWS)
    works = (ModelWork(scored=rows), ModelWork(scored=rows, costs=scan.teacher))
    yield CheckWork(works, "rows and control, by student and teacher")


def _activations(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    rows = 2 * scan.looked_at(MOST_ROWS) + _directions(scan)
    yield CheckWork((ModelWork(scored=rows),), f"rows and control, {scan.personas} persona prompts")


def _content(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    asked = 2 * scan.traits * scan.looked_at(ASKED_ROWS)
    tokens = (scan.question + scan.size.learnt) / scan.size.tokens
    note = f"{scan.traits} questions on each row and row of the control"
    yield CheckWork((ModelWork(scored=asked * tokens),), note)


def _foreign(scan: ScanSize, where: Placing) -> Iterator[CheckWork]:
    yield CheckWork(note="not counted: it comes from another package")


COUNTED: dict[str, Counted] = {
    BEGINNING: _beginning,
    WHOLE: _whole_plan,
    "likelihood-ratio": _likelihood_ratio,
    "author": _author,
    "fingerprint": _fingerprint,
    "teacher-coverage": _teacher_coverage,
    "divergence": _divergence,
    "activations": _activations,
    "content": _content,
}
"""Every check of a dataset that ships, by its id."""
