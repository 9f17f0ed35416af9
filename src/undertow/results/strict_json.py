"""
Stored documents read strictly: UTF-8, JSON with each key once, and no key or type that the schema lacks.
"""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from undertow.errors import InputError

NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""What JSON has to store as strings."""

_UPGRADE = "pip install --upgrade undertow"

Document = TypeVar("Document", bound=BaseModel)


@dataclass(frozen=True)
class Form(Generic[Document]):
    """A kind of stored document."""

    schema: str
    """Value of its key `schema`."""
    model: type[Document]
    name: str
    """In messages, e.g. `run`."""
    again: str
    """The command that makes one, for hints."""


def text_of(source: Path, *, name: str, again: str) -> str:
    """
    The file's text.

    Args:
        name: what the file should hold, for the message.
        again: the command that makes one, for the hint.

    Raises:
        InputError: if it is missing, cannot be read or is not UTF-8.
    """
    try:
        return source.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"no stored {name} '{source}'", hint=again) from error
    except OSError as error:
        raise InputError(
            f"cannot read '{source}': {error.strerror}", hint=f"ls -l '{source}'"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"'{source}' is not UTF-8 (byte {error.start})", hint=again) from error


def tables_of(text: str, source: Path, *, again: str) -> dict[str, Any]:
    """
    The JSON object that the text holds.

    Raises:
        InputError: if it holds none, has a key twice or a bare word that is not JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                raise InputError(f"'{source}' has the key {key!r} twice", hint=again)
            table[key] = value
        return table

    def literal(word: str) -> float:
        raise InputError(f"'{source}' holds the bare word {word}, which is not JSON", hint=again)

    try:
        tables = json.loads(text, object_pairs_hook=once, parse_constant=literal)
    except RecursionError as error:
        raise InputError(f"'{source}' is nested too deeply", hint=again) from error
    except ValueError as error:
        raise InputError(f"'{source}' is not valid JSON: {error}", hint=again) from error
    if not isinstance(tables, dict):
        raise InputError(f"'{source}' does not hold a JSON object", hint=again)
    return tables


def form_of(
    tables: Mapping[str, Any], source: Path, forms: Mapping[str, Form[Any]], *, again: str
) -> Form[Any]:
    """
    The form that the key `schema` names.

    Args:
        forms: the allowed ones by their schema.

    Raises:
        InputError: if the key is missing or names none of them.
    """
    found = tables.get("schema")
    if isinstance(found, str) and found in forms:
        return forms[found]
    allowed = ", ".join(f"'{schema}'" for schema in forms)
    if "schema" not in tables:
        message = f"'{source}': the key 'schema' is missing; allowed: {allowed}"
    else:
        message = f"'{source}': key 'schema' has the value {_short(found)}; allowed: {allowed}"
    ours = tuple(schema.partition("/")[0] + "/" for schema in forms)
    newer = isinstance(found, str) and found.startswith(ours)
    raise InputError(message, hint=_UPGRADE if newer else again)


def document_of(text: str, source: Path, form: Form[Document]) -> Document:
    """
    The document that the text holds.

    Raises:
        InputError: naming the file and the key, if one is missing, unknown or of the wrong type.
    """
    try:
        return form.model.model_validate_json(text, strict=True)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if not _is_not_finite(fault)]
        if faults:
            # An unknown key is often the cause of a missing one, so it is reported first.
            faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
            raise _refusal(faults[0], source, form) from error
    return form.model.model_validate_json(text)


def _is_not_finite(fault: ErrorDetails) -> bool:
    # Strict parsing refuses the strings in which JSON has to store infinities and NaN.
    return fault["type"] == "float_type" and fault["input"] in NOT_FINITE


def _refusal(fault: ErrorDetails, source: Path, form: Form[Any]) -> InputError:
    place = fault["loc"]
    key = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        allowed = sorted(_keys_at(place[:-1], form.model))
        close = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        guess = f"; did you mean '{close[0]}'?" if close else ""
        message = f"'{source}': unknown key {key!r}; allowed: {', '.join(allowed)}{guess}"
        return InputError(message, hint=_UPGRADE)
    if fault["type"] == "missing":
        return InputError(f"'{source}': the key {key!r} is missing", hint=form.again)
    if fault["type"] == "json_invalid":
        return InputError(f"'{source}' is not valid JSON: {fault['msg']}", hint=form.again)
    message = f"'{source}': key {key!r} has the value {_short(fault['input'])}: {fault['msg']}"
    return InputError(message, hint=form.again)


def _keys_at(place: tuple[int | str, ...], model: type[BaseModel]) -> set[str]:
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return {field.alias or name for name, field in model.model_fields.items()}


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
