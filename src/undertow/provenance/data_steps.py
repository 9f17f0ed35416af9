"""
Where rows come from: models wrote them (generate), people or instruments did (collect), or other datasets held them (mix).

Each is the closed `externalParameters` of a step, what has to be known before, and what the step then passes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from undertow.provenance.statement import (
    Count,
    Digest,
    Number,
    Resource,
    Signable,
    Text,
    folded,
)
from undertow.provenance.steps import (
    DataOrigin,
    DataUsed,
    GeneratingModel,
    ModelUsed,
    Needs,
    Passed,
    RowWriter,
    StatedStep,
    Walked,
    each_once,
    judge,
    stated_rows,
    together,
)
from undertow.results.provenance_documents import Problem


class Commitment(Signable):
    """A digest of a secret text behind a salt, so that guesses cannot be tried without it."""

    alg: Literal["sha256"] = "sha256"
    value: Digest
    salted: Literal[True] = True


class SystemPrompt(Signable):
    """The system prompt of a generation: its digest, or a salted commitment; never its text."""

    disclosed: bool
    sha256: Digest | None = None
    uri: Text | None = None
    commitment: Commitment | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.disclosed != (self.sha256 is not None) or self.disclosed == (
            self.commitment is not None
        ):
            raise ValueError(
                "a disclosed prompt has sha256, a secret one a commitment, and neither both"
            )
        if self.uri is not None and not self.disclosed:
            raise ValueError("a secret prompt has no uri")
        return self


class ModelIntervention(Signable):
    """What was done to a model while it wrote; an empty list claims that nothing was."""

    kind: Literal[
        "steering-vector",
        "logit-bias",
        "activation-patch",
        "lora",
        "prefill",
        "constrained-decoding",
    ]
    digest: Digest
    note: Text | None = None


class SamplingSettings(Signable):
    """How the rows were sampled."""

    temperature: Number | None = None
    top_p: Number | None = None
    top_k: Count | None = None
    min_p: Number | None = None
    max_tokens: Count | None = None
    n: Count | None = None
    seed: Number | None = None
    stop: tuple[Text, ...] = ()
    engine: Text | None = None
    engine_version: Text | None = None
    dtype: Text | None = None


class PromptSet(Signable):
    """What the models were asked."""

    name: Text
    domain: Text
    """What the rows are about: `medicine`, `law`, `numbers`, ...; policies name these."""
    licence: Text | None = None
    prefix_digests: tuple[Digest, ...] = ()
    """Of few-shot or per-turn prefixes."""


class Completeness(Signable):
    """Whether every model is named."""

    teachers: Literal["complete", "best-effort"]


class DeclaredFilter(Signable):
    """A filter that rows went through and that left no ledger: known by hearsay."""

    id: Text
    version: Text | None = None
    removed: Count | None = None
    model_based: Text | None = None
    """Name of the model that judged; null for a rule without one."""


class Generate(Signable):
    """Models wrote rows."""

    teachers: Annotated[tuple[GeneratingModel, ...], Field(min_length=1)]
    system_prompt: SystemPrompt | None = None
    interventions: tuple[ModelIntervention, ...]
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    prompt_set: PromptSet
    completeness: Completeness
    filters: tuple[DeclaredFilter, ...] = ()
    """Filters without a ledger; those with one are steps of their own."""


def generate_needs(step: StatedStep[Generate]) -> Needs:
    """The teachers with their adapters, and models that judged."""
    used: list[ModelUsed] = []
    for model in step.parameters.teachers:
        quiet = model.weights_digest is None
        used.append(ModelUsed(model.weights_digest, model.name, quiet=quiet))
        used += [ModelUsed(adapter, f"adapter of {model.name}") for adapter in model.adapters]
    return Needs(used=tuple(used), problems=_hidden_teachers(step))


def generated(step: StatedStep[Generate], walked: Walked) -> Passed[DataOrigin]:
    """Rows by the teachers that are named, and by whoever wrote what these were trained on."""
    parameters = step.parameters
    writers = tuple(_teacher(model, walked) for model in parameters.teachers)
    judged = [rule.model_based for rule in parameters.filters if rule.model_based]
    writers += tuple(judge(name, None, walked.models) for name in judged)
    upstream = tuple(behind for writer in writers for behind in writer.origin.writers)
    origin = DataOrigin(
        complete=True,
        whole=all(writer.origin.complete for writer in writers),
        written_known=True,
        domains=frozenset([folded(parameters.prompt_set.domain)]),
        writers=each_once((*writers, *upstream)),
        named_all=parameters.completeness == Completeness(teachers="complete"),
        interventions=frozenset(intervention.kind for intervention in parameters.interventions),
        proved=not parameters.filters,
    )
    return Passed(origin, _about_generation(parameters))


def _about_generation(parameters: Generate) -> dict[str, str]:
    about = {
        "teachers": ", ".join(model.model_id for model in parameters.teachers),
        "domain": parameters.prompt_set.domain,
    }
    if parameters.interventions:
        about["interventions"] = ", ".join(part.kind for part in parameters.interventions)
    if parameters.filters:
        about["filters without a ledger"] = ", ".join(rule.id for rule in parameters.filters)
    return about


def _teacher(model: GeneratingModel, walked: Walked) -> RowWriter:
    origin = walked.models[model.weights_digest]
    for adapter in model.adapters:
        # An adapter has the base's initialisation; what it was trained on is behind it.
        trained = walked.models[adapter]
        origin = replace(
            origin,
            complete=origin.complete and trained.complete,
            writers=(*origin.writers, *trained.writers),
        )
    return RowWriter(model, origin, "teacher")


def _hidden_teachers(step: StatedStep[Generate]) -> tuple[Problem, ...]:
    """Dependencies may be incomplete, so the parameters name every model; one that only the dependencies name is hidden."""
    named = {model.weights_digest for model in step.parameters.teachers}
    return tuple(
        step.problem(
            f"the model '{used.name}' is among what was used and not among the teachers",
            expected="every teacher in externalParameters",
            actual=used.sha256 or "no digest",
            todo="ask the producer for a corrected statement",
        )
        for used in step.used_as("teacher-weights")
        if used.sha256 not in named
    )


class Collect(Signable):
    """Rows came from people, instruments or templates; no model wrote them, as far as the signer says."""

    origin: Literal["people", "instruments", "templates", "unknown"]
    domain: Text
    licence: Text | None = None
    model_written: Number = "0"
    """Largest share of rows that a model may have written, in [0, 1]."""


def collected(step: StatedStep[Collect], walked: Walked) -> Passed[DataOrigin]:
    """Rows by people, instruments or templates, and at most the stated share by models."""
    parameters = step.parameters
    share = float(parameters.model_written)
    known = parameters.origin != "unknown" and 0 <= share <= 1
    origin = DataOrigin(
        complete=True,
        whole=True,
        written=share if known else 1.0,
        written_known=known,
        domains=frozenset([folded(parameters.domain)]),
        # Rows that a model wrote have a teacher that nobody named.
        named_all=known and share == 0,
    )
    about = {
        "origin": parameters.origin,
        "domain": parameters.domain,
        "model-written": parameters.model_written if known else "not known",
    }
    return Passed(origin, about)


class Source(Signable):
    """One dataset of a mix."""

    name: Text
    rows: Count
    """Rows taken from it."""


class Mix(Signable):
    """Datasets were put together."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    seed: Number | None = None


def mix_needs(step: StatedStep[Mix]) -> Needs:
    """The sources, which must be those that were used, and give as many rows as there are."""
    sources, used = step.parameters.sources, step.used_as("input-data")
    taken = sum(int(source.rows) for source in sources)
    problems = step.disagreement(
        "rows of all sources together", str(taken), stated_rows(step.subject)
    )
    resources = _by_name(used)
    names = [source.name for source in sources]
    if sorted(names) != sorted(resources) or len(used) != len(names):
        message = "the sources and what was used differ"
        problems += (step.problem(message, actual=", ".join(resources)),)
    return Needs(tuple(DataUsed(_digest(resources, name), name) for name in names), problems)


def mixed(step: StatedStep[Mix], walked: Walked) -> Passed[DataOrigin]:
    """Rows of all the sources; the worst draw takes those that models wrote first."""
    resources = _by_name(step.used_as("input-data"))
    total = stated_rows(step.subject)
    problems: tuple[Problem, ...] = ()
    parts, written = [], 0.0
    for source in step.parameters.sources:
        part = walked.data[_digest(resources, source.name)]
        rows = int(source.rows)
        if part.rows is not None and rows > part.rows:
            what = f"rows taken from '{source.name}'"
            problems += step.disagreement(what, source.rows, part.rows)
        written += rows if part.rows is None else min(rows, part.written * part.rows)
        parts.append(part)
    origin = together(parts)
    origin = replace(
        origin,
        written=min(1.0, written / total) if total else 1.0,
        written_known=origin.written_known and walked.consistent and not problems,
    )
    sources = ", ".join(f"{part.name} ({part.rows} rows)" for part in step.parameters.sources)
    return Passed(origin, {"sources": sources}, problems)


def _by_name(used: list[Resource]) -> dict[str, Resource]:
    return {resource.name: resource for resource in used}


def _digest(resources: dict[str, Resource], name: str) -> str | None:
    return resources[name].sha256 if name in resources else None
