"""What is frozen and closed, and TOML and YAML that are parsed into it; every fault is a `ConfigError` with its place."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from undertow.errors import ConfigError, MissingExtraError, nearest


class Closed(BaseModel):
    """Base of every table of a configuration file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stored(BaseModel):
    """Base of every stored record: frozen, closed, and serialised under its schema's names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings"
    )


M = TypeVar("M", bound=BaseModel)

_DEEPEST_YAML = 64

_PLAIN_YAML = "write plain values: each key once, no tags (!), no anchors (&) and no references (*)"


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """
    The tables of a TOML file.

    Raises:
        ConfigError: if the file is missing, unreadable, not UTF-8 or not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of too many digits is a bare ValueError
        raise ConfigError(f"'{path}' is not valid TOML: {error}") from error


def read_text(path: Path | Traversable, largest: int | None = None) -> str:
    """
    The text of a file of at most `largest` bytes.

    Raises:
        ConfigError: if the file is missing, unreadable, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read() if largest is None else file.read(largest + 1)
        if largest is not None and len(content) > largest:
            raise ConfigError(f"'{path}' has more than {largest} bytes; allowed: at most {largest}")
        return content.decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(f"no such file: '{path}'") from error
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}' is not UTF-8 (byte {error.start})") from error
    except ValueError as error:  # of a name with a zero byte in it
        raise ConfigError(f"cannot read '{path}': {error}") from error


def decoded_yaml(text: str, name: str, *, purpose: str, extra: str) -> Any:
    """
    The value that a text in YAML holds: plain values only, each key once, nothing by reference.

    Args:
        name: of the file, in messages.
        purpose: what the file is for, and `extra` what to install for it, where PyYAML is missing.

    Raises:
        ConfigError: it is no YAML, has a key twice, refers to another part of itself or has a tag.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", extra, purpose=purpose) from error

    class Strict(yaml.SafeLoader):  # type: ignore[misc]
        """Plain values only, each key once, nothing by reference."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            met: set[str] = set()
            for key in keys:
                if not isinstance(key, str) or key in met:
                    raise ConfigError(
                        f"'{name}' has the key {key!r:.80} twice, or one that is no string",
                        hint=_PLAIN_YAML,
                    )
                met.add(key)
            made: dict[Any, Any] = super().construct_mapping(node, deep)
            return made

        def fetch_flow_collection_start(self, TokenClass: Any) -> None:
            # Before it looks ahead, which takes long where many lists begin at once.
            if self.flow_level >= _DEEPEST_YAML:
                raise ConfigError(
                    f"'{name}' is nested more than {_DEEPEST_YAML} levels deep", hint=_PLAIN_YAML
                )
            super().fetch_flow_collection_start(TokenClass)

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                # A few lines of them can stand for more than memory holds.
                raise ConfigError(
                    f"'{name}' refers to another part of itself (*), which {purpose} does not",
                    hint=_PLAIN_YAML,
                )
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader=Strict)  # a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"'{name}' is not valid YAML: {told}", hint=_PLAIN_YAML) from error


def parse(model: type[M], tables: Mapping[str, Any], *, where: str) -> M:
    """
    The tables as a model; `where` names their file in the error.

    Raises:
        ConfigError: naming the file, the key, its value and what is allowed, for the first fault.
    """
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(sentence(error, model, where)) from error


def sentence(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """The first fault in words: the file, the key, its value and what is allowed."""
    # An unknown key is often the cause of a missing one, so it is reported first.
    details = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    return _sentence(details[0], model, where)


def _sentence(detail: ErrorDetails, model: type[BaseModel], where: str) -> str:
    location = detail["loc"]
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        allowed = keys_at(model, location[:-1])
        guess = nearest(str(location[-1]), allowed)
        return f"{where}: unknown key '{key}'; allowed: {', '.join(allowed)}{guess}"
    if detail["type"] == "missing":
        return f"{where}: the key '{key}' is missing"
    reason = detail["msg"].removeprefix("Value error, ")
    if not location:
        return f"{where}: {reason}"
    return f"{where}: key '{key}' has the value {_short(detail['input'])}: {reason}"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at a place of a model's tables, sorted."""
    for part in location:
        field = model.model_fields.get(str(part))
        # Keys of a dict and indices of a list are no fields: the model stays the one they hold.
        model = (_model_in(field.annotation) or model) if field else model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
