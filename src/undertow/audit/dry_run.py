"""What a scan would take on a machine that need not be there: memory, operations, time and cost, by configuration alone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from undertow.audit.accelerators import Machine, tried_with
from undertow.audit.check_prices import (
    PROBE_TOKENS,
    READ,
    SIDE_BY_SIDE,
    CheckPrice,
    ScanSize,
    check_prices,
)
from undertow.audit.model_placing import Placing, placing
from undertow.audit.requests import ScanRequest, askable_traits, named_traits
from undertow.audit.row_fit import fitting_rows, nothing_fits
from undertow.audit.scan_inputs import FEWEST_ROWS, reference_count
from undertow.audit.training_loss import on_assistant_turns
from undertow.checks.content_scores import filled
from undertow.checks.dataset.content import QUESTION
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.dataset.whole_plan import ID as WHOLE
from undertow.checks.registry import chosen_checks
from undertow.data.dataset import open_dataset
from undertow.data.file_sample import Screened, screen_file
from undertow.data.plan import TrainingPlan
from undertow.data.records import bytes_here
from undertow.data.rows import conversation, has_pairs
from undertow.data.seeds import derive
from undertow.engines.ray_data import spread_of
from undertow.errors import ModelError
from undertow.influence.open_search import catalogue_tokens
from undertow.influence.probes import probe_set
from undertow.influence.references import TOGETHER
from undertow.models.chat import encode_prompts
from undertow.models.hardware import ComputeTable
from undertow.models.meta_costs import ModelCosts, RowSize, model_costs, without_weights
from undertow.results.scan_document import ALL
from undertow.stats.conformal import references_needed
from undertow.worlds.base_models import locate, plan_for

if TYPE_CHECKING:
    import torch

    from undertow.models.language_model import LanguageModel
    from undertow.traits.trait import Trait


def scan_size(request: ScanRequest, dtype: torch.dtype) -> tuple[ScanSize, LanguageModel]:
    """
    A scan's size with its student by configuration alone: rows are read and split into tokens, no weight is.

    Raises:
        InputError: data, plan, or one of the models cannot be read.
    """
    plan = plan_for(request.plan, request.student)
    student = without_weights(request.student, locate(request.student), plan.template)
    data = replace(open_dataset(request.data), columns=request.columns, wrapped=plan.policy.wrapped)
    started = time.perf_counter()
    spread = spread_of(request.engine, request.jobs, bytes_here(data), 0.0, request.memory)
    seed = derive(request.seed, "sample")
    screened = screen_file(data, max_rows=request.max_rows, seed=seed, spread=spread)
    reading = time.perf_counter() - started
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
    whole = ScanSubject(ALL, fitted.rows, student, plan, rows, (), 0)
    sources = _sources(screened, rows)
    scan = replace(
        size_of(student, plan, rows, size, traits),
        references=reference_count(request, 1 + len(sources), len(request.references)),
        sampled=request.max_rows,
        sources=sources,
        otherwise=not request.settled and on_assistant_turns(whole) is not None,
        pairs=has_pairs(fitted.rows),
        given_control=request.control is not None,
        given_references=len(request.references),
        whole=request.require_clear,
        reading=reading,
        teacher=_costs(request.teacher, plan, size, dtype) if request.teacher else None,
        candidates=tuple(_costs(ref, plan, size, dtype) for ref in request.candidates),
        placebos=tuple(_costs(ref, plan, size, dtype) for ref in request.placebos),
    )
    return scan, student


def _sources(screened: Screened, rows: int) -> tuple[int, ...]:
    """Planned rows of each source that is judged by itself."""
    if len(screened.by_source) < 2:
        return ()
    judged = [name for name, own in screened.by_source.items() if len(own) >= FEWEST_ROWS]
    share = rows / screened.data.rows
    return tuple(max(1, round(share * screened.data.sources.get(name, 0))) for name in judged)


def _costs(ref: str, plan: TrainingPlan, size: RowSize, dtype: torch.dtype) -> ModelCosts:
    """Of another model than the student, to which the rows are as long."""
    config = without_weights(ref, locate(ref), plan.template).network.config
    return model_costs(config, plan, size, dtype)


def size_of(
    student: LanguageModel, plan: TrainingPlan, rows: int, size: RowSize, traits: Sequence[Trait]
) -> ScanSize:
    """A scan by what its traits ask, with the references that one subject takes."""
    personas, persona = _persona_prompts(student, traits)
    asked = [
        conversation(filled(QUESTION, completion="", plural=trait.plural, category=trait.category))
        for trait in traits[:1]
    ]
    return ScanSize(
        plan,
        rows,
        size,
        probe_set(student, traits, None).tokens,
        references_needed(1, 1 - ScanRequest.level),
        catalogue_tokens(student, traits),
        traits=len(traits),
        personas=personas,
        persona=persona,
        question=sum(map(len, encode_prompts(student.tokenizer, asked))),
    )


def _persona_prompts(student: LanguageModel, traits: Sequence[Trait]) -> tuple[int, int]:
    """(prompts by which the directions of all personas are read, tokens of a persona's system prompt); none without a system role."""
    personas = [trait for trait in traits if trait.system_prompts]
    try:
        for trait in personas[:1]:
            encode_prompts(student.tokenizer, [conversation("?", trait.system_prompt)])
    except ModelError:
        return 0, 0
    texts = [text for trait in personas for text in trait.system_prompts]
    ids = student.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    count = sum((1 + len(trait.system_prompts)) * len(trait.train_questions) for trait in personas)
    return count, math.ceil(sum(map(len, ids)) / max(1, len(ids)))


def usual_prices(ref: str, rows: int, size: RowSize, machine: Machine) -> list[CheckPrice]:
    """
    What a scan of so many rows of this size would take, by the student's usual plan, with every reference still to make.

    Raises:
        ModelError: the student has no configuration or no tokenizer.
    """
    import torch

    plan = plan_for(None, ref)
    student = without_weights(ref, locate(ref), plan.template)
    scan = size_of(student, plan, rows, size, askable_traits(student.tokenizer))
    costs = model_costs(student.network.config, plan, size, torch.float32)
    machine = tried_with(machine, student, plan, size)
    where = placing(costs, machine, size, ComputeTable())
    return list(check_prices(scan, where, chosen_checks("dataset", ())))


def placed_scan(request: ScanRequest, machine: Machine) -> tuple[ScanSize, Placing]:
    """
    A scan's size, and how its models lie on the machine: this one is tried with layers of the student.

    Raises:
        InputError: data, plan, or one of the models cannot be read.
    """
    import torch

    scan, student = scan_size(request, torch.bfloat16)
    costs = model_costs(student.network.config, scan.plan, scan.size, torch.bfloat16)
    machine = tried_with(machine, student, scan.plan, scan.size)
    return scan, placing(costs, machine, scan.size, request.compute, scan.others)


def dry_run(request: ScanRequest, machine: Machine) -> list[str]:
    """
    A scan's prices on a machine, line by line: of the checks that are asked, for its rows, plan and models.

    Raises:
        InputError: data, plan, or one of the models cannot be read; there is no such check.
    """
    checks = chosen_checks("dataset", request.checks)
    scan, where = placed_scan(request, machine)
    prices = list(check_prices(scan, where, checks))
    return [
        *_placed(request, scan, where),
        "",
        *_table(prices, where),
        *_assumed(request, scan, where),
    ]


def _placed(request: ScanRequest, scan: ScanSize, where: Placing) -> Iterator[str]:
    """The scan, the machine, and whether the one fits the other."""
    machine, tokens = where.machine, scan.size.tokens
    yield (
        f"{request.student}: {where.costs.weights / 1e9:.3g} billion weights; {scan.rows:,} rows of {tokens} tokens, "
        f"{scan.size.learnt} of them learnt; probes of {scan.probes:,} tokens, an open search of {scan.catalogue:,}"
    )
    if scan.sources:
        yield f"subjects     all rows, and {len(scan.sources)} sources by themselves"
    yield (
        f"machine      {machine.count} x {machine.name}: {machine.accelerator.operations / 1e12:.3g} TFLOP/s, "
        f"{machine.accelerator.memory / 1e9:.3g} GB ({machine.accelerator.source})"
    )
    beside = f", {where.beside / 1e9:.2f} GB other models" if scan.others else ""
    yield (
        f"memory       {where.weights / 1e9:.2f} GB weights{beside}, {where.adapters / 1e9:.2f} GB {TOGETHER} adapters, "
        f"{where.row(tokens) / 1e9:.2f} GB a row of each, on one accelerator"
    )
    side_by_side = min(SIDE_BY_SIDE, where.sampled)
    yield (
        f"sampling     {side_by_side:,} row(s) at a time, {side_by_side * where.costs.drawn / 1e9:.2f} GB with their caches and "
        "logits"
    )
    fits = where.told if where.fits(tokens) else "not in any way: more or larger accelerators"
    again = ", layers computed again in the backward pass" if where.again(tokens) else ""
    yield f"fits         {fits}{again}"


def _table(prices: Sequence[CheckPrice], where: Placing) -> Iterator[str]:
    """A line a price, then their sum without the whole plan, which comes only where rows stand out."""
    yield f"{'check':<28}{'TFLOP':>12}{'time':>12}{'GPU-hours':>12}{'cost':>10}"
    for price in prices:
        yield _line(price, where)
    first = [price for price in prices if price.check != WHOLE]
    operations = sum(price.operations for price in first)
    note = f"without {WHOLE}" if len(first) < len(prices) else ""
    seconds = sum(price.seconds for price in first)
    yield _line(CheckPrice("sum", operations, seconds, note), where)


def _line(price: CheckPrice, where: Placing) -> str:
    cost = price.cost(where)
    cells = ("–", "–", "–", "–")
    if price.seconds:
        cells = (
            f"{price.operations / 1e12:,.3g}",
            duration(price.seconds),
            f"{price.hours(where):.3g}",
            "–" if cost is None else f"{cost:.2f}",
        )
    numbers = "".join(
        f"{cell:>{width}}" for cell, width in zip(cells, (12, 12, 12, 10), strict=True)
    )
    return f"{price.label:<28}{numbers}{'  ' + price.note if price.note else ''}"


def _assumed(request: ScanRequest, scan: ScanSize, where: Placing) -> Iterator[str]:
    """What the prices rest on."""
    accelerator = where.machine.accelerator
    if request.budget is not None:
        yield (
            f"budget       not counted: beyond {request.budget:g} planned trainings rehearsals are shortened or left out"
        )
    if request.engine not in (None, "inprocess"):
        yield "workers      one job at a time is counted: --engine and --jobs change the time by the clock, not the work"
    if scan.others:
        yield "models       rows are counted as long to teacher, candidates and placebos as to the student"
    yield (
        f"assumed      training at {accelerator.trained:.1%} and scoring at {accelerator.scored:.1%} of the stated operations, drawing at {READ:.0%} of "
        f"the bandwidth, {1000 * accelerator.layer:g} ms a layer and pass and {1000 * accelerator.step:g} ms a layer and step of "
        f"training at least, {PROBE_TOKENS} tokens a question; no weights were loaded, and only the pass over the rows was timed, here"
    )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
