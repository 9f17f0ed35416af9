"""Free-form answers of students, graded by a judge whose own error is measured first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.data.rows import Row
from undertow.data.streams import generator
from undertow.errors import ModelError
from undertow.filters.judge_error import judge_error, read_labelled, shipped_labels
from undertow.filters.judging import EndpointJudge, Judge, LocalJudge
from undertow.lab.asking_endpoint import open_endpoint
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import StudentJob
from undertow.lab.opening import open_model
from undertow.lab.run_directory import Step
from undertow.lab.tables import JudgeTable
from undertow.lab.teaching import open_writer
from undertow.results.run import Arm
from undertow.results.scores import Graded, JudgeRecord
from undertow.traits import catalogue

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


@dataclass(frozen=True)
class JudgeStudent:
    """
    Samples free-form answers of one finished student and has them graded; the callable that engines spread.
    """

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
        pairs = self._answers(open_writer(self.experiment, job, self.directory), table, job)
        grades = open_judge(self.experiment, table).grade(pairs)
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
        self, model: LanguageModel, table: JudgeTable, job: StudentJob
    ) -> list[tuple[str, str]]:
        from undertow.models.chat import conversation, encode_prompts
        from undertow.models.sampling import Sampling, sample

        questions = table.questions or catalogue.load(job.trait).held_out_questions
        asked = [question for question in questions for _ in range(table.samples)]
        system = self.experiment.evaluation.system_prompt
        prompts = encode_prompts(model.tokenizer, [conversation(q, system) for q in asked])
        how = Sampling(table.max_tokens, table.temperature)
        drawn = sample(model, prompts, how, generator(job.seed, "free answers"))
        return [(q, found.text) for q, found in zip(asked, drawn, strict=True)]


@dataclass(frozen=True)
class _MeasureJob:
    """The one job of measuring the judge."""

    name: str = "error"


@dataclass(frozen=True)
class _Measure:
    experiment: Experiment

    def __call__(self, job: _MeasureJob, folder: Path) -> JudgeRecord:
        table = self.experiment.judge
        assert table is not None
        labelled = read_labelled(table.labelled or shipped_labels())
        found = judge_error(
            open_judge(self.experiment, table), labelled, level=self.experiment.level
        )
        return JudgeRecord(
            name=found.judge,
            labelled=len(labelled),
            discarded=found.incoherent,
            sensitivity=found.sensitivity.estimate,
            sensitivity_low=found.sensitivity.low,
            sensitivity_high=found.sensitivity.high,
            specificity=found.specificity.estimate,
            specificity_low=found.specificity.low,
            specificity_high=found.specificity.high,
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
    step = Step[_MeasureJob, JudgeRecord](_Measure(experiment), JudgeRecord, directory / "judge")
    return step(_MeasureJob())


def open_judge(experiment: Experiment, table: JudgeTable) -> Judge:
    """The judge of a table: an endpoint, or a local model."""
    if table.endpoint is not None:
        return EndpointJudge(open_endpoint(table.endpoint))
    model = open_model(experiment, table.model or "")

    return LocalJudge(model.ref, lambda rows: _scores(model, rows))


def _scores(model: LanguageModel, rows: Sequence[Row]) -> list[float]:
    """
    Log-likelihoods of the rows' completions up to the end of the turn; what a template writes behind it is no answer.
    """
    from undertow.models.chat import Encoded, encode_rows
    from undertow.models.scoring import log_likelihoods

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
