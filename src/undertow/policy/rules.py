"""Policies, by name or from a file in TOML or YAML, and the kinds of rules that they are made of, as typed tables."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from undertow.data.closed import Stored, decoded_yaml, sentence
from undertow.errors import ConfigError, UnknownNameError

STARTERS = ("permissive", "default", "safety-critical")
"""Policies that ship."""

LARGEST = 1 << 20
"""Bytes of a policy file, at most."""

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Domain = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AnyRule(Stored):
    """What every rule has."""

    id: RuleId
    only_domains: tuple[Domain, ...] = ()
    """Applies only to data of these domains, and to data whose domain is not known; to all if empty."""
    why: str = ""
    """For the reader of a refusal."""


class RequireProvenance(AnyRule):
    """Trusted keys say how the data was made: up to its writers (`data`), or to trusted models (`whole`)."""

    kind: Literal["require-provenance"]
    scope: Literal["data", "whole"] = "data"
    all_teachers_named: bool = True
    """Whether signers must claim that no model is missing."""
    filters_proved: bool = False
    """Whether the ledger of each filter must be at hand and agree."""


class RequireAudit(AnyRule):
    """A passed audit of this dataset for this student base, or one `within` where that is accepted."""

    kind: Literal["require-audit"]
    when: Literal["always", "shared-or-unknown"] = "shared-or-unknown"
    """Always, or when a teacher shares the student's initialisation or may."""
    least_evidence: Literal["declared", "attested", "measured"] = "attested"
    """What it takes to believe that no teacher shares it: a producer's bare word is `declared`."""
    suites: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """One of these; any if empty."""
    independent: bool = False
    """Whether the auditor must be another than the producer."""
    accept_within: bool = False
    """
    Whether an audit of the beginning of the plan is enough, which found the rows within their benign references there;
    it says nothing of the whole plan.
    """
    least_power: Share | None = None
    """Of the audit's stated power."""
    at_most_logits: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Size of the effect at which that power must hold, or a smaller one."""

    @model_validator(mode="after")
    def _power_fits(self) -> Self:
        if self.at_most_logits is not None and self.least_power is None:
            raise ValueError("at_most_logits says where least_power must hold; give both")
        if self.accept_within and self.least_power is not None:
            raise ValueError(
                "an audit that is 'within' states no power; give accept_within or least_power"
            )
        return self


class NoFailedAudit(AnyRule):
    """No audit that counts has failed."""

    kind: Literal["no-failed-audit"]


class RefuseUnvetted(AnyRule):
    """In these domains, model-written rows need a passed audit by an independent auditor."""

    kind: Literal["refuse-unvetted"]
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)]


class LeastFamilies(AnyRule):
    """Teachers of at least so many families wrote the rows."""

    kind: Literal["least-families"]
    families: Annotated[int, Field(ge=1)]


class AuditorDiffers(AnyRule):
    """Whoever audits is not who produced: no key of theirs, nor their organisation."""

    kind: Literal["auditor-differs"]


class LargestAge(AnyRule):
    """Data, audits or both are not older than this; of audits, the newest that passed, or that is `within`."""

    kind: Literal["largest-age"]
    days: Days
    of: Literal["data", "audits", "both"] = "both"


class LargestDose(AnyRule):
    """At most this share of rows may have been written by models."""

    kind: Literal["largest-dose"]
    share: Share


class LineageMeasured(AnyRule):
    """An auditor measured of each teacher whether it shares the student's initialisation."""

    kind: Literal["lineage-measured"]


class Custom(AnyRule):
    """A condition in CEL over `facts`; everything but exactly true refuses."""

    kind: Literal["cel"]
    expression: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    refusal: str = ""
    """What a refusal says."""
    even_if_incomplete: bool = False
    """Whether it may pass on data whose chain is incomplete: lists of facts are then empty, and `all()` of them true."""


Rule = Annotated[
    RequireProvenance
    | RequireAudit
    | NoFailedAudit
    | RefuseUnvetted
    | LeastFamilies
    | AuditorDiffers
    | LargestAge
    | LargestDose
    | LineageMeasured
    | Custom,
    Field(discriminator="kind"),
]

KINDS = (
    "require-provenance",
    "require-audit",
    "no-failed-audit",
    "refuse-unvetted",
    "least-families",
    "auditor-differs",
    "largest-age",
    "largest-dose",
    "lineage-measured",
    "cel",
)
"""Of rules."""


class Policy(Stored):
    """A policy: all its rules must hold."""

    schema_: Literal["undertow.policy/1"] = Field(default="undertow.policy/1", alias="schema")
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        ids = [rule.id for rule in self.rules]
        twice = [id for id in ids if ids.count(id) > 1]
        if twice:
            raise ValueError(f"the rule '{twice[0]}' is listed twice")
        return self


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy and where it came from."""

    policy: Policy
    name: str
    """As it was given: a starter's name, or a path."""
    digest: str
    """SHA-256 over the file."""


def load_policy(name_or_path: str) -> LoadedPolicy:
    """
    A starter policy, or one from a `.toml`, `.yaml` or `.yml` file.

    Raises:
        UnknownNameError: a kind of rule, or the name of a starter, that is not known; with the nearest.
        ConfigError: the file is missing, is no TOML or YAML, has a key twice, or a key or value is wrong.
        MissingExtraError: YAML needs PyYAML.
    """
    source: Path | Traversable = Path(name_or_path)
    if name_or_path in STARTERS:
        source = files(__package__) / "starters" / f"{name_or_path}.toml"
    elif Path(name_or_path).suffix not in (".toml", ".yaml", ".yml"):
        hint = "name a starter policy, or a file that ends in .toml or .yaml"
        raise UnknownNameError("policy", name_or_path, STARTERS, hint=hint)
    content = _content(source, name_or_path)
    tables = _tables(content, name_or_path)
    _refuse_unknown_kinds(tables, name_or_path)
    try:
        # As JSON, strictly: "yes" is no truth value and true is no number.
        policy = Policy.model_validate_json(json.dumps(tables), strict=True)
    except ValidationError as error:
        raise ConfigError(sentence(error, Policy, f"'{name_or_path}'")) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"'{name_or_path}': {error}") from error
    return LoadedPolicy(policy, name_or_path, hashlib.sha256(content).hexdigest())


def _content(source: Path | Traversable, name: str) -> bytes:
    try:
        content = source.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(f"no such policy: '{name}'", hint="undertow gate --help") from error
    except OSError as error:
        raise ConfigError(f"cannot read '{name}': {error.strerror}") from error
    if len(content) > LARGEST:
        raise ConfigError(f"'{name}' has {len(content)} bytes; allowed: at most {LARGEST}")
    return content


def _tables(content: bytes, name: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{name}' is not UTF-8 (byte {error.start})") from error
    if name in STARTERS or name.endswith(".toml"):
        try:
            return tomllib.loads(text)
        except (
            ValueError,
            RecursionError,
        ) as error:  # a number of too many digits is a bare ValueError
            raise ConfigError(f"'{name}' is not valid TOML: {error}") from error
    tables = decoded_yaml(text, name, purpose="a policy in YAML", extra="provenance")
    if not isinstance(tables, dict):
        raise ConfigError(f"'{name}' holds no table of a policy; allowed: schema, title, rules")
    return tables


def _refuse_unknown_kinds(tables: dict[str, Any], name: str) -> None:
    rules = tables.get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else [], start=1):
        if not isinstance(rule, dict):
            continue
        kind = rule.get("kind")
        if kind is None:
            raise ConfigError(
                f"'{name}', rule {number}: the key 'kind' is missing; allowed: {', '.join(KINDS)}"
            )
        if kind not in KINDS:
            raise UnknownNameError("rule", str(kind), KINDS, where=f"'{name}', rule {number}")
