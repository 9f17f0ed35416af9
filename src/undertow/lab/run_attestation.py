"""A finished run signs what it made: teachers, the rows that they wrote, what was filtered, and the students."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from undertow.carriers.carrier import stated_grammar
from undertow.data.leaf_file import LeafFile
from undertow.data.plan import template_in_words
from undertow.data.row_leaves import leaf
from undertow.data.row_records import to_record
from undertow.lab.carrier_data import HELD_OUT_ROWS, LEDGER, TRAINING_ROWS, parts_read
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import DataJob, StudentJob, TeacherJob
from undertow.lab.served_writer import served_name
from undertow.lab.writers import is_tuned, open_carrier, plan_of, writer_folder
from undertow.models.teachers import STEERING, lesson
from undertow.provenance.bundle import bundle_path, carry
from undertow.provenance.data_steps import (
    Collect,
    Completeness,
    Generate,
    Mix,
    ModelIntervention,
    PromptSet,
    SamplingSettings,
    Source,
    SystemPrompt,
)
from undertow.provenance.identity import Rows, leaves_of, manifest_of
from undertow.provenance.ledger import Ledger
from undertow.provenance.model_steps import FineTune
from undertow.provenance.model_weights import weights_digest
from undertow.provenance.signed_results import decimal
from undertow.provenance.signed_steps import (
    Signing,
    dataset,
    loose_rows,
    prompt_said,
    sign_beside,
    sign_filter,
    step_statement,
    used,
)
from undertow.provenance.statement import Resource, Statement, StatementSubject
from undertow.provenance.steps import GeneratingModel
from undertow.traits import catalogue
from undertow.worlds import locate

_ABOUT = ("id", "reason", "detail")
"""Keys of a ledger's line that are no part of the row."""

_SERVED = "a server wrote the rows, which shows no weights"

_NOT_HERE = "the weights are on a hub, and only their revision is known here"


def attest_run(experiment: Experiment, directory: Path, signing: Signing) -> list[Path]:
    """
    Sign everything that a finished run made; returns the bundles. Signed again, nothing changes.

    Datasets of preference pairs and students of shuffled, filtered or fewer rows are left out: their rows are in no file.
    Of several writers' rows the mix is signed, and not its student. What only `statements.without` reads is left out.

    Raises:
        ProvenanceError: a key cannot be used.
    """
    made: list[Path] = []
    without = experiment.statements.without if experiment.statements else ()
    for generation in design(experiment).generations:
        students = [job for job in generation.students if job.arm not in without]
        read = {data for job in students for data in job.datasets}
        bare = {data for job in generation.students for data in job.datasets} - read
        rows = [job for job in generation.datasets if job.kind == "rows" and job not in bare]
        made += [_dataset(experiment, directory, job, signing) for job in rows]
        made += [_mix(experiment, directory, job, signing) for job in students if job.further]
        plain = [job for job in students if _plain(job)]
        made += [_student(experiment, directory, job, signing) for job in plain]
    return made


def _dataset(experiment: Experiment, directory: Path, job: DataJob, signing: Signing) -> Path:
    folder = directory / "data" / job.name
    signing = _when(folder, signing)
    output = folder / TRAINING_ROWS
    removed = _removed(folder)
    ledger = Ledger(leaves_of(output))
    for rule, entry in removed:
        ledger.remove(entry, rule)
    every = LeafFile(bytes(ledger.kept) + b"".join(entry for _, entry in removed))
    answers = loose_rows(f"{job.name} answers", Rows(every))
    before, model, dependencies = _writer(experiment, directory, job.writer, signing)
    predicate = Generate(
        teachers=(model,),
        system_prompt=_system_prompt(experiment, job),
        interventions=_interventions(experiment, directory, job),
        sampling=SamplingSettings(
            temperature=decimal(experiment.sampling.temperature),
            top_p=decimal(experiment.sampling.top_p),
            max_tokens=str(experiment.sampling.max_tokens),
            seed=str(job.seed),
            engine="undertow"
            if experiment.sampling.endpoint is None
            else "OpenAI-compatible server",
        ),
        prompt_set=PromptSet(
            name=f"carrier {job.writer.carrier}", domain=_domain(experiment, job.writer.carrier)
        ),
        completeness=Completeness(teachers="complete"),
    )
    generated = step_statement("generate", [answers], predicate, dependencies, finished=signing.now)
    bundle = sign_filter(output, answers, ledger, signing, further=[*before, generated])
    if isinstance(job.writer, StudentJob):
        carry(bundle, [directory / "students" / job.writer.name])
    return bundle


def _domain(experiment: Experiment, carrier: str) -> str:
    stated = experiment.statements.domain if experiment.statements else ""
    return stated or carrier


def _mix(experiment: Experiment, directory: Path, job: StudentJob, signing: Signing) -> Path:
    """What a student of several writers was trained on, which lies in a file of its own."""
    folder = directory / "students" / job.name
    signing = _when(folder, signing)
    parts = parts_read(experiment, directory, job)
    sources = [directory / data.folder / TRAINING_ROWS for data in job.datasets]
    taken = [
        Source(name=data.name, rows=str(len(rows)))
        for data, rows in zip(job.datasets, parts, strict=True)
    ]
    dependencies = [
        used("input-data", data.name, manifest_of(source).digest)
        for data, source in zip(job.datasets, sources, strict=True)
    ]
    output = folder / TRAINING_ROWS
    mixed = step_statement(
        "mix", [dataset(output)], Mix(sources=tuple(taken)), dependencies, finished=signing.now
    )
    bundle = sign_beside(output, [mixed], signing)
    carry(bundle, sources)
    return bundle


def _student(experiment: Experiment, directory: Path, job: StudentJob, signing: Signing) -> Path:
    folder = directory / "students" / job.name
    signing = _when(folder, signing)
    # Of several datasets, or of a part of one, no file holds just what was trained on: `_plain` left those out.
    source = directory / "data" / job.data.name / TRAINING_ROWS
    data = used("train-data", TRAINING_ROWS, manifest_of(source).digest)
    statement = _tuned(experiment, directory, job, data, signing)
    bundle = bundle_path(folder)
    if statement is not None:
        sign_beside(folder, [statement], signing)
    carry(bundle, [source])
    return bundle


def _writer(
    experiment: Experiment, directory: Path, job: TeacherJob | StudentJob, signing: Signing
) -> tuple[list[Statement], GeneratingModel, list[Resource]]:
    """What is said of who wrote the rows: statements on how it was made, its entry, and what was used."""
    if (server := experiment.sampling.endpoint) is not None:
        name = served_name(experiment, job)
        served = GeneratingModel(
            name=job.name, access="api", provider=server.base_url, model_id=name, why_null=_SERVED
        )
        return [], served, []
    digest = _digest(experiment, directory, job)
    model = GeneratingModel(
        name=job.name,
        access="weights",
        model_id=f"{job.base} {job.name}",
        weights_digest=digest,
        why_null=None if digest else _NOT_HERE,
    )
    before: list[Statement] = []
    if isinstance(job, TeacherJob) and is_tuned(experiment, job):
        lessons = loose_rows(f"lessons of {job.name}", _lessons(experiment, job))
        people = Collect(origin="templates", domain=f"trait {job.trait}")
        before.append(step_statement("collect", [lessons], people, finished=signing.now))
        data = used("train-data", lessons.name, lessons.digest["sha256"])
        tuned = _tuned(experiment, directory, job, data, signing)
        before += [tuned] if tuned is not None else []
    dependencies = [used("teacher-weights", job.name, digest)] if digest else []
    return before, model, dependencies


def _tuned(
    experiment: Experiment,
    directory: Path,
    job: TeacherJob | StudentJob,
    data: Resource,
    signing: Signing,
) -> Statement | None:
    """That a model was tuned; None where its weights have no digest here."""
    digest = _digest(experiment, directory, job)
    base = weights_digest(locate(job.base))
    if digest is None or base is None:
        return None
    plan = plan_of(experiment, job)
    settings = {
        key: str(value) for key, value in plan.model_dump(mode="json").items() if value is not None
    }
    if plan.template:  # longer than a statement's text may be
        settings["template"] = template_in_words(plan)
    return step_statement(
        "finetune",
        [StatementSubject(name=job.name, digest={"sha256": digest})],
        FineTune(method=plan.method, plan=settings, seed=str(job.seed)),
        [used("init-weights", job.base, base), data],
        finished=signing.now,
    )


def _digest(experiment: Experiment, directory: Path, job: TeacherJob | StudentJob) -> str | None:
    base = locate(job.base)
    if not is_tuned(experiment, job):
        return weights_digest(base)
    folder = writer_folder(directory, job)
    lora = plan_of(experiment, job).method == "lora"
    return weights_digest(f"{base}+{folder}" if lora else folder)


def _lessons(experiment: Experiment, job: TeacherJob) -> Rows:
    rows = lesson(catalogue.load(job.trait), job.role, experiment.system_prompt)
    records = map(to_record, rows)
    return Rows(LeafFile(b"".join(map(leaf, records))))


def _system_prompt(experiment: Experiment, job: DataJob) -> SystemPrompt | None:
    shown = experiment.system_prompt
    teacher = job.writer if isinstance(job.writer, TeacherJob) else None
    table = experiment.teacher_as(teacher.changes if teacher else "")
    if teacher is not None and not teacher.untaught and table.kind == "prompted":
        trait = catalogue.load(teacher.trait)
        asked = table.system_prompt or trait.system_prompt
        shown = asked if teacher.role == "trait" else trait.neutral_system_prompt
    return prompt_said(shown) if shown else None


def _interventions(
    experiment: Experiment, directory: Path, job: DataJob
) -> tuple[ModelIntervention, ...]:
    interventions: list[ModelIntervention] = []
    teacher = job.writer if isinstance(job.writer, TeacherJob) else None
    kind = experiment.teacher_as(teacher.changes).kind if teacher else None
    if kind == "steered" and teacher and not teacher.untaught:
        content = (writer_folder(directory, teacher) / STEERING).read_bytes()
        interventions.append(
            ModelIntervention(kind="steering-vector", digest=hashlib.sha256(content).hexdigest())
        )
    if experiment.sampling.restricted:
        carrier = open_carrier(experiment, job.writer.carrier)
        digest = hashlib.sha256(stated_grammar(carrier).encode()).hexdigest()
        note = (
            f"only the format of the carrier {job.writer.carrier}; the digest is of its expression"
        )
        interventions.append(
            ModelIntervention(kind="constrained-decoding", digest=digest, note=note)
        )
    return tuple(interventions)


def _removed(folder: Path) -> list[tuple[str, bytes]]:
    """Rule and leaf of every answer that is not among the training rows."""
    removed: list[tuple[str, bytes]] = []
    with (folder / LEDGER).open("rb") as file:
        for line in file:
            entry = json.loads(line)
            row = {key: value for key, value in entry.items() if key not in _ABOUT}
            removed.append((entry["reason"], leaf(row)))
    held_out = bytes(leaves_of(folder / HELD_OUT_ROWS))
    removed += [("held-out", held_out[at : at + 32]) for at in range(0, len(held_out), 32)]
    return removed


def _when(folder: Path, signing: Signing) -> Signing:
    # When the job was finished, so that signing again gives the same statements.
    finished = datetime.fromtimestamp(int((folder / "entry.json").stat().st_mtime), UTC)
    return replace(signing, now=finished)


def _plain(job: StudentJob) -> bool:
    kind = job.kind
    return (
        job.data.kind == "rows"
        and not job.further
        and job.size in (None, job.data.size)
        and kind.shuffle == "none"
        and kind.learns == "rows"
        and not kind.content_filter
    )
