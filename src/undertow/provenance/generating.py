"""
What a generation says of itself: which models wrote rows, from what weights, and what was done to them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from undertow.provenance.statement import Count, Digest, Number, Signable, Text


class Parent(Signable):
    """A model that another was made of."""

    digest: Digest
    relation: Literal["finetune", "adapter", "merge", "quantized", "distilled"]


class Lineage(Signable):
    """What is known of a model's initialisation."""

    init: Digest | Literal["unknown"] = "unknown"
    parents: tuple[Parent, ...] = ()
    evidence: Literal["declared", "attested", "fingerprint"] = "declared"


class GeneratingModel(Signable):
    """One model that wrote rows."""

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
