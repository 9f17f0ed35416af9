"""
What a derivation step says of itself: generate, collect, filter, mix, fine-tune, merge, quantise.

Each is a `buildType` of SLSA's provenance predicate, version 1, with its closed `externalParameters`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from undertow.provenance.statement import (
    Count,
    Digest,
    Number,
    Resource,
    Said,
    Text,
    Time,
)

BUILD = "urn:undertow:build:"
BUILDER = "urn:undertow:builder/v1"
"""Who carried out a step that undertow carried out itself."""

DECLARED = "urn:undertow:builder:declared/v1"
"""Who carried out a step that somebody describes with `undertow attest`: it is known by hearsay."""


class Parent(Said):
    """
    A model that another was made of.
    """

    digest: Digest
    relation: Literal["finetune", "adapter", "merge", "quantized", "distilled"]


class Lineage(Said):
    """
    What is known of a model's initialisation.
    """

    init: Digest | Literal["unknown"] = "unknown"
    parents: tuple[Parent, ...] = ()
    evidence: Literal["declared", "attested", "fingerprint"] = "declared"


class GeneratingModel(Said):
    """
    One model that wrote rows.
    """

    name: Text
    access: Literal["weights", "api"]
    provider: Text | None = None
    model_id: Text
    revision: Text | None = None
    """Commit of the model's repository."""
    api_snapshot: Text | None = None
    system_fingerprints: tuple[Text, ...] = ()
    weights_digest: Digest | None = None
    why_null: Text | None = None
    """Why there is no digest of the weights, e.g. that they are behind an API."""
    adapters: tuple[Digest, ...] = ()
    quantization: Text | None = None
    tokenizer: Digest | None = None
    chat_template: Digest | None = None
    lineage: Lineage = Field(default_factory=Lineage)

    @model_validator(mode="after")
    def _digest_or_reason(self) -> Self:
        if (self.weights_digest is None) == (self.why_null is None):
            raise ValueError(
                f"the model '{self.name}' needs weightsDigest, or whyNull that says why there is none; not both"
            )
        return self


class Commitment(Said):
    """
    A digest of a secret text behind a salt, so that guesses cannot be tried without it.
    """

    alg: Literal["sha256"] = "sha256"
    value: Digest
    salted: Literal[True] = True


class SystemPrompt(Said):
    """
    The system prompt of a generation: its digest, or a salted commitment; never its text.
    """

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


class Intervention(Said):
    """
    What was done to a model while it wrote; an empty list claims that nothing was.
    """

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


class SamplingSettings(Said):
    """
    How the rows were sampled.
    """

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


class PromptSet(Said):
    """
    What the models were asked.
    """

    name: Text
    domain: Text
    """What the rows are about: `medicine`, `law`, `numbers`, ...; policies name these."""
    licence: Text | None = None
    prefix_digests: tuple[Digest, ...] = ()
    """Of few-shot or per-turn prefixes."""


class Completeness(Said):
    """
    Whether every model is named.
    """

    teachers: Literal["complete", "best-effort"]


class Rule(Said):
    """
    One rule of a filter.
    """

    id: Text
    version: Text | None = None
    code_ref: Text | None = None
    params: dict[Text, Text] = Field(default_factory=dict)
    removed: Count
    model_based: Text | None = None
    """Name of the model that judged, which is then a source of its own; null for a rule without one."""


class Generate(Said):
    """
    Models wrote rows.
    """

    teachers: Annotated[tuple[GeneratingModel, ...], Field(min_length=1)]
    system_prompt: SystemPrompt | None = None
    interventions: tuple[Intervention, ...]
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    prompt_set: PromptSet
    completeness: Completeness


class Collect(Said):
    """
    Rows came from people, instruments or templates; no model wrote them, as far as the signer says.
    """

    origin: Literal["people", "instruments", "templates", "unknown"]
    domain: Text
    licence: Text | None = None
    model_written: Number = "0"
    """Largest share of rows that a model may have written, in [0, 1]."""


class Filter(Said):
    """
    Rows were removed.
    """

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    rows_in: Count
    rows_out: Count
    subset_proof: Digest
    """Row set of the input: kept and removed leaves together have it."""

    @model_validator(mode="after")
    def _rules_once(self) -> Self:
        if len({rule.id for rule in self.rules}) < len(self.rules):
            raise ValueError("a rule is listed twice")
        if sum(int(rule.removed) for rule in self.rules) != int(self.rows_in) - int(self.rows_out):
            raise ValueError("rowsIn less the removed rows is not rowsOut")
        return self


class Source(Said):
    """
    One dataset of a mix.
    """

    name: Text
    rows: Count
    """Rows taken from it."""


class Mix(Said):
    """
    Datasets were put together.
    """

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    seed: Number | None = None


class FineTune(Said):
    """
    A model was trained on data.
    """

    method: Text
    plan: dict[Text, Text] = Field(default_factory=dict)
    seed: Number | None = None


class Merge(Said):
    """
    Models were merged.
    """

    method: Text
    weights: dict[Text, Number] = Field(default_factory=dict)


class Quantize(Said):
    """
    A model's weights were stored with fewer bits.
    """

    method: Text
    bits: Count | None = None


Step = Generate | Collect | Filter | Mix | FineTune | Merge | Quantize

STEPS: dict[str, type[Step]] = {
    "generate": Generate,
    "collect": Collect,
    "filter": Filter,
    "mix": Mix,
    "finetune": FineTune,
    "merge": Merge,
    "quantize": Quantize,
}
"""By the name that commands and documents use."""

BUILD_TYPES = {f"{BUILD}{'llm-' if name == 'generate' else ''}{name}/v1": name for name in STEPS}
"""The name of each build type's step."""


class Builder(Said):
    """
    Who carried a step out.
    """

    id: Text
    version: dict[Text, Text] = Field(default_factory=dict)


class Metadata(Said):
    """
    When a step ran.
    """

    invocation_id: Text | None = None
    started_on: Time | None = None
    finished_on: Time


class RunDetails(Said):
    """
    How a step was carried out.
    """

    builder: Builder
    metadata: Metadata
    byproducts: tuple[Resource, ...] = ()


class BuildDefinition(Said):
    """
    What a step was asked, and what it used.
    """

    build_type: Text
    external_parameters: dict[str, Any]
    internal_parameters: dict[Text, Text] = Field(default_factory=dict)
    resolved_dependencies: tuple[Resource, ...] = ()


class Provenance(Said):
    """
    SLSA's provenance predicate, version 1.
    """

    build_definition: BuildDefinition
    run_details: RunDetails
