"""
What a derivation step says of itself: generate, collect, filter, edit, mix, fine-tune, merge, quantise.

Each is a `buildType` of SLSA's provenance predicate, version 1, with its closed `externalParameters`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from undertow.provenance.generating import Generate
from undertow.provenance.statement import Count, Digest, Number, Resource, Signable, Text, Time

BUILD = "urn:undertow:build:"
BUILDER = "urn:undertow:builder/v1"
"""Who carried out a step that undertow carried out itself."""

DECLARED = "urn:undertow:builder:declared/v1"
"""Who carried out a step that somebody describes with `undertow attest`: it is known by hearsay."""


class Rule(Signable):
    """One rule of a filter."""

    id: Text
    version: Text | None = None
    code_ref: Text | None = None
    params: dict[Text, Text] = Field(default_factory=dict)
    removed: Count
    model_based: Text | None = None
    """Name of the model that judged, which is then a source of its own; null for a rule without one."""


class Collect(Signable):
    """
    Rows came from people, instruments or templates; no model wrote them, as far as the signer says.
    """

    origin: Literal["people", "instruments", "templates", "unknown"]
    domain: Text
    licence: Text | None = None
    model_written: Number = "0"
    """Largest share of rows that a model may have written, in [0, 1]."""


class Filter(Signable):
    """Rows were removed."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    rows_in: Count
    rows_out: Count
    subset_proof: Digest
    """Row set of the input: kept and removed leaves together have it."""

    @property
    def changes(self) -> tuple[RowChange, ...]:
        """None: what a filter leaves is as it was."""
        return ()

    @property
    def input_set(self) -> str:
        """As an edit names it."""
        return self.subset_proof

    @model_validator(mode="after")
    def _rules_once(self) -> Self:
        if len({rule.id for rule in self.rules}) < len(self.rules):
            raise ValueError("a rule is listed twice")
        if sum(int(rule.removed) for rule in self.rules) != int(self.rows_in) - int(self.rows_out):
            raise ValueError("rowsIn less the removed rows is not rowsOut")
        return self


class RowChange(Signable):
    """One kind of change to rows."""

    id: Text
    rows: Count
    params: dict[Text, Text] = Field(default_factory=dict)
    model_based: Text | None = None
    """Name of the model that chose or wrote, which is then a source of its own; null for a change without one."""


class Edit(Signable):
    """Rows were changed; some may have been removed."""

    changes: Annotated[tuple[RowChange, ...], Field(min_length=1)]
    rules: tuple[Rule, ...] = ()
    """Of what was removed."""
    rows_in: Count
    rows_out: Count
    input_set: Digest
    """Row set of the input: kept and removed leaves, and changed ones as they were, together have it."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        names = [change.id for change in self.changes] + [rule.id for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("a change or a rule is listed twice")
        if sum(int(rule.removed) for rule in self.rules) != int(self.rows_in) - int(self.rows_out):
            raise ValueError("rowsIn less the removed rows is not rowsOut")
        if sum(int(change.rows) for change in self.changes) > int(self.rows_out):
            raise ValueError("more rows were changed than there are")
        return self


class Source(Signable):
    """One dataset of a mix."""

    name: Text
    rows: Count
    """Rows taken from it."""


class Mix(Signable):
    """Datasets were put together."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    seed: Number | None = None


class FineTune(Signable):
    """A model was trained on data."""

    method: Text
    plan: dict[Text, Text] = Field(default_factory=dict)
    seed: Number | None = None


class Merge(Signable):
    """Models were merged."""

    method: Text
    weights: dict[Text, Number] = Field(default_factory=dict)


class Quantize(Signable):
    """A model's weights were stored with fewer bits."""

    method: Text
    bits: Count | None = None


Step = Generate | Collect | Filter | Edit | Mix | FineTune | Merge | Quantize

STEPS: dict[str, type[Step]] = {
    "generate": Generate,
    "collect": Collect,
    "filter": Filter,
    "edit": Edit,
    "mix": Mix,
    "finetune": FineTune,
    "merge": Merge,
    "quantize": Quantize,
}
"""By the name that commands and documents use."""

BUILD_TYPES = {f"{BUILD}{'llm-' if name == 'generate' else ''}{name}/v1": name for name in STEPS}
"""The name of each build type's step."""


class Builder(Signable):
    """Who carried a step out."""

    id: Text
    version: dict[Text, Text] = Field(default_factory=dict)


class Metadata(Signable):
    """When a step ran."""

    invocation_id: Text | None = None
    started_on: Time | None = None
    finished_on: Time


class RunDetails(Signable):
    """How a step was carried out."""

    builder: Builder
    metadata: Metadata
    byproducts: tuple[Resource, ...] = ()


class BuildDefinition(Signable):
    """What a step was asked, and what it used."""

    build_type: Text
    external_parameters: dict[str, Any]
    internal_parameters: dict[Text, Text] = Field(default_factory=dict)
    resolved_dependencies: tuple[Resource, ...] = ()


class Provenance(Signable):
    """SLSA's provenance predicate, version 1."""

    build_definition: BuildDefinition
    run_details: RunDetails
