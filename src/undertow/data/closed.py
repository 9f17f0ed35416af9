"""What is frozen and closed, and TOML files parsed into it; every fault is a `ConfigError` with its place."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from undertow.errors import ConfigError, nearest


class Closed(BaseModel):
    """Base of every table of a configuration file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stored(BaseModel):
    """Base of every stored record: frozen, closed, and serialised under its schema's names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings"
    )


M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """
    The tables of a TOML file.

    Raises:
        ConfigError: if the file is missing, unreadable, not UTF-8 or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(f"no such file: '{path}'") from error
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}' is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"'{path}' is not valid TOML: {error}") from error


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
