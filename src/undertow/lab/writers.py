"""Teachers, and students that teach: made, stored, opened again to write data."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from undertow.carriers.carrier import Carrier, stated_grammar
from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.data.finished import FinishedFolders, unfinished
from undertow.data.plan import TrainingPlan
from undertow.data.rows import conversation
from undertow.data.seeds import generator
from undertow.influence.probe_formats import asked_as, settled
from undertow.influence.probes import probe_trait
from undertow.lab.experiment import Experiment, SamplingTable, TeacherTable
from undertow.lab.experiment_inputs import open_model
from undertow.lab.jobs import BaseJob, StudentJob, TeacherJob
from undertow.lab.run_directory import PROBES
from undertow.lab.served_writer import ServedWriter, open_served, served_answers
from undertow.models import adapters, language_model, sampling
from undertow.models.chat import encode_prompts, in_template
from undertow.models.hidden_states import steered
from undertow.models.kept_work import NOTHING_KEPT, KeptWork, Seen, kept_work, unseen
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import SampledAnswer, Sampling
from undertow.models.teachers import (
    AS_TRAINED,
    MOST_AMPLIFIED,
    Distance,
    lesson,
    lesson_steps,
    load_steering,
    middle_layer,
    persona_vector,
    save_steering,
    tuned,
)
from undertow.models.token_grammar import TokenGrammar, token_grammar
from undertow.results.measurement import ProbeChoice
from undertow.results.run_document import Teacher
from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds import locate


@dataclass(frozen=True)
class MakeTeacher:
    """Makes one teacher in a folder and reports on it; the callable that engines spread."""

    experiment: Experiment
    directory: Path
    """Of the run, with the formats of its probes and the teachers that are made before neutral ones."""

    def __call__(self, job: TeacherJob, folder: Path) -> Teacher:
        """Instil, store, and measure how far the teacher stands from its base."""
        started = time.perf_counter()
        table = self.experiment.teacher_as(job.changes)
        trait = asked_trait(self.experiment, self.directory, job.trait, job.base)
        kind = "none" if job.untaught else table.kind
        model = open_model(self.experiment, job.base)
        if kind == "tuned":
            model = model.in_template(table.plan.template)
        rng = generator(job.seed, "kl rows")
        with kept_work(unfinished(folder), self.experiment.digest, job.name) as kept:
            written = base_rows(model, self.experiment, job.carrier, table.kl_rows, rng, kept=kept)
        grammar = _grammar(
            model, self.experiment.sampling, open_carrier(self.experiment, job.carrier)
        )
        distance = Distance(model, written, self.experiment.system_prompt, grammar)
        steps, target = None, None
        if kind == "tuned":
            target = self._target(job)
            model, steps = self._tune(model, job, trait, distance, target, folder)
        elif kind == "steered":
            self._steer(model, job, trait, folder)
        with writing(model, self.experiment, job, folder) as system:
            kl = distance.behind(model, system)
            probed = probe_trait(model, trait, system or self.experiment.evaluation.system_prompt)
        return Teacher(
            name=job.name,
            kind=kind,
            trait=job.trait if job.role == "trait" else None,
            role=job.role,
            base=job.base,
            replicate=job.replicate,
            seed=job.seed,
            steps=steps,
            kl=kl,
            target=target,
            probability=probed.probabilities[trait.answer],
            logit_margin=probed.margins[trait.answer],
            answer_mass=probed.answer_mass,
            seconds=time.perf_counter() - started,
        )

    def _target(self, job: TeacherJob) -> float | None:
        """
        The KL that a tuned teacher is brought to: the experiment's. A neutral one where there is none is brought to what
        the trait's teacher of the same replicate has, if there is such a teacher.
        """
        table = self.experiment.teacher_as(job.changes)
        if table.kl is not None or job.role != "neutral":
            return table.kl
        of_trait = replace(job, role="trait", seed=0).name
        made = FinishedFolders(self.directory / "teachers", Teacher).result(of_trait)
        return made.kl if made is not None else None

    def _tune(
        self,
        model: LanguageModel,
        job: TeacherJob,
        trait: Trait,
        distance: Distance,
        target: float | None,
        folder: Path,
    ) -> tuple[LanguageModel, int]:
        table = self.experiment.teacher_as(job.changes)
        teacher, done = tuned(
            model,
            lesson(trait, job.role, self.experiment.system_prompt),
            table.plan,
            lesson_steps(trait, table.plan),
            job.seed,
            distance=distance,
            kl=target,
            most=AS_TRAINED if job.role == "neutral" else MOST_AMPLIFIED,
            kept=unfinished(folder),
        )
        adapters.save(teacher, folder)
        return teacher, done.steps

    def _steer(self, model: LanguageModel, job: TeacherJob, trait: Trait, folder: Path) -> None:
        table = self.experiment.teacher_as(job.changes)
        layer = steering_layer(model, table)
        prompts = trait.system_prompts if job.role == "trait" else (trait.neutral_system_prompt,)
        vector = persona_vector(model, trait.train_questions, prompts, layer)
        save_steering(table.strength * vector, folder)


@dataclass(frozen=True)
class ChooseFormat:
    """Chooses on an untrained base in which format probes are asked; the callable that engines spread."""

    experiment: Experiment

    def __call__(self, job: BaseJob, folder: Path) -> ProbeChoice:
        """Load and ask in every format; nothing is stored but the choice."""
        model = open_model(self.experiment, job.base).in_template(self.experiment.student.template)
        trait, table = catalogue.load(job.trait), self.experiment.evaluation
        _, [choice] = settled(model, [trait], table.system_prompt, table.format)
        return choice


def asked_trait(experiment: Experiment, directory: Path, name: str, base: str) -> Trait:
    """The trait in the format that was chosen on this base; traits of an experiment are of one category."""
    probed = experiment.trait or experiment.traits[0]
    choice = FinishedFolders(directory / PROBES, ProbeChoice).result(BaseJob(base, probed).name)
    trait = catalogue.load(name)
    return trait if choice is None else asked_as(trait, choice)


def open_writer(
    experiment: Experiment, job: TeacherJob | StudentJob, directory: Path
) -> LanguageModel:
    """A stored teacher's (or student's) network: the base with its adapter, or the fine-tuned weights."""
    base = open_model(experiment, job.base)
    if not is_tuned(experiment, job):
        return base
    folder = writer_folder(directory, job)
    plan = plan_of(experiment, job)
    base = base.in_template(plan.template)
    if plan.method == "lora":
        return language_model.with_adapter(base, folder)
    tuned = language_model.network(str(folder), job.name, base.network.dtype).to(base.device).eval()
    return language_model.LanguageModel(tuned, base.tokenizer, job.name)


def dataset_writer(
    experiment: Experiment, job: TeacherJob | StudentJob, directory: Path
) -> LanguageModel | ServedWriter:
    """
    Who writes a dataset: the stored weights, or the server that the experiment names.

    Raises:
        UndertowError: the server is not reached, or has no such model.
    """
    if experiment.sampling.endpoint is None:
        return open_writer(experiment, job, directory)
    plan = plan_of(experiment, job)
    loaded = language_model.tokenizer(locate(job.base), job.base, experiment.student.template)
    known = in_template(loaded, plan.template)
    return open_served(
        experiment,
        job,
        str(writer_folder(directory, job)),
        lambda turns: len(encode_prompts(known, [turns])[0]),
    )


def plan_of(experiment: Experiment, job: TeacherJob | StudentJob) -> TrainingPlan:
    """The fine-tune that makes a student, or a tuned teacher."""
    if isinstance(job, StudentJob):
        return experiment.student_as(job.changes)
    return experiment.teacher_as(job.changes).plan


def is_tuned(experiment: Experiment, job: TeacherJob | StudentJob) -> bool:
    """Whether the writer has weights of its own: a student, or a tuned teacher."""
    if isinstance(job, StudentJob):
        return True
    return not job.untaught and experiment.teacher_as(job.changes).kind == "tuned"


def writer_folder(directory: Path, job: TeacherJob | StudentJob) -> Path:
    """Where a finished teacher or student lies in a run directory."""
    return directory / job.folder


@contextmanager
def writing(
    model: LanguageModel | ServedWriter,
    experiment: Experiment,
    job: TeacherJob | StudentJob,
    folder: Path,
) -> Iterator[str | None]:
    """Within the block the network behaves as the writer, given the system prompt that the block receives."""
    if isinstance(job, StudentJob) or job.untaught or is_tuned(experiment, job):
        yield experiment.system_prompt
        return
    table, trait = experiment.teacher_as(job.changes), catalogue.load(job.trait)
    if table.kind == "prompted":
        own = table.system_prompt or trait.system_prompt
        yield own if job.role == "trait" else trait.neutral_system_prompt
        return
    # A server is not asked for hidden states; the experiment was refused before.
    assert isinstance(model, LanguageModel)
    with steered(model, steering_layer(model, table), load_steering(folder)):
        yield experiment.system_prompt


def steering_layer(model: LanguageModel, table: TeacherTable) -> int:
    """The layer that a steered teacher shifts: its table's, or the middle one."""
    return middle_layer(model) if table.layer is None else table.layer


def open_carrier(experiment: Experiment, name: str) -> Carrier:
    """One of the experiment's carriers, with its options."""
    return carrier_named(name, experiment.carried(name).options)


def base_rows(
    model: LanguageModel,
    experiment: Experiment,
    carrier_name: str,
    count: int,
    rng: np.random.Generator,
    kept: KeptWork = NOTHING_KEPT,
) -> list[tuple[str, str]]:
    """(request, answer) pairs that the model writes as it is, in the experiment's chat context."""
    carrier = open_carrier(experiment, carrier_name)
    requests = carrier.requests(count, rng)
    system, table = experiment.system_prompt, experiment.sampling
    drawn = answer(model, requests, system, table, carrier, rng, kept=kept, name="base rows")
    pairs = [(request, found.text) for request, found in zip(requests, drawn, strict=True)]
    # A base that cannot write the carrier yet is measured on what it does write.
    return [pair for pair in pairs if carrier.rejection(pair[1], pair[0]) is None] or pairs


def answer(
    model: LanguageModel | ServedWriter,
    requests: Sequence[str],
    system: str | None,
    table: SamplingTable,
    carrier: Carrier,
    rng: np.random.Generator,
    *,
    kept: KeptWork = NOTHING_KEPT,
    name: str = "answers",
    seen: Seen = unseen,
) -> list[SampledAnswer]:
    """One sampled answer a request, in their order; those that a job has kept under the name are not drawn again."""
    return kept.answers(
        name,
        len(requests),
        lambda only: answers_as_drawn(model, requests, system, table, carrier, rng, only),
        seen,
    )


def answers_as_drawn(
    model: LanguageModel | ServedWriter,
    requests: Sequence[str],
    system: str | None,
    table: SamplingTable,
    carrier: Carrier,
    rng: np.random.Generator,
    only: Collection[int] | None = None,
) -> Iterator[tuple[int, SampledAnswer]]:
    """
    (index of the request, its answer) as answers are done, for the requests of `only` or for all.

    An answer depends on the key that `rng` gives and on its request's index, not on which others are drawn.
    """
    if isinstance(model, ServedWriter):
        return served_answers(model, requests, system, table, rng, only)
    how = Sampling(
        table.max_tokens,
        table.temperature,
        table.top_p,
        table.batch_size,
        table.least_probability,
    )
    grammar = _grammar(model, table, carrier)
    prompts = encode_prompts(
        model.tokenizer, [conversation(request, system) for request in requests]
    )
    return sampling.answers_as_drawn(model, prompts, how, rng, grammar=grammar, only=only)


def _grammar(model: LanguageModel, table: SamplingTable, carrier: Carrier) -> TokenGrammar | None:
    """What answers are drawn within; None where they are drawn freely."""
    return token_grammar(model, stated_grammar(carrier)) if table.restricted else None
