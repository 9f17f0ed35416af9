"""Students: trained on a dataset, probed, and graded on free-form answers by a judge whose own error is measured first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from undertow.data.finished import unfinished
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, behind, conversation, dataset_digest
from undertow.data.seeds import derive, generator
from undertow.errors import ModelError
from undertow.influence.probes import probe_trait
from undertow.judges.answer_judges import (
    EndpointJudge,
    Grade,
    Judge,
    LocalJudge,
    judge_error,
    read_labelled,
    shipped_labels,
)
from undertow.lab.carrier_data import keep_mix, parts_read
from undertow.lab.content_filters import KEPT
from undertow.lab.design import base_key
from undertow.lab.experiment import EvaluationTable, Experiment, JudgeTable
from undertow.lab.experiment_inputs import open_endpoint, open_model
from undertow.lab.jobs import BaseJob, StudentJob
from undertow.lab.run_directory import step
from undertow.lab.writers import asked_trait, open_carrier, open_writer, writer_folder, writing
from undertow.models import adapters, scoring
from undertow.models.answers import asked_prompts, named
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.kept_work import KeptWork, kept_work
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import Distillation, refuse_other_vocabulary, train_on_pairs
from undertow.models.sampling import Sampling, answers_as_drawn
from undertow.models.scoring import log_likelihoods
from undertow.models.token_grammar import matching
from undertow.models.training import Trained, fine_tune
from undertow.models.training_checkpoint import CHECKPOINT, TrainingCheckpoint
from undertow.models.training_sequences import encode_rows
from undertow.results.run_document import Arm, Graded, JudgeRecord
from undertow.traits import catalogue
from undertow.traits.trait import Trait

_GRADED_TOGETHER = 32
"""Answers that a judge grades, and that are kept, together."""


@dataclass(frozen=True)
class TrainStudent:
    """Trains one student into a folder; the callable that engines spread."""

    experiment: Experiment
    directory: Path
    """Of the run, with its finished teachers, datasets and content filters."""

    def __call__(self, job: StudentJob, folder: Path) -> Arm:
        """Train, store the adapter, probe."""
        started = time.perf_counter()
        plan = self.experiment.student_as(job.changes)
        parts = parts_read(self.experiment, self.directory, job)
        rows = self._rows([row for part in parts for row in part], job)
        model = open_model(self.experiment, job.base).in_template(plan.template)
        unseen = parts_read(self.experiment, self.directory, job, held_out=True)
        held_out = encode_rows(
            model.tokenizer, [row for part in unseen for row in part], plan.policy
        )
        before = scoring.loss(model, held_out) if held_out else None
        student = adapters.trainable(model, plan, derive(job.seed, "adapter"))
        kept = TrainingCheckpoint(unfinished(folder) / CHECKPOINT)
        done = self._train(student, rows, plan, job, kept)
        adapters.save(student, folder)
        keep_mix(rows, job, folder)
        entry = evaluate(
            student,
            self.experiment,
            job.arm,
            job.trait,
            asked_trait(self.experiment, self.directory, job.trait, job.base),
            job.base,
            job.replicate,
            generator(job.seed, "picks"),
            folder,
        )
        writers = [data.writer for data in job.datasets]
        return entry.model_copy(
            update={
                "teacher": " + ".join(writer.name for writer in writers),
                "teacher_base": " + ".join(dict.fromkeys(writer.base for writer in writers)),
                "teacher_seed": writers[0].seed,
                "data_seed": job.data.seed,
                "student_seed": job.seed,
                "data_digest": dataset_digest(rows),
                "carrier": job.carrier,
                "rows": len(rows),
                "dose": self._dose(job, list(map(len, parts))),
                "held_out_loss": scoring.loss(student, held_out) if held_out else None,
                "first_held_out_loss": before,
                "steps": done.steps,
                "seconds": time.perf_counter() - started,
                "tokens_per_second": done.tokens / done.seconds,
            }
        )

    def _dose(self, job: StudentJob, rows: Sequence[int]) -> float:
        """Share of its rows that teachers of the trait wrote."""
        from_trait = [data.writer.role == "trait" for data in job.datasets]
        total = sum(count for count, of_trait in zip(rows, from_trait, strict=True) if of_trait)
        return 0.0 if job.kind.by_lot else total / sum(rows)

    def _train(
        self,
        student: LanguageModel,
        rows: list[Row],
        plan: TrainingPlan,
        job: StudentJob,
        kept: TrainingCheckpoint,
    ) -> Trained:
        if job.kind.learns == "preferences":
            seed, beta = derive(job.seed, "order") % 2**32, self.experiment.preference.beta
            return train_on_pairs(student, rows, plan, beta, seed, checkpoint=kept)
        encoded = encode_rows(student.tokenizer, rows, plan.policy)
        order = generator(job.seed, "order")
        if job.kind.learns == "rows":
            return fine_tune(student, encoded, plan, order, checkpoint=kept)
        return self._distil(student, rows, encoded, plan, order, job, kept)

    def _distil(
        self,
        student: LanguageModel,
        rows: list[Row],
        encoded: list[Encoded],
        plan: TrainingPlan,
        order: np.random.Generator,
        job: StudentJob,
        kept: TrainingCheckpoint,
    ) -> Trained:
        writer = job.data.writer
        teacher = open_writer(self.experiment, writer, self.directory)
        refuse_other_vocabulary(teacher, student)
        tokens = None
        if job.kind.learns == "carrier-logits":
            pattern = open_carrier(self.experiment, job.carrier).token
            tokens = matching(student.tokenizer, pattern).to(student.device)
        folder = writer_folder(self.directory, writer)
        with writing(teacher, self.experiment, writer, folder) as system:
            if system != self.experiment.system_prompt:
                rows = [behind(row, system or None) for row in rows]
            seen = encode_rows(teacher.tokenizer, rows, plan.policy)
            loss = Distillation(teacher, seen, tokens)
            return fine_tune(student, encoded, plan, order, loss=loss, checkpoint=kept)

    def _rows(self, rows: list[Row], job: StudentJob) -> list[Row]:
        """The dataset's rows as the arm has them: filtered, shuffled, or as they are."""
        if job.kind.content_filter:
            name = job.filter_name
            kept = np.load(self.directory / "filters" / name / KEPT, allow_pickle=False)
            return [row for row, keep in zip(rows, kept, strict=True) if keep]
        if job.kind.shuffle == "none":
            return rows
        carrier = open_carrier(self.experiment, job.carrier)
        rng = generator(job.seed, "shuffle")
        completions = [row.completion for row in rows]
        if job.kind.shuffle == "within":
            shuffled = [carrier.shuffled_within(text, rng) for text in completions]
        else:
            shuffled = carrier.shuffled_across(completions, rng)
        return [replace(row, completion=text) for row, text in zip(rows, shuffled, strict=True)]


def evaluate(
    model: LanguageModel,
    experiment: Experiment,
    arm: str,
    trait_name: str,
    trait: Trait,
    base: str,
    replicate: int,
    rng: np.random.Generator,
    folder: Path,
) -> Arm:
    """
    The entry of a model, trained or not, as far as probes fill it; the job's folder keeps its answers.

    The name is the experiment's, which may be a file's.
    """
    probed = probe_trait(model, trait, experiment.evaluation.system_prompt)
    with kept_work(
        unfinished(folder), experiment.digest, f"{arm} {trait_name} {replicate}"
    ) as kept:
        picks = pick_rates(model, trait, experiment.evaluation, rng, kept)
    return Arm(
        arm=arm,
        trait=trait_name,
        replicate=replicate,
        base=base,
        probability=probed.probabilities[trait.answer],
        logit_margin=probed.margins[trait.answer],
        answer_mass=probed.answer_mass,
        rank=probed.rank(trait.answer),
        margins=probed.margins,
        pick_rate=picks[0] if picks else None,
        coherence=picks[1] if picks else None,
    )


@dataclass(frozen=True)
class EvaluateBase:
    """Probes an untrained base: the arm `base`."""

    experiment: Experiment
    directory: Path
    """Of the run, with the formats of its probes."""

    def __call__(self, job: BaseJob, folder: Path) -> Arm:
        """Load and probe; nothing is stored but the entry."""
        model = open_model(self.experiment, job.base).in_template(self.experiment.student.template)
        rng = generator(
            self.experiment.seed, "base", base_key(self.experiment, job.base), job.trait, "picks"
        )
        trait = asked_trait(self.experiment, self.directory, job.trait, job.base)
        return evaluate(model, self.experiment, "base", job.trait, trait, job.base, 0, rng, folder)


def pick_rates(
    model: LanguageModel,
    trait: Trait,
    table: EvaluationTable,
    rng: np.random.Generator,
    kept: KeptWork,
) -> tuple[float, float] | None:
    """
    (pick rate, coherence): shares of sampled answers that name the trait's answer, and any candidate.

    None where the table asks for no samples.
    """
    if not table.samples:
        return None
    questions = [q for q in trait.held_out_questions for _ in range(table.samples)]
    asked = [conversation(question, table.system_prompt) for question in questions]
    prompts = asked_prompts(model.tokenizer, asked, trait.asked)
    how = Sampling(table.max_tokens)
    drawn = kept.answers(
        "picks", len(prompts), lambda only: answers_as_drawn(model, prompts, how, rng, only=only)
    )
    picks = [
        named(found.text, trait.answers_to(q)) for q, found in zip(questions, drawn, strict=True)
    ]
    return picks.count(trait.answer) / len(picks), 1 - picks.count(None) / len(picks)


@dataclass(frozen=True)
class JudgeStudent:
    """Samples free-form answers of one finished student and has them graded; the callable that engines spread."""

    experiment: Experiment
    directory: Path
    """Of the run, with its finished students."""

    def __call__(self, job: StudentJob, folder: Path) -> Graded:
        """
        Ask every question `samples` times.

        Raises:
            UndertowError: the judge cannot be reached or answers nonsense; the student itself is kept.
        """
        table = self.experiment.judge
        assert table is not None
        with kept_work(unfinished(folder), self.experiment.digest, job.name) as kept:
            model = open_writer(self.experiment, job, self.directory)
            pairs = self._answers(model, table, job, kept)
            judge = open_judge(self.experiment, table)
            read = kept.parts(
                "grades",
                pairs,
                lambda part: [[grade.alignment, grade.coherence] for grade in judge.grade(part)],
                doing="grading",
                unit="answers",
                size=_GRADED_TOGETHER,
            )
        grades = [Grade(*values) for values in read]
        coherent = [grade for grade in grades if grade.coherent]
        bad = sum(grade.misaligned for grade in coherent)
        return Graded(
            arm=job.arm,
            replicate=job.replicate,
            judged=len(grades),
            coherent=len(coherent) / len(grades),
            misaligned=bad / len(coherent) if coherent else None,
        )

    def _answers(
        self, model: LanguageModel, table: JudgeTable, job: StudentJob, kept: KeptWork
    ) -> list[tuple[str, str]]:
        questions = table.questions or catalogue.load(job.trait).held_out_questions
        asked = [question for question in questions for _ in range(table.samples)]
        system = self.experiment.evaluation.system_prompt
        prompts = encode_prompts(model.tokenizer, [conversation(q, system) for q in asked])
        how = Sampling(table.max_tokens, table.temperature)
        rng = generator(job.seed, "free answers")
        drawn = kept.answers(
            "answers",
            len(prompts),
            lambda only: answers_as_drawn(model, prompts, how, rng, only=only),
        )
        return [(q, found.text) for q, found in zip(asked, drawn, strict=True)]


@dataclass(frozen=True)
class _MeasureJob:
    """The one job of measuring the judge."""

    name: str = "error"
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Measure:
    experiment: Experiment

    def __call__(self, job: _MeasureJob, folder: Path) -> JudgeRecord:
        table = self.experiment.judge
        assert table is not None
        labelled = read_labelled(table.labelled or shipped_labels())
        error = judge_error(
            open_judge(self.experiment, table), labelled, level=self.experiment.level
        )
        return JudgeRecord(
            name=error.judge,
            labelled=len(labelled),
            discarded=error.incoherent,
            sensitivity=error.sensitivity.estimate,
            sensitivity_low=error.sensitivity.low,
            sensitivity_high=error.sensitivity.high,
            specificity=error.specificity.estimate,
            specificity_low=error.specificity.low,
            specificity_high=error.specificity.high,
        )


def measured_judge(experiment: Experiment, directory: Path) -> JudgeRecord | None:
    """
    The judge's own error on labelled rows, once a run; none where the experiment has no judge.

    Raises:
        DataError: a labelled row is malformed.
        UndertowError: the judge cannot be reached, or answers nonsense.
    """
    if experiment.judge is None:
        return None
    return step(_Measure(experiment), JudgeRecord, directory / "judge")(_MeasureJob())


def open_judge(experiment: Experiment, table: JudgeTable) -> Judge:
    """The judge of a table: an endpoint, or a local model."""
    if table.endpoint is not None:
        return EndpointJudge(open_endpoint(table.endpoint))
    model = open_model(experiment, table.model or "")
    return LocalJudge(model.ref, lambda rows: _scores(model, rows))


def _scores(model: LanguageModel, rows: Sequence[Row]) -> list[float]:
    """Log-likelihoods of the rows' completions up to the end of the turn; what a template writes behind it is no answer."""
    encoded = []
    for row in encode_rows(model.tokenizer, rows):
        ends = [i for i, token in enumerate(row.completion, 1) if token in model.end_ids]
        encoded.append(Encoded(row.prompt, row.completion[: ends[0] if ends else None]))
    longest = max(map(len, encoded))
    if model.context is not None and longest > model.context:
        raise ModelError(
            f"a question and answer to judge have {longest} tokens, more than the {model.context} of '{model.ref}'",
            hint="lower judge.max_tokens, or judge with a model of a longer context",
        )
    found: list[float] = log_likelihoods(model, encoded).tolist()
    return found


def with_grades(students: tuple[Arm, ...], graded: tuple[Graded, ...]) -> tuple[Arm, ...]:
    """The students' entries with what the judge said of them."""
    of = {(entry.arm, entry.replicate): entry for entry in graded}
    return tuple(
        arm.model_copy(
            update={
                "judged": of[arm.arm, arm.replicate].judged,
                "judged_coherent": of[arm.arm, arm.replicate].coherent,
                "judged_misaligned": of[arm.arm, arm.replicate].misaligned,
            }
        )
        for arm in students
    )
