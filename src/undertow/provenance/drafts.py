"""What a person says of data that was made elsewhere, from flags or a TOML file, and the statement it becomes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from undertow.data.closed import Stored, parse, read_toml
from undertow.errors import ConfigError, ProvenanceError
from undertow.provenance.data_steps import (
    Completeness,
    DeclaredFilter,
    Generate,
    ModelIntervention,
    PromptSet,
    SamplingSettings,
    SystemPrompt,
)
from undertow.provenance.model_weights import weights_digest
from undertow.provenance.signed_results import decimal
from undertow.provenance.signed_steps import prompt_said, used
from undertow.provenance.statement import Resource, is_digest
from undertow.provenance.steps import GeneratingModel, Lineage
from undertow.worlds import locate

_NUMBERS = ("temperature", "top_p", "min_p")


class TeacherDraft(Stored):
    """A model that wrote rows."""

    model: str
    """A folder, `world:NAME`, `org/name`, or the name that an API knows it by."""
    provider: str | None = None
    """Of the API; then there are no weights to look at."""
    revision: str | None = None
    snapshot: str | None = None
    weights_digest: str | None = None
    """If the weights are not here and their digest is known."""
    no_weights: str | None = None
    """Why there is no digest."""
    quantization: str | None = None
    init: str | None = None
    """Checkpoint that its training began from: a folder, `world:NAME` or a digest."""


class PromptDraft(Stored):
    """The system prompt; a secret one leaves a commitment and never its text."""

    text: str | None = None
    file: str | None = None
    secret: bool = False


class InterventionDraft(Stored):
    """What was done to the model while it wrote."""

    kind: str
    file: str
    """What was added, as a file: it is named by its digest."""
    note: str | None = None


class FilterDraft(Stored):
    """A filter that the rows went through, whose ledger does not exist."""

    id: str
    version: str | None = None
    removed: int | None = Field(default=None, ge=0)
    model: str | None = None
    """The model that judged, if one did."""


class GenerationDraft(Stored):
    """The whole description of a generation."""

    teachers: Annotated[tuple[TeacherDraft, ...], Field(min_length=1)]
    domain: str
    prompts: str = "not named"
    """Name of the set of prompts."""
    licence: str | None = None
    complete: bool
    """Whether every model that wrote rows is named."""
    system_prompt: PromptDraft | None = None
    interventions: tuple[InterventionDraft, ...] = ()
    filters: tuple[FilterDraft, ...] = ()
    sampling: dict[str, str | int | float | list[str]] = Field(default_factory=dict)


def read_draft(path: Path) -> GenerationDraft:
    """
    The description in a TOML file.

    Raises:
        ConfigError: naming the key and what is allowed.
    """
    return parse(GenerationDraft, read_toml(path), where=f"'{path}'")


def generation(
    draft: GenerationDraft, *, folder: Path = Path(), salt: bytes | None = None
) -> tuple[Generate, list[Resource]]:
    """
    The parameters and the dependencies of the statement.

    Args:
        folder: what relative paths in the draft are relative to.
        salt: random bytes that a secret prompt is committed to with.

    Raises:
        ProvenanceError: a digest is missing without a reason, or a secret prompt has no salt.
        ConfigError: a setting of the sampling is not known, or is no number.
    """
    teachers = tuple(_teacher(part) for part in draft.teachers)
    kinds = ModelIntervention.model_fields["kind"].annotation
    parameters = Generate(
        teachers=teachers,
        system_prompt=_prompt(draft.system_prompt, folder, salt),
        interventions=tuple(_intervention(part, folder, kinds) for part in draft.interventions),
        sampling=_sampling(draft.sampling),
        prompt_set=PromptSet(name=draft.prompts, domain=draft.domain, licence=draft.licence),
        completeness=Completeness(teachers="complete" if draft.complete else "best-effort"),
        filters=tuple(
            DeclaredFilter(
                id=part.id,
                version=part.version,
                removed=None if part.removed is None else str(part.removed),
                model_based=part.model,
            )
            for part in draft.filters
        ),
    )
    dependencies = [
        used("teacher-weights", part.name, part.weights_digest)
        for part in teachers
        if part.weights_digest
    ]
    return parameters, dependencies


def model_named(reference: str) -> str | None:
    """The digest of a model given as a folder, as `world:NAME` or as the digest itself; None if it is not here."""
    return reference if is_digest(reference) else weights_digest(locate(reference))


def _teacher(draft: TeacherDraft) -> GeneratingModel:
    digest = draft.weights_digest
    if digest is None and draft.provider is None:
        digest = model_named(draft.model)
    why = None
    if digest is None:
        why = draft.no_weights or (
            f"the weights are behind the API of {draft.provider}" if draft.provider else None
        )
        if why is None:
            raise ProvenanceError(
                f"the teacher '{draft.model}' has no digest: its weights are not here",
                hint="name its folder, give --weights-digest, or say with --no-weights why there is none",
            )
    elif not is_digest(digest):
        raise ProvenanceError(f"'{digest}' is no digest; allowed: 64 hex digits (SHA-256)")
    return GeneratingModel(
        name=draft.model,
        access="api" if draft.provider else "weights",
        provider=draft.provider,
        model_id=draft.model,
        revision=draft.revision,
        api_snapshot=draft.snapshot,
        weights_digest=digest,
        why_null=why,
        quantization=draft.quantization,
        lineage=Lineage(init=_init(draft.init)),
    )


def _init(reference: str | None) -> str:
    if reference is None or reference == "unknown":
        return "unknown"
    digest = model_named(reference)
    if digest is None:
        raise ProvenanceError(
            f"the initialisation '{reference}' has no digest: its weights are not here",
            hint="name its folder, its digest, or 'unknown'",
        )
    return digest


def _prompt(draft: PromptDraft | None, folder: Path, salt: bytes | None) -> SystemPrompt | None:
    if draft is None or (draft.text is None and draft.file is None):
        return None
    text = draft.text
    if draft.file is not None:
        if text is not None:
            raise ConfigError("the system prompt has a text and a file; give one")
        text = _bytes(folder / draft.file).decode("utf-8", "replace")
    if draft.secret and salt is None:
        raise ProvenanceError(
            "a secret system prompt is committed to with a salt", hint="--salt FILE"
        )
    return prompt_said(text or "", salt=salt if draft.secret else None)


def _intervention(draft: InterventionDraft, folder: Path, kinds: object) -> ModelIntervention:
    allowed = getattr(kinds, "__args__", ())
    if draft.kind not in allowed:
        raise ConfigError(f"unknown intervention '{draft.kind}'; allowed: {', '.join(allowed)}")
    digest = hashlib.sha256(_bytes(folder / draft.file)).hexdigest()
    kind: Literal["lora"] = draft.kind  # type: ignore[assignment]  # any of them, as was just checked
    return ModelIntervention(kind=kind, digest=digest, note=draft.note)


def _sampling(table: dict[str, str | int | float | list[str]]) -> SamplingSettings:
    settings: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, list):
            settings[name] = tuple(value)
        elif name in _NUMBERS and isinstance(value, int | float):
            settings[name] = decimal(float(value))
        else:
            settings[name] = str(value)
    return parse(SamplingSettings, settings, where="sampling")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"no such file: '{path}'") from error
    except (OSError, ValueError) as error:  # a name with a zero byte in it is a ValueError
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read '{path}': {why}") from error
