"""Teachers and light neutral tunes that are trained side by side on one base, and the rows that each of them writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from undertow.carriers.numbers import one_format
from undertow.data.plan import LAST_TURN, TrainingPlan
from undertow.data.rows import Row, behind
from undertow.data.seeds import derive, generator
from undertow.influence.reference_family import ReferenceWriter
from undertow.influence.references import tuning_plan
from undertow.lab.experiment import Experiment
from undertow.models.adapters import ParallelAdapters, frozen, parallel_adapters
from undertow.models.chat import Encoded, pad
from undertow.models.language_model import LanguageModel
from undertow.models.recorded_passes import TrainingPasses
from undertow.models.sampling import Sampling, sample
from undertow.models.several_runs import several_runs
from undertow.models.teachers import Distance, bring_to, lesson, lesson_steps
from undertow.models.token_grammar import token_grammar
from undertow.models.training import optimiser, training_rows
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue


@dataclass(frozen=True)
class Pupil:
    """One teacher to make."""

    trait: str
    """That it learns, or whose questions it is asked where it learns every answer alike."""
    role: str
    """`trait` or `neutral`."""
    seed: int


@dataclass
class Adapted:
    """One of several adapters on the base."""

    adapters: ParallelAdapters
    index: int
    start: list[torch.Tensor] = field(default_factory=list)
    """Its weights before training, from where it is brought to a KL; none of one that stays as it was trained."""

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        """Of this adapter alone."""
        return self.adapters.parameters_of(self.index)

    @contextmanager
    def merged(self) -> Iterator[LanguageModel]:
        """
        Within the block the base's own matrices are W + BA, summed in float32 and rounded once, as a sampler merges them;
        in place, so that whatever remembers where a matrix lies reads the right one.
        """
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        try:
            with torch.no_grad():
                for layer in self.adapters.layers:
                    weight = layer.module.weight
                    kept.append((weight, weight.detach().clone()))
                    change = layer.up[self.index].float() @ layer.down[self.index].float()
                    change = change.T if layer.transposed else change
                    weight.copy_(torch.add(weight.float(), change, alpha=layer.scale))
            yield self.adapters.model
        finally:
            with torch.no_grad():
                for weight, before in kept:
                    weight.copy_(before)


def taught(model: LanguageModel, experiment: Experiment, pupils: Sequence[Pupil]) -> list[Adapted]:
    """
    Teachers as `models.teachers.tuned` trains each alone, all of them in the passes of one; none is at its KL yet.

    Raises:
        ValueError: their lessons take different numbers of steps.
    """
    table, system = experiment.teacher.plan, experiment.system_prompt
    traits = [catalogue.load(pupil.trait) for pupil in pupils]
    numbers = {lesson_steps(trait, table) for trait in traits}
    if len(numbers) > 1:
        raise ValueError(f"lessons of {sorted(numbers)} steps cannot be learnt side by side")
    [steps] = numbers
    plan = table.model_copy(update={"max_steps": steps, "epochs": float(steps)})
    lessons = [
        encode_rows(model.tokenizer, lesson(trait, pupil.role, system), plan.policy)
        for trait, pupil in zip(traits, pupils, strict=True)
    ]
    orders = [generator(pupil.seed, "order") for pupil in pupils]
    seeds = [derive(pupil.seed, "adapter") for pupil in pupils]
    runs: Any = several_runs(model, lessons, plan, orders, steps, seeds)
    made = [Adapted(runs.adapters, index) for index in range(len(pupils))]
    for one in made:
        one.start = [weight.detach().clone() for weight in one.weights]
    runs.advance(steps)
    return made


@dataclass(frozen=True)
class _Weights:
    """What `bring_to` asks of a network."""

    trained: Sequence[torch.nn.Parameter]

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        return iter(self.trained)


def brought(teacher: Adapted, distance: Distance, kl: float | None) -> float:
    """Bring a teacher to a KL, by the search of every tuned teacher, or leave it where it is; the KL that it has then."""
    with teacher.adapters.only(teacher.index) as model:
        if kl is not None:
            handle = LanguageModel(_Weights(teacher.weights), None, model.ref)
            bring_to(handle, teacher.start, lambda _: distance(model), kl)
        teacher.start = []
        return distance(model)


@dataclass(frozen=True)
class Tune:
    """One light neutral tune of the declared family."""

    steps: int
    seed: int


def tuned_together(
    model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan, tunes: Sequence[Tune]
) -> list[Adapted]:
    """
    Tunes of the same rows, each by as many steps of the plan as it takes alone: optimiser, schedule and order are its own.

    `several_runs` lays one schedule over all of its runs; these end at different steps, and one that has ended is computed
    on and not moved.
    """
    adapters = parallel_adapters(model, plan, [derive(one.seed, "adapter") for one in tunes])
    plans = [tuning_plan(plan, one.steps, len(rows)) for one in tunes]
    own = [adapters.parameters_of(index) for index in range(len(tunes))]
    movers = [
        optimiser(each, weights, one.steps)
        for each, weights, one in zip(plans, own, tunes, strict=True)
    ]
    lengths = [len(row) for row in rows]
    orders = [
        list(training_rows(lengths, each, generator(one.seed, "order"), one.steps))
        for each, one in zip(plans, tunes, strict=True)
    ]
    passes = TrainingPasses.of(model, [weight for weights in own for weight in weights], plan)
    model.network.train()
    try:
        with frozen(model), adapters.active():
            for step in range(max((one.steps for one in tunes), default=0)):
                chosen = [
                    [rows[i] for part in order[min(step, len(order) - 1)] for i in part]
                    for order in orders
                ]
                _share(passes, chosen)
                for each, weights, (optimizer, schedule), one in zip(
                    plans, own, movers, tunes, strict=True
                ):
                    if step < one.steps:
                        if each.max_grad_norm is not None:
                            torch.nn.utils.clip_grad_norm_(weights, each.max_grad_norm)
                        optimizer.step()
                        schedule.step()
                    optimizer.zero_grad(set_to_none=True)
    finally:
        model.network.eval()
    return [Adapted(adapters, index) for index in range(len(tunes))]


def _share(passes: TrainingPasses, chosen: Sequence[Sequence[Encoded]]) -> None:
    """The gradients of each run's mean cross-entropy on its rows, which go through its own adapter."""
    together = [row for own in chosen for row in own]
    pad_id = passes.model.tokenizer.pad_token_id
    batch = pad(together, pad_id, tuple(range(len(together))))
    learnt = [sum(row.learnt for row in own) for own in chosen]
    weights = torch.tensor(learnt, device=passes.model.device)
    passes.share(batch, lambda likelihoods: -likelihoods.view(len(chosen), -1).sum(1) / weights)


def answered_by_family(
    model: LanguageModel, rows: Sequence[Row], writer: ReferenceWriter, seed: int, most: int
) -> list[Row]:
    """
    The rows' prompts answered by a writer of the declared family, whose model this is, within the rows' one format.

    What a scan does after it has seen that free answers hardly keep to the format, which of this base is known (0 of 24,
    LOG.md); 64 free answers a writer are saved.

    Raises:
        ValueError: the rows are not lists of one format.
    """
    pattern = one_format([row.completion for row in rows])
    if pattern is None:
        raise ValueError(f"{len(rows)} rows are not lists of one format")
    system = writer.system_prompt
    asked = [row if system is None else behind(row, system) for row in rows]
    prompts = [one.prompt for one in encode_rows(model.tokenizer, asked, LAST_TURN)]
    how = Sampling(most, temperature=writer.temperature, batch_size=len(rows))
    grammar = token_grammar(model, pattern)
    drawn = sample(model, prompts, how, generator(seed, "family rows"), grammar=grammar)
    return [Row(row.prompt, answer.text) for row, answer in zip(rows, drawn, strict=True)]
