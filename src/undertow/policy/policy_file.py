"""Policies by name or from a file in TOML or YAML, with every fault named."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from undertow.data.configuration import sentence
from undertow.errors import ConfigError, MissingExtraError, UnknownNameError
from undertow.policy.rules import KINDS, Policy

STARTERS = ("permissive", "default", "safety-critical")
"""Policies that ship."""

LARGEST = 1 << 20
"""Bytes of a policy file, at most."""


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
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(f"'{name}' is not valid TOML: {error}") from error
    tables = _yaml(text, name)
    if not isinstance(tables, dict):
        raise ConfigError(f"'{name}' holds no table of a policy; allowed: schema, title, rules")
    return tables


def _yaml(text: str, name: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "provenance", purpose="a policy in YAML") from error

    class Strict(yaml.SafeLoader):  # type: ignore[misc]
        """Plain values only, each key once, nothing by reference."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [key for key in keys if not isinstance(key, str) or keys.count(key) > 1]
            if twice:
                raise ConfigError(
                    f"'{name}' has the key {twice[0]!r} twice, or one that is no string"
                )
            made: dict[Any, Any] = super().construct_mapping(node, deep)
            return made

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                # A few lines of them can stand for more than memory holds.
                raise ConfigError(
                    f"'{name}' refers to another part of itself (*), which policies do not"
                )
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader=Strict)  # a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"'{name}' is not valid YAML: {told}") from error


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
