"""What a scan reads, each opened once: models, plan, rows, references, traits and control, as subjects for its checks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from undertow.audit.precision import AuditPrecision, open_base
from undertow.audit.requests import Progress, ScanRequest, askable_traits, named_traits
from undertow.audit.row_fit import fitting_rows, nothing_fits, refuse_broken
from undertow.audit.row_scores import write_row_scores
from undertow.audit.training_loss import on_assistant_turns, training_loss
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.checks.registry import chosen_checks
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.file_sample import Data, Screened, each_usable_row, screen_file
from undertow.data.files import model_digest
from undertow.data.finished import cache_folder
from undertow.data.plan import packed
from undertow.data.records import bytes_here, read_rows
from undertow.data.rows import Row, has_pairs
from undertow.data.seeds import derive
from undertow.engines.endpoint import Endpoint
from undertow.engines.engine import Engine
from undertow.engines.ray_data import spread_of
from undertow.errors import ConfigError, ModelError, NothingLeftError
from undertow.influence.probe_formats import settled
from undertow.influence.reference_family import reference_family
from undertow.influence.reference_rows import made_control
from undertow.models.language_model import LanguageModel, refuse_absent
from undertow.models.served_scores import refuse_no_scores
from undertow.results.measurement import ProbeChoice
from undertow.results.scan_document import ALL, TrainingLoss, source_subject
from undertow.stats.conformal import references_needed
from undertow.worlds.base_models import Opening, locate, open_model, plan_for

NOT_COMPARED = "none: no check that was run compares with one"

MOST_SUBJECTS = 5
"""Subjects up to which as many references are made as judging all of them together takes."""

FEWEST_ROWS = 64
"""Rows below which a source is not judged on its own."""


@dataclass(frozen=True)
class ScanInputs:
    """What a scan has opened."""

    data: Data
    probes: tuple[ProbeChoice, ...]
    """In which format the student is asked for each category."""
    student_digest: str | None
    precision: AuditPrecision
    whole: ScanSubject
    sources: tuple[ScanSubject, ...]
    """One subject a source, where there is more than one: what a user can act on."""
    control: str
    """What the rows are compared with, in words."""
    loss: TrainingLoss
    """Which tokens of the rows are learnt."""
    otherwise: ScanSubject | None
    """The whole with the other common loss, where the plan names none and trainers differ."""
    read: float
    """Share of the file's rows that have a shape and text."""
    usable: float
    """Share of the file's rows that could be read and fit the student, as far as the sample tells."""
    way: str
    """What to do about most of the others; empty if there are none."""

    @property
    def subjects(self) -> tuple[ScanSubject, ...]:
        """All that are judged: the whole, under the other loss too where there is one, then the sources."""
        other = () if self.otherwise is None else (self.otherwise,)
        return (self.whole, *other, *self.sources)


def open_inputs(
    request: ScanRequest, progress: Progress, engine: Engine | None = None
) -> ScanInputs:
    """
    Load the models, read the rows once, and say for each subject what it is judged against; references are made by the
    engine, in this process if there is none.

    Raises:
        InputError: a trait, the data or a model cannot be used.
        NothingLeftError: no row is left that the student could be trained on.
    """
    seed = partial(derive, request.seed)
    # What costs nothing to refuse is refused before a model is opened.
    asked = named_traits(*request.traits)
    dataset = replace(open_dataset(request.data), columns=request.columns)
    clean = None
    if request.control is not None:
        clean = replace(
            open_dataset(request.control), columns=request.columns, columns_optional=True
        )
    benign = [replace(open_dataset(one), columns=request.columns) for one in request.references]
    others = (*request.placebos, request.teacher, *request.candidates)
    for ref in filter(None, others):
        refuse_absent(locate(ref), ref)
    progress("opening the models")
    digest = model_digest(locate(request.student))
    plan = plan_for(request.plan, request.student)
    student, precision = open_base(
        request.student, plan.template, request.compute, others, asked, progress
    )
    load = partial(open_model, compute=precision.compute)
    placebos = tuple(load(ref) for ref in request.placebos)
    _refuse_foreign(placebos, student)
    teacher = load(request.teacher) if request.teacher else None
    candidates = tuple(load(ref) for ref in request.candidates)
    progress("reading the rows")
    wrapped = plan.policy.wrapped
    dataset = replace(dataset, wrapped=wrapped)
    spread = spread_of(request.engine, request.jobs, bytes_here(dataset), 0.0, request.memory)
    screened = screen_file(dataset, max_rows=request.max_rows, seed=seed("sample"), spread=spread)
    drawing = partial(subject_seed, request.seed, screened.data.digest)
    fitted = fitting_rows(screened.rows, student, plan, places=screened.places)
    if not fitted.rows:
        raise nothing_fits(screened.data.path, student.ref, fitted)
    refuse_broken(student, fitted.rows, plan.policy)
    if plan.packing and not has_pairs(fitted.rows):
        plan = packed(plan, [len(row) for row in fitted.encoded])
    # The sample's share that does not fit is that of the file, which all cannot be encoded for.
    share = len(fitted.rows) / len(screened.rows)
    planned = max(1, round(screened.data.rows * len(fitted.rows) / len(screened.rows)))
    context = request.system_prompt or None
    if request.system_prompt is None:
        context = _usual_system_prompt(fitted.rows)
    # Evidence alone is held against a control.
    compared = any(one.kind == "evidence" for one in chosen_checks("dataset", request.checks))
    if compared:
        progress("preparing the control")
    given = None
    if clean is not None:
        given = tuple(read_rows(replace(clean, wrapped=wrapped)))[: request.max_rows]
    answered = None if given is None else tuple(row for row in given if row.answered)
    made: Callable[[Sequence[Row]], tuple[Row, ...]] = partial(
        made_control,
        student,
        digest,
        policy=plan.policy,
        temperature=request.temperature,
        seed=seed("control"),
    )
    if not compared:
        made = _none
    whole = ScanSubject(
        name=ALL,
        rows=fitted.rows,
        student=student,
        plan=plan,
        planned_rows=planned,
        traits=(),
        seed=drawing(ALL),
        settings=request.settings,
        system_prompt=context,
        control=made(fitted.rows) if answered is None else answered,
        placebos=placebos,
        teacher=teacher,
        candidates=candidates,
    )
    asked = asked or askable_traits(student.tokenizer)
    progress("asking the base in every format")
    traits, probes = settled(student.in_template(plan.template), asked, context, request.format)
    whole = whole.with_tokens(fitted.encoded, traits=traits)
    sources = tuple(_sources(whole, screened, drawing, made if given is None else None))
    given_datasets = tuple(_given(benign, whole))
    settings = reference_settings(request, given_datasets, 1 + len(sources), digest, progress)
    if engine is not None:
        opening = Opening(request.student, plan.template, precision.compute)
        settings = replace(settings, engine=engine, opens=opening)
    judged = partial(_judged_against, settings, dataset, screened)
    otherwise = None if request.settled else on_assistant_turns(whole)
    without = 0 if given is None else len(given) - len(whole.control)
    read = screened.data.rows / (screened.data.rows + _lost(screened.data))
    return ScanInputs(
        data=fitted.described(screened.data),
        probes=probes,
        student_digest=digest,
        precision=precision,
        whole=judged(whole),
        sources=tuple(judged(source) for source in sources),
        control=_control_told(whole, request.control, without) if compared else NOT_COMPARED,
        loss=training_loss(whole, settled=request.settled),
        otherwise=judged(otherwise) if otherwise else None,
        read=read,
        usable=read * share,
        way=screened.way if 1 - read > read * (1 - share) else fitted.way,
    )


def subject_seed(seed: int, digest: str | None, subject: str) -> int:
    """
    What is drawn of a subject's rows hangs on: all rows of the file, so that no row can be put beforehand where nobody
    looks, and the scan's seed.
    """
    return derive(seed, "subject", subject, digest or "")


def _none(rows: Sequence[Row]) -> tuple[Row, ...]:
    """No control of the rows."""
    return ()


def _control_told(whole: ScanSubject, given: str | None, without: int) -> str:
    """`without` are the rows of a given control that end without an answer."""
    if not whole.control:
        why = "have no prompts to continue" if whole.with_answers.rows else "end without an answer"
        return (
            f"none: the rows {why}"
            if given is None
            else f"none: the rows of '{given}' end without an answer"
        )
    if given is None:
        return "made by the base"
    return f"{given} ({without:,} rows that end without an answer left out)" if without else given


def scoring_server(named: str) -> Endpoint:
    """
    The server of `ADDRESS#MODEL`, once it has scored a token.

    Raises:
        ConfigError: the address is unusable, or no model is named.
        InputError: it does not answer, or gives no log-likelihoods.
    """
    address, _, served = named.partition("#")
    if not served.strip():
        raise ConfigError(
            f"--scored-by is '{named}', which names no model of that server; allowed: ADDRESS#MODEL",
            hint="put the name behind it by which the server knows the student, e.g. http://127.0.0.1:8000/v1#path/to/base",
        )
    endpoint = Endpoint(address, served)
    refuse_no_scores(endpoint)
    return endpoint


def scores_of(request: ScanRequest, target: Path, server: Endpoint | None = None) -> int:
    """
    The scores of a scan's rows, with its student and plan; by a server of the student, see `write_row_scores`.

    Raises:
        ModelError: another model is served there.
    """
    plan = plan_for(request.plan, request.student)
    data = open_dataset(request.data)
    data = replace(data, columns=request.columns, wrapped=plan.policy.wrapped)
    opens = Opening(request.student, plan.template, request.compute)
    spread = None
    if request.engine is not None and server is None:
        size = bytes_here(data)
        spread = spread_of(request.engine, request.jobs, size, request.gpus, request.memory)
    return write_row_scores(data, target, opens, plan, server, spread)


def _refuse_foreign(placebos: Sequence[LanguageModel], student: LanguageModel) -> None:
    for placebo in placebos:
        if placebo.tokenizer.get_vocab() != student.tokenizer.get_vocab():
            raise ModelError(
                f"the placebo '{placebo.ref}' has another vocabulary than the student '{student.ref}'",
                hint="name benign fine-tunes of the student; other bases are candidates (--candidate)",
            )


def _lost(data: Data) -> int:
    return sum(excluded.rows for excluded in data.excluded)


def reference_count(request: ScanRequest, subjects: int, given: int) -> int:
    """References of the beginning: as many as it takes for all subjects, unless that is very many; all that were given."""
    many = subjects if subjects <= MOST_SUBJECTS else 1
    return request.reference_count or max(references_needed(many, 1 - request.level), given)


def reference_settings(
    request: ScanRequest,
    given: tuple[tuple[Row, ...], ...],
    subjects: int,
    digest: str | None,
    progress: Progress,
) -> ReferenceSettings:
    """What the subjects are judged against."""
    return ReferenceSettings(
        family=reference_family(),
        base_digest=digest,
        count=reference_count(request, subjects, len(given)),
        subjects=subjects,
        given=given,
        kept=cache_folder() / "references",
        tell=progress,
    )


def _given(benign: Sequence[RowDataset], whole: ScanSubject) -> Iterator[tuple[Row, ...]]:
    """Each dataset that was given as a reference, or each of its sources where it has several."""
    for dataset in benign:
        by_source: dict[str | None, list[Row]] = defaultdict(list)
        for row in fitting_rows(list(read_rows(dataset)), whole.student, whole.plan).rows:
            by_source[row.source].append(row)
        if not by_source:
            raise NothingLeftError(
                f"no row of the reference '{dataset.reference}' fits the student '{whole.student.ref}'"
            )
        yield from (tuple(rows) for rows in by_source.values())


def _judged_against(
    settings: ReferenceSettings, dataset: RowDataset, screened: Screened, subject: ScanSubject
) -> ScanSubject:
    """The subject with its references, and with all of its rows where it holds a sample."""
    name = {source_subject(source): source for source in screened.by_source}.get(subject.name)
    sampled = len(subject.rows) < subject.planned_rows
    rows = partial(_all_rows, dataset, subject, name) if sampled else None
    return subject.with_tokens(subject.encoded, references=settings, all_rows=rows)


def _all_rows(dataset: RowDataset, subject: ScanSubject, source: str | None) -> tuple[Row, ...]:
    rows: list[Row] = []
    each_usable_row(dataset, rows.append)
    own = [row for row in rows if source is None or row.source == source]
    return fitting_rows(own, subject.student, subject.plan).rows


def _usual_system_prompt(rows: Sequence[Row]) -> str | None:
    """That of most rows."""
    first = (
        row.prompt[0].content if row.prompt and row.prompt[0].role == "system" else None
        for row in rows
    )
    return Counter(first).most_common(1)[0][0]


def _sources(
    whole: ScanSubject,
    screened: Screened,
    seed: Callable[..., int],
    made: Callable[[Sequence[Row]], tuple[Row, ...]] | None,
) -> Iterator[ScanSubject]:
    """One subject a source, where there is more than one; `made` makes a control of its own for each."""
    if len(screened.by_source) < 2:
        return
    for name, rows in screened.by_source.items():
        fitted = fitting_rows(rows, whole.student, whole.plan)
        if len(fitted.rows) < FEWEST_ROWS:
            continue
        share = screened.data.sources.get(name, len(rows)) / screened.data.rows
        planned = max(1, round(whole.planned_rows * share))
        source = replace(
            whole,
            name=source_subject(name),
            rows=fitted.rows,
            planned_rows=planned,
            seed=seed(name),
            control=made(fitted.rows) if made else whole.control,
        )
        yield source.with_tokens(fitted.encoded)
