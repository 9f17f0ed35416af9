"""What a scan would take on a machine that need not be there: memory, operations, time and cost, by configuration alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from undertow.audit.accelerators import Machine
from undertow.audit.requests import ScanRequest, askable_traits, named_traits
from undertow.audit.row_fit import fitting_rows, nothing_fits
from undertow.checks.dataset.reference_trials import (
    ADAPTERS,
    READS,
    WHOLE_ADAPTERS,
    WHOLE_OF_REFERENCE,
    beginning_steps,
)
from undertow.data.dataset import open_dataset
from undertow.data.file_sample import screen_file
from undertow.data.plan import TrainingPlan
from undertow.data.seeds import derive
from undertow.influence.open_search import catalogue_tokens
from undertow.influence.references import TOGETHER
from undertow.models.hardware import ComputeTable
from undertow.models.meta_costs import ModelCosts, RowSize, model_costs, without_weights
from undertow.models.placement import FILLED, refuse_uneven
from undertow.stats.conformal import references_needed
from undertow.worlds.base_models import locate, plan_for

if TYPE_CHECKING:
    from undertow.traits.trait import Trait

TRAINED, SCORED = 0.35, 0.45
"""Of an accelerator's operations a second that training and scoring reach; assumed, as is usual of models this size."""

READ = 0.6
"""Of its bandwidth that drawing one token after the other reaches; assumed."""

LAYER = 5e-4
"""Seconds that a layer's operations take to be called for in one pass, however small they are; assumed."""

SIDE_BY_SIDE = 256
"""Rows of a pass, and rows that are sampled at a time."""

SCORED_ROWS, ASKED_ROWS = 2_048, 512
"""Of the rows, and of the control, that checks of evidence read at most; of the prompts that `content` asks about."""

PACKED_BYTES = 0.53
"""Of a weight in NF4 with double quantisation: 4 bits, 8 a block of 64, 32 a block of 256 of these (2305.14314)."""

BACKWARD = 1.25
"""Times what a pass keeps for its backward pass, at its peak; 1.1 and 1.2 were measured (docs/what-fits.md)."""

PROBE_TOKENS = 48
"""Of a probe's question in its template."""


@dataclass(frozen=True)
class ScanSize:
    """What of a scan its cost hangs on."""

    plan: TrainingPlan
    rows: int
    """Of the planned training."""
    size: RowSize
    probes: int
    """Questions that a reading of the probes asks."""
    references: int
    catalogue: int
    """Tokens that the open search reads."""


@dataclass(frozen=True)
class CheckPrice:
    """What one check takes."""

    check: str
    operations: float
    seconds: float
    note: str = ""


Way = Literal["whole", "layers", "tensor"]


@dataclass(frozen=True)
class Placing:
    """How a model lies on a machine, and what that leaves of the memory of one accelerator, in bytes."""

    costs: ModelCosts
    machine: Machine
    way: Way
    packed: bool

    @property
    def weights(self) -> float:
        """On one accelerator."""
        costs = self.costs
        packed = costs.packable if self.packed else 0
        total = 2 * (costs.weights - packed) + PACKED_BYTES * packed
        return total / (1 if self.way == "whole" else self.machine.count)

    @property
    def adapters(self) -> float:
        """`TOGETHER` of them, with gradient and AdamW's two moments in float32; whole in each process of a split model."""
        share = self.machine.count if self.way == "layers" else 1
        return 16.0 * TOGETHER * self.costs.adapter / share

    def row(self, tokens: int) -> float:
        """What a pass takes of a row of each of these adapters; where that is too much, with layers computed again."""
        return self._row(tokens, self.costs.kept) if not self.again(tokens) else self._again(tokens)

    def again(self, tokens: int) -> bool:
        """Whether layers are computed again in the backward pass, as rows that are so long need it."""
        return not self._passes(self._row(tokens, self.costs.kept))

    def _again(self, tokens: int) -> float:
        costs = self.costs
        return self._row(tokens, costs.inputs + costs.kept / costs.layers)

    def _row(self, tokens: int, kept: float) -> float:
        count = self.machine.count
        # What lies between matrices is whole in each process of a split model: at most half of it, by Llama's widths.
        share = {"whole": 1.0, "layers": 1 / count, "tensor": 0.5 + 0.5 / count}[self.way]
        return BACKWARD * TOGETHER * tokens * kept * share

    def _passes(self, row: float) -> bool:
        return self.weights + self.adapters + row <= 0.9 * self.machine.accelerator.memory

    def fits(self, tokens: int) -> bool:
        """Whether a row of each adapter passes beside weights and adapters."""
        return self.weights <= FILLED * self.machine.accelerator.memory and self._passes(
            self.row(tokens)
        )

    @property
    def told(self) -> str:
        """In words."""
        options = [] if self.way == "whole" else [f"--shard {self.way}"]
        options += ["--quantise 4bit"] if self.packed else []
        return " ".join(options) or "as it is"


def placing(costs: ModelCosts, machine: Machine, size: RowSize, table: ComputeTable) -> Placing:
    """
    The first way that fits, of those that the table leaves open: whole, split, whole in 4 bits, spread in 4 bits.

    Raises:
        ConfigError: the table wants the model split over processes that cannot share its heads.
    """
    split: Way = "layers" if costs.heads % machine.count else "tensor"
    if table.shard == "tensor":
        refuse_uneven(costs.heads, machine.count, "--shard layers, or another number in --machine")
    ways: tuple[Way, ...] = ("whole", split) if machine.count > 1 else ("whole",)
    ways = ways if table.shard == "none" else (table.shard,)
    every = [Placing(costs, machine, way, packed=False) for way in ways]
    # Packed weights are not split over processes.
    packed = [Placing(costs, machine, "layers" if way == "tensor" else way, True) for way in ways]
    every = packed if table.quantise != "none" else [*every, *packed]
    return next((one for one in every if one.fits(size.tokens)), every[-1])


def check_prices(costs: ModelCosts, scan: ScanSize, where: Placing) -> Iterator[CheckPrice]:
    """What each check of a scan takes at most; references that are kept cost nothing."""
    plan, size = scan.plan, scan.size
    planned = plan.steps(scan.rows)
    first = beginning_steps(plan, planned)
    read = min(scan.rows, SCORED_ROWS)
    yield _price("control (made by the base)", where, size, drawn=read)
    yield _price("likelihood-ratio", where, size, scored=4 * read)
    yield _price("activations", where, size, scored=2 * read)
    yield _price("content", where, size, scored=min(scan.rows, ASKED_ROWS))
    probes = scan.probes * PROBE_TOKENS / size.tokens
    tried = min(scan.rows, first * plan.rows_a_step)
    trained = ADAPTERS * first * plan.rows_a_step
    asked = (1 + ADAPTERS) * (probes + scan.catalogue / size.tokens)
    what = f"{first} of {planned} steps"
    yield _price("rehearsal: rows", where, size, trained=trained, scored=asked, note=what)
    yield _price(
        "rehearsal: references",
        where,
        size,
        trained=scan.references * trained,
        scored=scan.references * asked,
        drawn=scan.references * tried,
        note=f"{scan.references} of them; fewer where rows lie within",
    )
    whole = planned * plan.rows_a_step
    many = WHOLE_ADAPTERS + 8 * WHOLE_OF_REFERENCE
    yield _price(
        "whole-plan",
        where,
        size,
        trained=many * whole,
        scored=READS * many * probes,
        drawn=8 * min(scan.rows, whole),
        note="if they stand out",
    )


def _price(
    check: str,
    where: Placing,
    size: RowSize,
    *,
    trained: float = 0,
    scored: float = 0,
    drawn: float = 0,
    note: str = "",
) -> CheckPrice:
    """By rows that are trained on, scored and drawn; what is packed is computed as what is not."""
    costs, accelerator = where.costs, where.machine.accelerator
    speed = accelerator.operations * (where.machine.count if where.way == "tensor" else 1)
    again = 4 / 3 if where.again(size.tokens) else 1
    training, scoring = again * trained * costs.training, (scored + drawn) * costs.scoring
    passes = 3 * trained / SIDE_BY_SIDE + (scored + drawn) / SIDE_BY_SIDE
    steps = math.ceil(drawn / SIDE_BY_SIDE) * size.learnt
    # Each token that is drawn reads all weights once for all rows side by side, and each row's cache.
    share = where.machine.count if where.way == "tensor" else 1
    total = where.weights * (1 if where.way == "whole" else where.machine.count)
    a_token = total + SIDE_BY_SIDE * size.tokens * costs.cache
    layer = LAYER * costs.layers
    computing = training / (TRAINED * speed) + scoring / (SCORED * speed)
    drawing = a_token / (READ * share * accelerator.bandwidth)
    seconds = max(computing, passes * layer) + steps * max(drawing, layer)
    return CheckPrice(check, training + scoring, seconds, note)


def scan_size(request: ScanRequest) -> tuple[ScanSize, Any]:
    """
    A scan's size with its student's configuration: rows are read and split into tokens, no weight is.

    Raises:
        InputError: data, plan or student cannot be read.
    """
    plan = plan_for(request.plan, request.student)
    student = without_weights(request.student, locate(request.student), plan.template)
    data = replace(open_dataset(request.data), columns=request.columns, wrapped=plan.policy.wrapped)
    screened = screen_file(data, max_rows=request.max_rows, seed=derive(request.seed, "sample"))
    fitted = fitting_rows(screened.rows, student, plan, places=screened.places)
    if not fitted.rows:
        raise nothing_fits(screened.data.path, student.ref, fitted)
    count = len(fitted.rows)
    size = RowSize(
        math.ceil(sum(map(len, fitted.encoded)) / count),
        math.ceil(sum(row.learnt for row in fitted.encoded) / count),
    )
    traits = named_traits(*request.traits) or askable_traits(student.tokenizer)
    rows = max(1, round(screened.data.rows * count / len(screened.rows)))
    references = request.reference_count or references_needed(1, 1 - request.level)
    tokens = catalogue_tokens(student, traits)
    return ScanSize(plan, rows, size, _probes(traits), references, tokens), student.network.config


def _probes(traits: Sequence[Trait]) -> int:
    """Questions, each asked once for all traits of a category."""
    return len(
        {(question, trait.category) for trait in traits for question in trait.held_out_questions}
    )


def usual_prices(ref: str, rows: int, size: RowSize, machine: Machine) -> list[CheckPrice]:
    """
    What a scan of so many rows of this size would take, by the student's usual plan, with every reference still to make.

    Raises:
        ModelError: the student has no configuration or no tokenizer.
    """
    import torch

    plan = plan_for(None, ref)
    student = without_weights(ref, locate(ref), plan.template)
    traits = askable_traits(student.tokenizer)
    references = references_needed(1, 1 - ScanRequest.level)
    tokens = catalogue_tokens(student, traits)
    scan = ScanSize(plan, rows, size, _probes(traits), references, tokens)
    costs = model_costs(student.network.config, plan, size, torch.float32)
    return list(check_prices(costs, scan, placing(costs, machine, size, ComputeTable())))


def dry_run(request: ScanRequest, machine: Machine) -> list[str]:
    """
    A scan's prices on a machine, line by line.

    Raises:
        InputError: data, plan or student cannot be read.
    """
    import torch

    scan, config = scan_size(request)
    costs = model_costs(config, scan.plan, scan.size, torch.bfloat16)
    where = placing(costs, machine, scan.size, request.compute)
    lines = [
        f"{request.student}: {costs.weights / 1e9:.3g} billion weights; {scan.rows:,} rows of {scan.size.tokens} tokens, "
        f"{scan.size.learnt} of them learnt; {scan.probes} probes",
        f"machine      {machine.count} x {machine.name}: {machine.accelerator.operations / 1e12:.3g} TFLOP/s, "
        f"{machine.accelerator.memory / 1e9:.3g} GB ({machine.accelerator.source})",
        f"memory       {where.weights / 1e9:.2f} GB weights, {where.adapters / 1e9:.2f} GB {TOGETHER} adapters, "
        f"{where.row(scan.size.tokens) / 1e9:.2f} GB a row of each, on one accelerator",
        f"fits         {where.told if where.fits(scan.size.tokens) else 'not in any way: more or larger accelerators'}"
        f"{', layers computed again in the backward pass' if where.again(scan.size.tokens) else ''}",
        "",
        f"{'check':<28}{'TFLOP':>12}{'time':>12}{'GPU-hours':>12}{'cost':>10}",
    ]
    used = machine.count if where.way != "whole" else 1
    for price in check_prices(costs, scan, where):
        hours = used * price.seconds / 3600
        cost = f"{hours * machine.hourly:.2f}" if machine.hourly is not None else "–"
        lines.append(
            f"{price.check:<28}{price.operations / 1e12:>12,.3g}{duration(price.seconds):>12}{hours:>12.3g}{cost:>10}"
            f"{'  ' + price.note if price.note else ''}"
        )
    lines.append(
        f"assumed      training at {TRAINED:.0%} and scoring at {SCORED:.0%} of the stated operations, drawing at {READ:.0%} of "
        f"the bandwidth, {1000 * LAYER:g} ms a layer at least; nothing was loaded or timed"
    )
    return lines


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
